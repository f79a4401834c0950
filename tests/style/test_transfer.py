"""Style transfer: each option by what it does to the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from striate.core.checkpoints import load_state, save_state
from striate.core.checks import UsageError
from striate.core.images import resize, to_tensor
from striate.style import Painting, Progress
from striate.style.colours import luminance
from striate.style.losses import total_variation
from striate.style.memory import needed
from striate.style.objective import Objective
from striate.tests.style.stand_ins import disc, small, stripes, tiny, total

STYLE, CONTENT = stripes(), disc()


def near(one: Any, other: Any) -> float:
    """Return the mean difference of two pictures in grey levels."""
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def paint(**keywords: Any) -> Painting:
    return small(**keywords).fit(STYLE).transform(CONTENT)


def test_the_loss_falls_and_the_colours_become_the_style_s() -> None:
    painting = paint(steps=60, content_weight=0.05)
    assert total(painting.losses[-1]) < total(painting.losses[0]) / 10
    assert painting.image.shape == (34, 48, 3)
    means = [picture.mean((0, 1)) for picture in (painting.image, STYLE, CONTENT)]
    assert np.abs(means[0] - means[1]).sum() < np.abs(means[0] - means[2]).sum() / 2
    assert painting.notice == ""
    assert painting.finished


def test_the_same_seed_paints_the_same_picture_and_another_another() -> None:
    one, two, other = (paint(init="noise", seed=seed).image for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("init", ["content", "noise", "style"])
def test_a_painting_begins_where_it_is_told_to(init: str) -> None:
    begun: list[Any] = []
    transfer = small(init=init, optimizer="adam", rate=1e-6, steps=1).fit(STYLE)
    transfer.transform(CONTENT, on_step=lambda step: begun.append(step.preview))
    first = begun[0]
    wanted = {"content": resize(CONTENT, (34, 48)), "style": STYLE[7:41]}
    if init == "noise":
        assert first.std() > 60
    else:
        assert near(first, wanted[init]) < 1


def test_strength_goes_from_the_content_to_the_style() -> None:
    own = resize(CONTENT, (34, 48))
    away = [near(paint(strength=strength, steps=30).image, own) for strength in (0.0, 0.3, 1.0)]
    assert away[0] < 0.5
    assert away[0] < away[1] < away[2]


def test_a_larger_content_weight_keeps_more_of_the_content() -> None:
    own = resize(CONTENT, (34, 48))
    away = [near(paint(content_weight=weight, steps=30).image, own) for weight in (0.1, 100.0)]
    assert away[1] < away[0] / 2


def test_a_larger_tv_weight_paints_smoother() -> None:
    rough = [float(total_variation(paint(init="noise", tv_weight=w, steps=30).pixels)) for w in (0.0, 100.0)]
    assert rough[1] < rough[0] / 2


def test_a_style_weight_of_zero_gives_the_content_and_of_the_content_no_content_loss() -> None:
    plain = paint(style_weight=0.0, init="noise", steps=60)
    assert set(plain.losses[0]) == {"scale", "content"}
    assert total(plain.losses[-1]) < total(plain.losses[0]) / 3
    assert "content" not in paint(content_weight=0.0).losses[0]


def test_the_style_s_size_changes_the_strokes() -> None:
    sizes = [small(style_scale=scale, size=48).fit(stripes(96, 96, 24)).grams_[0][48] for scale in (0.5, 2.0)]
    assert not torch.allclose(sizes[0]["relu3_1"], sizes[1]["relu3_1"], rtol=0.05)


def test_several_styles_are_mixed_by_their_weights() -> None:
    green = np.full((32, 32, 3), (20, 220, 20), np.uint8)
    keywords: dict[str, Any] = {"content_weight": 0.01, "steps": 40}
    greens = []
    for weights in ([1, 0], [1, 1], [0, 1]):
        image = small(**keywords).fit([STYLE, green], weights).transform(CONTENT).image
        greens.append(float(image[..., 1].mean() - image[..., 0].mean()))
    assert greens[0] < greens[1] < greens[2]


def test_masks_put_each_style_in_its_place() -> None:
    green = np.full((32, 32, 3), (20, 220, 20), np.uint8)
    left = np.zeros(CONTENT.shape[:2], bool)
    left[:, :28] = True
    transfer = small(content_weight=0.01, steps=40).fit([STYLE, green])
    image = transfer.transform(CONTENT, masks=[left, (~left).astype(np.uint8) * 255]).image.astype(float)
    redness = (image[..., 0] - image[..., 1]).mean(0)
    assert redness[:16].mean() > 40
    assert redness[-16:].mean() < -40


@pytest.mark.parametrize("colours", ["luminance", "affine", "histogram"])
def test_the_content_s_colours_are_kept(colours: str) -> None:
    keywords: dict[str, Any] = {"content_weight": 0.05, "steps": 30}
    content = resize(CONTENT, (34, 48))
    kept, lost = (paint(colours=name, **keywords).image for name in (colours, "style"))
    away = [np.abs(image.mean((0, 1)) - content.mean((0, 1))).sum() for image in (kept, lost)]
    assert away[0] < away[1] / 2
    assert near(kept, content) > 2  # something was painted


def test_with_luminance_the_chroma_is_the_content_s() -> None:
    painting = paint(colours="luminance")
    content = to_tensor(resize(CONTENT, (34, 48)))
    chroma = [image - luminance(image) for image in (painting.pixels, content)]
    inside = (painting.pixels > 0.01) & (painting.pixels < 0.99)
    clear = inside.all(1, keepdim=True).expand_as(inside)
    torch.testing.assert_close(chroma[0][clear], chroma[1][clear], rtol=0, atol=1e-4)


@pytest.mark.parametrize("init", ["content", "noise", "style"])
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_with_luminance_the_pixels_stay_grey(init: str, optimizer: str) -> None:
    grey: list[bool] = []

    def look(progress: Progress) -> None:
        pixels = progress._step.pixels
        grey.append(torch.equal(pixels, pixels[:, :1].expand_as(pixels)))

    small(colours="luminance", init=init, optimizer=optimizer).fit(STYLE).transform(CONTENT, on_step=look)
    assert len(grey) == 12
    assert all(grey)


def test_layers_are_weighed_and_left_out() -> None:
    rows = paint(style_layers={"relu1_1": 3.0, "relu2_1": 1.0}).losses[0]
    assert set(rows) == {"scale", "content", "style relu1_1", "style relu2_1"}
    alone = paint(style_layers=["relu1_1"]).losses[0]["style relu1_1"]
    assert rows["style relu1_1"] == pytest.approx(alone * 3 / 4, rel=1e-5)


def test_pooling_and_balance_change_what_is_compared() -> None:
    plain = small().fit(STYLE).grams_[0][48]["relu3_1"]
    average = small(features=tiny(pooling="average")).fit(STYLE).grams_[0][48]["relu3_1"]
    assert not torch.allclose(plain, average, rtol=0.01)
    balanced = small(normalized=True).fit(STYLE).grams_[0][48]["relu3_1"]
    loud = plain.diag() > plain.diag().mean() / 4
    assert loud.sum() >= 4
    assert (balanced.diag()[loud] >= 0.99).all()  # a mean of 1 has a mean square of at least 1
    assert balanced.diag().max() < plain.diag().max()


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_both_optimizers_paint(optimizer: str) -> None:
    painting = paint(optimizer=optimizer, steps=40)
    assert total(painting.losses[-1]) < total(painting.losses[0]) / 2


def test_scales_go_from_coarse_to_fine() -> None:
    seen: list[Progress] = []
    painting = small(size=64, smallest=16, steps=8).fit(STYLE).transform(CONTENT, on_step=seen.append)  # type: ignore[arg-type]
    assert [(s.height, s.width) for s in seen if s.step == 1] == [(11, 16), (23, 32), (46, 64)]
    assert [s.steps for s in seen if s.step == 1] == [8, 4, 2]
    assert [row["scale"] for row in painting.losses] == [1] * 8 + [2] * 4 + [3] * 2
    assert seen[-1].done == 1
    assert [s.done for s in seen] == sorted(s.done for s in seen)
    assert seen[0].eta_seconds > 0
    assert seen[0].preview.shape == (11, 16, 3)


def test_scales_too_small_for_the_network_leave_their_steps_to_the_next() -> None:
    seen: list[Progress] = []
    content = disc(20, 80)
    small(size=64, smallest=16, steps=8).fit(STYLE).transform(content, on_step=seen.append)  # type: ignore[arg-type]
    assert [(s.height, s.width, s.steps) for s in seen if s.step == 1] == [(8, 32, 8), (16, 64, 4)]


def test_tiles_paint_what_the_whole_picture_gives() -> None:
    whole = paint(steps=5, optimizer="adam", size=160)
    tiled = paint(steps=5, optimizer="adam", size=160, tile=80)
    assert near(whole.image, tiled.image) < 0.05


def test_little_memory_is_kept_by_tiles_and_said() -> None:
    features = tiny()
    names = [*features.style_layers]
    least, most = (needed(features, names, 343, 480, tile) for tile in (256, None))
    assert least < most
    tiled = small(size=480, steps=1, memory_gb=(least + 1) / 2**30).fit(STYLE)
    assert "painted 343 x 480 pixels in tiles of 256" in tiled.transform(CONTENT).notice
    assert tiled.memory(40, 56) == most
    with pytest.raises(UsageError, match=r"GiB of memory for 343 x 480 pixels; got .*; paint a smaller picture, or"):
        small(size=480, steps=1, memory_gb=(least - 1) / 2**30).fit(STYLE).transform(CONTENT)


def test_out_of_memory_goes_on_in_smaller_tiles_and_keeps_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(most: int) -> None:
        def call(self: Objective, pixels: Any) -> Any:
            if max(pixels.shape) > 300 and (self.tile or 10_000) > most:
                raise torch.OutOfMemoryError("no memory")
            return plain(self, pixels)

        monkeypatch.setattr(Objective, "__call__", call)

    plain = Objective.__call__
    transfer = small(size=600, smallest=300, steps=4).fit(STYLE)
    short(300)
    painting = transfer.transform(CONTENT)
    assert painting.notice == "out of memory: went on in tiles of 300"
    assert painting.finished
    short(0)
    painting = transfer.transform(CONTENT)
    assert "the memory does not suffice for the smallest tiles" in painting.notice
    assert not painting.finished
    assert painting.image.shape == (214, 300, 3)
    monkeypatch.setattr(Objective, "__call__", plain)
    assert transfer.transform(CONTENT, state=painting.state).finished


def test_a_painting_that_was_stopped_is_kept_and_goes_on(tmp_path: Path) -> None:
    transfer = small(size=64, smallest=32, steps=10).fit(STYLE)
    whole = transfer.transform(CONTENT)
    part = transfer.transform(CONTENT, on_step=lambda step: step.scale == 2 and step.step == 2)
    assert part.notice == "stopped at step 2 of 5, as asked"
    assert not part.finished
    assert part.image.shape == whole.image.shape
    save_state(tmp_path / "state.safetensors", part.state)
    state, _ = load_state(tmp_path / "state.safetensors")
    rest = transfer.transform(CONTENT, state=state)
    assert np.array_equal(rest.image16, whole.image16)
    assert rest.losses == whole.losses
    assert rest.finished


def test_a_finished_painting_keeps_nothing_of_its_optimizer() -> None:
    transfer = small().fit(STYLE)
    whole = transfer.transform(CONTENT)
    assert whole.state["descent"]["rule"] == {}
    again = transfer.transform(CONTENT, state=whole.state)
    assert again.finished
    assert np.array_equal(again.image, whole.image)
    assert again.losses == whole.losses
    part = transfer.transform(CONTENT, on_step=lambda step: step.step == 2)
    assert {"moves", "changes"} <= {*part.state["descent"]["rule"]}


def test_too_large_a_rate_is_said_and_the_picture_kept() -> None:
    painting = paint(optimizer="adam", rate=1e38, steps=20)
    assert np.isfinite(painting.pixels.numpy()).all()
    broken = tiny()
    broken.trunk.layers["relu1_1"].weight.data[0, 0, 0, 0] = 1e30  # type: ignore[union-attr, index]
    painting = paint(features=broken, steps=1)
    assert not painting.finished  # its only step was taken back
    painting = paint(features=broken)
    assert "the loss is not a finite number; a lower rate may help" in painting.notice
    assert near(painting.image, resize(CONTENT, (34, 48))) < 0.01


def test_grey_and_transparent_pictures_are_taken() -> None:
    grey, layered = CONTENT[..., 0], np.dstack((CONTENT, np.full(CONTENT.shape[:2], 255, np.uint8)))
    transfer = small(steps=2).fit(STYLE[..., 0])
    assert transfer.transform(grey).image.shape == transfer.transform(layered).image.shape == (34, 48, 3)


def test_black_and_flat_pictures_are_painted() -> None:
    black = np.zeros((40, 40, 3), np.uint8)
    for colours in ("style", "luminance", "affine", "histogram"):
        painting = small(steps=3, colours=colours).fit(black).transform(black + 90)
        assert painting.notice == ""
