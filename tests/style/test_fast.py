"""A style that is learned once: what training does, what painting does, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from striate.core.checkpoints import load_checkpoint, save_checkpoint
from striate.core.checks import CheckpointError, ImageError, ModelError, TrainingError, UsageError
from striate.core.history import Progress
from striate.core.images import resize, save_image
from striate.style import FastStyle, Painting, fast, fast_paint
from striate.style.colours import luminance
from striate.style.features import Features, load_features
from striate.style.networks import VggTrunk
from striate.tests.style.stand_ins import STYLE_LAYERS, disc, stripes, tiny

CONTENT = [disc(), disc(70, 70), disc(90, 64)]
QUICK: dict[str, Any] = {"batch_size": 2, "device": "cpu", "ema_decay": 0.9}


def painter(**keywords: Any) -> FastStyle:
    """Return one whose trainings take a moment."""
    usual = {"widths": (6, 8, 12), "blocks": 1, "crop": 64, "features": tiny(), "tv_weight": 0.0}
    return FastStyle(**{**usual, **keywords})


@pytest.fixture(scope="module")
def learned() -> FastStyle:
    """Return a painter that has learned stripes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "PASS", 10)
        return painter(content_weight=0.1).fit(stripes(), CONTENT, steps=60, learning_rate=1e-2, **QUICK)


def test_the_loss_falls_and_paintings_come_nearer_to_the_style(learned: FastStyle) -> None:
    assert learned.history_ is not None
    first, last = learned.history_.rows[0], learned.history_.rows[-1]
    assert last["loss"] < first["loss"] / 1.5
    assert {"content_loss", "style_loss", "preview_loss", "preview_style_before"} <= first.keys()
    figures = learned.evaluate(stripes(), [disc(80, 50)])
    assert figures["style"] < figures["style_before"] / 5
    assert figures["loss"] == pytest.approx(figures["content"] + figures["style"])
    painted = learned.transform(disc(80, 50)).image
    means = [picture.mean((0, 1)) for picture in (painted, stripes(), disc(80, 50))]
    assert np.abs(means[0] - means[1]).sum() < np.abs(means[0] - means[2]).sum() / 2


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (15, 17), (50, 33)], ids=str)
def test_pictures_of_any_size_are_painted(learned: FastStyle, size: tuple[int, int]) -> None:
    painting = learned.transform(disc(*size))
    assert isinstance(painting, Painting)
    assert painting.image.shape == (*size, 3)


def test_a_list_gives_a_list_and_each_is_painted_as_alone(learned: FastStyle) -> None:
    many = learned.transform([disc(), stripes()])
    assert [one.image.shape for one in many] == [(40, 56, 3), (48, 48, 3)]
    assert np.array_equal(many[1].image, learned.transform(stripes()).image)


def test_the_size_is_the_painting_s_longer_side_and_the_settings_tell_it(learned: FastStyle) -> None:
    painting = learned.transform(disc(40, 56), size=28)
    assert painting.image.shape == (20, 28, 3)
    assert np.array_equal(painting.image, learned.transform(resize(disc(), (20, 28))).image)
    assert (painting.settings["size"], painting.settings["features"], painting.settings["strength"]) == (28, "tiny", 1)


def test_strength_blends_from_the_content_to_the_painting(learned: FastStyle) -> None:
    none, half, whole = (learned.transform(disc(), strength=s).pixels for s in (0.0, 0.5, 1.0))
    assert np.array_equal(learned.transform(disc(), strength=0.0).image, disc())
    torch.testing.assert_close(half, (none + whole) / 2, rtol=0, atol=1e-6)
    assert float((whole - none).abs().mean()) > 0.1


def test_the_content_s_colours_are_kept(learned: FastStyle) -> None:
    content = torch.from_numpy(disc()).permute(2, 0, 1)[None] / 255
    painted = learned.transform(disc(), colours="luminance").pixels
    clear = ((painted > 0.01) & (painted < 0.99)).all(1, keepdim=True).expand_as(painted)
    assert float(clear.float().mean()) > 0.1
    chroma = [image - luminance(image) for image in (painted, content)]
    torch.testing.assert_close(chroma[0][clear], chroma[1][clear], rtol=0, atol=1e-5)


def test_frames_of_a_video_are_painted_one_after_the_other(learned: FastStyle) -> None:
    def frames() -> Iterator[NDArray[np.uint8]]:
        for bright in (1.0, 0.4):
            asked.append(bright)
            yield (disc() * bright).astype(np.uint8)

    asked: list[float] = []
    found = learned.transform_frames(frames(), steady=0.9)
    assert asked == []
    first = next(found)
    assert asked == [1.0]
    assert np.array_equal(first, learned.transform(disc()).image)
    dark = (disc() * 0.4).astype(np.uint8)
    alone = learned.transform(dark).image.astype(float)
    followed = next(found).astype(float)
    assert np.abs(followed - alone).mean() > 5
    each = [*learned.transform_frames([disc(), dark], steady=0.0, size=28, strength=0.5)]
    assert np.array_equal(each[1], learned.transform(dark, size=28, strength=0.5).image)


def test_steady_statistics_let_a_picture_flicker_less(learned: FastStyle) -> None:
    """A bright band comes and goes at the right edge: what is at the left should not answer."""
    frames = [disc(48, 64) for _ in range(6)]
    for frame in frames[1::2]:
        frame[:, 56:] = 255
    changes = []
    for steady in (0.0, 0.9):
        left = np.stack([image[:, :24] for image in learned.transform_frames(frames, steady=steady)]).astype(float)
        changes.append(np.abs(np.diff(left, axis=0))[1:].mean())
    assert changes[1] < changes[0] / 2


def test_saved_and_loaded_it_paints_the_same(learned: FastStyle, tmp_path: Path) -> None:
    path = learned.save(tmp_path / "stripes.safetensors")
    loaded = FastStyle.load(path)
    assert np.array_equal(loaded.transform(disc()).image, learned.transform(disc()).image)
    assert (loaded.widths, loaded.features) == ((6, 8, 12), "tiny")
    small = learned.save(tmp_path / "half.safetensors", half=True)
    assert small.stat().st_size < path.stat().st_size * 0.7
    near = FastStyle.from_pretrained(small).transform(disc()).image.astype(float)
    assert np.abs(near - learned.transform(disc()).image).mean() < 1
    with pytest.raises(CheckpointError, match="a FastStyle checkpoint; got one of kind 'Features'"):
        FastStyle.load(save_checkpoint(tmp_path / "other.safetensors", {}, {"kind": "Features"}))


def test_the_same_seed_learns_the_same_and_another_another() -> None:
    one, two, three = (painter().fit(stripes(), CONTENT, steps=4, seed=seed, **QUICK) for seed in (0, 0, 1))
    images = [each.transform(disc()).image for each in (one, two, three)]
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


class Interrupted(Exception):
    pass


def test_a_training_that_was_interrupted_goes_on_and_its_previews_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(progress: Progress) -> None:
        if (progress.epoch, progress.step) == (2, 3):
            raise Interrupted

    monkeypatch.setattr(fast, "PASS", 4)
    options: dict[str, Any] = {"steps": 8, "run_dir": tmp_path / "run", **QUICK, "batch_size": 1}
    seen: list[tuple[int, tuple[int, ...]]] = []
    whole = painter().fit(stripes(), CONTENT, **{**options, "run_dir": None})
    broken = painter()
    with pytest.raises(Interrupted):
        broken.fit(stripes(), CONTENT, on_progress=stop, **options)
    assert broken.network_ is None
    begun = painter().fit(
        stripes(), CONTENT, resume=True, preview=disc(300, 600), **options,
        on_preview=lambda step, image: seen.append((step, image.shape)),
    )  # fmt: skip
    assert seen == [(8, (128, 256, 3))]
    assert np.array_equal(begun.transform(disc()).image, whole.transform(disc()).image)
    assert {"best.safetensors", "last.safetensors", "history.csv"} <= {
        path.name for path in (tmp_path / "run").iterdir()
    }
    FastStyle.load(tmp_path / "run" / "last.safetensors").transform(disc())
    with pytest.raises(TrainingError, match="resume with the same options and data, or train in another folder"):
        painter().fit(disc(), CONTENT, resume=True, **options)


def test_a_painter_with_weights_goes_on_from_them(learned: FastStyle, tmp_path: Path) -> None:
    again = FastStyle.load(learned.save(tmp_path / "stripes.safetensors"))
    again.features = tiny()
    again.fit(stripes(), CONTENT, steps=1, learning_rate=1e-6, warmup_epochs=0, **QUICK)
    near = again.transform(disc()).image.astype(float)
    assert np.abs(near - learned.transform(disc()).image).mean() < 2


def test_steps_are_rounded_up_to_whole_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "PASS", 3)
    done: list[Progress] = []
    painter().fit(stripes(), CONTENT, steps=7, on_progress=done.append, **{**QUICK, "batch_size": 1})
    assert (done[-1].epochs, done[-1].steps) == (3, 3)


def test_files_and_folders_are_taken(learned: FastStyle, tmp_path: Path) -> None:
    save_image(disc(), tmp_path / "one.png")
    save_image(stripes(), tmp_path / "style.png")
    found = painter().fit(tmp_path / "style.png", tmp_path, steps=1, **QUICK)
    assert found.transform(str(tmp_path / "one.png")).image.shape == (40, 56, 3)
    assert learned.evaluate(tmp_path / "style.png", tmp_path).keys() == {"loss", "content", "style", "style_before"}


def test_shipped_features_teach_a_painter_too() -> None:
    found = FastStyle(widths=(4, 4, 4), blocks=1, crop=64).fit(stripes(), CONTENT, steps=1, **QUICK)
    assert found.transform(disc()).image.shape == (40, 56, 3)
    assert found.config()["features"] == load_features().name


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"crop": 66}, "crop as a multiple of 4; got 66"),
        ({"crop": 32}, "crop to be a whole number, 64 or more; got 32"),
        ({"style_size": 0}, "style_size to be a whole number, 1 or more"),
        ({"style_weight": -1}, "style_weight not below 0; got -1; pass style_weight=1"),
        ({"style_weight": 0, "content_weight": 0}, "a weight above 0; got content_weight 0 and style_weight 0"),
        ({"widths": (4, 8)}, "three widths"),
    ],
)
def test_what_no_painter_can_be_is_said(keywords: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        painter(**keywords)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps to be a whole number, 1 or more; got 0"),
        ({"epochs": 3}, "steps in place of epochs; got epochs=3"),
        ({"learning_rat": 3}, "did you mean 'learning_rate'"),
        ({"batch_size": 0}, "batch_size to be a positive number"),
    ],
)
def test_trainings_that_cannot_be_are_said(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        painter().fit(stripes(), CONTENT, **options)


def test_layers_that_cannot_be_are_said() -> None:
    with pytest.raises(UsageError, match="layer to be one of relu1_1"):
        painter(style_layers=["relu9_1"]).fit(stripes(), CONTENT)
    deep = Features("deep", VggTrunk((2,) * 6, (1,) * 6), STYLE_LAYERS)
    words = "crops of at least 128 pixels for deep; got 64; pass crop=128, or layers before pool6"
    with pytest.raises(UsageError, match=words):
        painter(features=deep, content_layers=["pool6"]).fit(stripes(), CONTENT, steps=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0}, "size to be a whole number, 1 or more; got 0"),
        ({"strength": 2}, "strength to lie between 0 and 1; got 2"),
        ({"colours": "grey"}, "colours to be one of style, luminance; got 'grey'"),
    ],
)
def test_paintings_that_cannot_be_are_said(learned: FastStyle, options: dict[str, Any], words: str) -> None:
    for paint in (learned.transform, lambda image, **given: learned.transform_frames([image], **given)):
        with pytest.raises(UsageError, match=words):
            paint(disc(), **options)  # type: ignore[operator]


def test_steady_out_of_range_is_said_before_a_frame_is_asked_for(learned: FastStyle) -> None:
    with pytest.raises(UsageError, match="steady below 1"):
        learned.transform_frames(iter(()), steady=1)


def test_a_painter_without_weights_is_refused() -> None:
    for use in (lambda p: p.transform(disc()), lambda p: p.transform_frames([]), lambda p: p.save("a.safetensors")):
        with pytest.raises(ModelError, match="a faststyle with weights; got one that was never trained"):
            use(painter())


def test_too_little_memory_is_said(learned: FastStyle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_paint, "free_memory", lambda _: 1000.0)
    with pytest.raises(ImageError, match=r"GiB of memory for 40 x 56 pixels; got .*; pass a smaller size"):
        learned.transform(disc())


def test_a_size_that_measures_nothing_is_refused(learned: FastStyle) -> None:
    with pytest.raises(UsageError, match="size"):
        learned.evaluate(stripes(), CONTENT, size=0)


def test_layers_with_weights_are_kept_in_the_file(tmp_path: Path) -> None:
    found = painter(style_layers={"relu1_1": 2.0, "relu2_1": 1.0}, content_layers=["relu2_1"])
    path = found.fit(stripes(), CONTENT, steps=1, **QUICK).save(tmp_path / "a.safetensors", licence="mine")
    _, meta = load_checkpoint(path)
    assert meta["config"]["style_layers"] == {"relu1_1": 2.0, "relu2_1": 1.0}
    assert FastStyle.load(path).content_layers == {"relu2_1": 1.0}
    assert meta["licence"] == "mine"
