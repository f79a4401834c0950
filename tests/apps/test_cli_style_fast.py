"""`striate style-fast`: a style learned in a run folder, pictures and videos painted into files."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate.apps import cli_style_fast
from striate.apps.cli_style_fast import FEATURES, FIT, MAKE, PAINT, RECIPE, WIDTHS
from striate.core.checks import UsageError
from striate.core.history import Progress
from striate.core.images import load_image, save_image
from striate.core.recipe import TrainingOptions
from striate.core.video import read_frames, write_video
from striate.style import FastStyle, fast
from striate.style.features import load_features

Run = Callable[..., Any]
SMALL = ("--widths", "4,4,4", "--blocks", 1, "--crop", 64, "--batch-size", 1, "--device", "cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a painter that has learned nothing."""
    painter = FastStyle(widths=(4, 4, 4), blocks=1, crop=64)
    painter._start((), seed=0)  # as training begins
    return painter.save(tmp_path_factory.mktemp("weights") / "plain.safetensors")


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """A folder of two pictures."""
    folder = tmp_path / "content"
    folder.mkdir()
    for seed in range(2):
        noise = np.random.default_rng(seed).integers(0, 256, (70 + 4 * seed, 80, 3), dtype=np.uint8)
        save_image(noise, folder / f"{seed}.png")
    return folder


def video(path: Path, frames: int = 3) -> Path:
    with write_video(path, 10.0) as append:
        for shade in range(frames):
            append(np.full((32, 48, 3), 40 * shade, np.uint8))
    return path


def test_defaults_shown_are_the_apis_and_every_option_is_there() -> None:
    make, learn, paint = (
        inspect.signature(part).parameters for part in (FastStyle.__init__, FastStyle.fit, FastStyle.transform_frames)
    )
    for shown, known in ((MAKE, make), (FIT, learn), (PAINT, paint)):
        for name in shown:
            if name not in ("features", "max_pixels"):
                assert shown[name] == str(known[name].default)
    assert ",".join(map(str, make["widths"].default)) == WIDTHS
    assert inspect.signature(load_features).parameters["name_or_path"].default == FEATURES == make["features"].default
    recipe = {field.name: field.default for field in fields(TrainingOptions)}
    assert RECIPE["device"] == recipe["device"]
    left_out = {"self", "style_layers", "content_layers"}
    assert set(make) - left_out <= set(inspect.signature(cli_style_fast.train).parameters)
    assert {"size", "strength", "colours", "steady"} <= set(inspect.signature(cli_style_fast.apply).parameters)


@pytest.mark.parametrize("refused", [("no-such-folder",), (".", "--precision", "fp64")], ids=["folder", "precision"])
def test_what_is_refused_leaves_no_run_folder(striate: Run, refused: tuple[str, ...], tmp_path: Path) -> None:
    ran = striate("style-fast", "train", "strokes", *refused, "--out", tmp_path / "run")
    assert ran.code in (2, 3)
    assert not (tmp_path / "run").exists()


def test_train_writes_a_run_folder_resumes_and_its_weights_paint(
    striate: Run, content: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "PASS", 1)
    run = tmp_path / "run"
    words = ("style-fast", "train", "woodcut", content, "--out", run)
    ran = striate(*words, "--steps", 2, "--seed", 3, "--style-weight", 7, "--style-size", 64, *SMALL, "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["task"], ran.json["run"], ran.json["epochs"]) == ("style-fast", str(run), 2)
    assert {"loss", "content_loss", "style_loss", "preview_style"} <= ran.json["metrics"].keys()
    assert "learning to paint like woodcut" in ran.err
    names = {path.name for path in run.iterdir()}
    assert {"best.safetensors", "last.safetensors", "history.csv", "config.json", "preview.png"} <= names
    assert load_image(run / "preview.png").shape == (70, 80, 3)
    asked = json.loads((run / "config.json").read_text())
    assert asked["painter"]["widths"] == "4,4,4"
    assert (asked["fit"]["steps"], asked["style"]) == (2, "woodcut")
    assert FastStyle.load(run / "best.safetensors").style_weight == 7
    before = (run / "history.csv").read_bytes()
    again = striate(*words, "--resume", "--json")  # the options are the saved ones
    assert again.code == 0, again.err
    assert (run / "history.csv").read_bytes() == before
    further = striate(
        "style-fast", "train", content / "0.png", content, "--weights", run / "best.safetensors", "--steps", 1,
        "--batch-size", 1, "--out", tmp_path / "more", "--preview", content / "1.png",
    )  # fmt: skip
    assert further.code == 0, further.err
    assert load_image(tmp_path / "more" / "preview.png").shape == (74, 80, 3)
    painted = striate("style-fast", "apply", content / "0.png", "--weights", run / "best.safetensors", "-o", tmp_path)
    assert painted.code == 0, painted.err
    assert load_image(tmp_path / "0-painted.png").shape == (70, 80, 3)


def test_ctrl_c_says_how_to_go_on(striate: Run, content: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, on_progress: Callable[[Progress], None], **__: Any) -> None:
        on_progress(Progress(1, 1, 1, 2, {"loss": 1.0}))
        raise KeyboardInterrupt

    monkeypatch.setattr(FastStyle, "fit", interrupted)
    ran = striate("style-fast", "train", "mosaic", content, "--out", tmp_path / "run")
    assert ran.code == 130
    assert f"go on with: striate style-fast train mosaic {content} --out {tmp_path / 'run'} --resume" in ran.err


def test_pictures_are_painted_into_a_folder_and_a_bad_one_costs_no_other(
    striate: Run, content: Path, weights: Path, tmp_path: Path
) -> None:
    (content / "2.png").write_bytes(b"no picture")
    out = tmp_path / "a" / "out"
    ran = striate("style-fast", "apply", content, "--weights", weights, "--out", out, "--size", 40, "--json")
    assert ran.code == 3
    results = ran.json["results"]
    assert [Path(row["file"]).name for row in results if "file" in row] == ["0-painted.png", "1-painted.png"]
    assert results[2]["error"]["type"] == "ImageError"
    assert (results[0]["height"], results[0]["width"]) == (35, 40)
    assert results[0]["seconds"] > 0
    wanted = FastStyle.load(weights).transform(content / "0.png", size=40).image
    assert np.array_equal(load_image(out / "0-painted.png"), wanted)


def test_one_picture_goes_into_a_file_with_its_options(
    striate: Run, content: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.png"
    options = ("--strength", 0, "--colours", "luminance")
    ran = striate("style-fast", "apply", content / "0.png", "--weights", weights, "-o", out, *options)
    assert ran.code == 0, ran.err
    assert ran.out.strip().endswith(f"s -> {out}")
    assert np.array_equal(load_image(out), load_image(content / "0.png"))


def test_pictures_of_one_name_get_two_files(striate: Run, content: Path, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = save_image(load_image(content / "1.png"), tmp_path / "other" / "0.png")
    ran = striate("style-fast", "apply", content / "0.png", other, "--weights", weights, "-o", tmp_path, "--json")
    assert [Path(row["file"]).name for row in ran.json["results"]] == ["0-painted.png", "0-painted-2.png"]


def test_a_video_is_painted_picture_by_picture(striate: Run, weights: Path, tmp_path: Path) -> None:
    source = video(tmp_path / "in.mp4")
    ran = striate("style-fast", "apply", source, "--weights", weights, "-o", tmp_path / "out.mp4", "--steady", 0.5,
                  "--every", 2, "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    (row,) = ran.json["results"]
    assert (row["frames"], row["rate"], row["height"], row["width"]) == (2, 5.0, 32, 48)
    assert [frame.image.shape for frame in read_frames(tmp_path / "out.mp4")] == [(32, 48, 3)] * 2
    again = striate("style-fast", "apply", source, "--weights", weights, "-o", tmp_path / "folder")
    assert again.code == 0, again.err
    assert (tmp_path / "folder" / "in-painted.mp4").is_file()


def test_options_reach_the_video(striate: Run, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def transform_frames(self: FastStyle, frames: Any, **options: Any) -> Any:
        asked.append(options)
        return iter(frames)

    monkeypatch.setattr(FastStyle, "transform_frames", transform_frames)
    words = ("style-fast", "apply", video(tmp_path / "in.mp4"), "--weights", weights, "-o", tmp_path / "out.mp4")
    assert striate(*words).code == 0
    ran = striate(*words, "--steady", 0.5, "--strength", 0.3, "--size", 32, "--colours", "luminance")
    assert ran.code == 0, ran.err
    assert asked == [{}, {"steady": 0.5, "strength": 0.3, "size": 32, "colours": "luminance"}]


def test_long_videos_tell_where_they_are(
    striate: Run, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("striate.apps.style_fast_files.TELL_SECONDS", 0.0)
    source = video(tmp_path / "in.mp4", 2)
    ran = striate("style-fast", "apply", source, "--weights", weights, "-o", tmp_path / "out.mp4")
    assert "2 pictures painted" in ran.err


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("content", "-o", "out.png"), "a folder as --out for several pictures", 2),
        (("content/0.png", "-o", "content/0.png"), "another file than the picture", 2),
        (("content/0.png", "-o", "out.gif"), "a format out of .png", 3),
        (("content/0.png", "-o", "none/out.png"), "no such folder", 1),
        (("content/0.png", "-o", "out.png", "--strength", 2), "strength to lie between 0 and 1", 2),
        (("content/0.png", "-o", "out.png", "--colours", "gray"), "colours to be one of style, luminance", 2),
        (("content/none.png", "-o", "out.png"), "no picture at", 3),
        (("content/0.png", "-o", "out.png", "--device", "tpu"), "device to be one of cpu, cuda", 2),
    ],
)
def test_what_cannot_be_painted_is_said(
    striate: Run, content: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, words: Any, said: str, code: int
) -> None:
    monkeypatch.chdir(content.parent)
    ran = striate("style-fast", "apply", *words, "--weights", weights)
    assert ran.code == code
    assert "".join(said.split()) in "".join(ran.err.split())


def test_what_cannot_be_learned_is_said(striate: Run, content: Path, weights: Path, tmp_path: Path) -> None:
    words = ("style-fast", "train", "mosaic", content, "--out", tmp_path / "run")
    with_both = striate(*words, "--weights", weights, "--style-weight", 3)
    assert (with_both.code, "either --weights or other options" in " ".join(with_both.err.split())) == (2, True)
    assert "widths" in striate(*words, "--widths", "a,b").err
    assert striate("style-fast", "train", tmp_path / "none.png", content, "--out", tmp_path / "run").code == 3
    assert striate("style-fast", "train", "mosaic", tmp_path / "none", "--out", tmp_path / "run").code == 3
    with pytest.raises(UsageError, match="drop --blocks"):
        cli_style_fast.painter_for(str(weights), {"blocks": 3})
