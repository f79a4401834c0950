"""`striate style` and `striate texture`."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate.apps import cli_style
from striate.core.checks import SaveError
from striate.core.images import load_image, save_image
from striate.style import Painting, StyleTransfer, TextureSynthesis
from striate.style.painting import read_settings
from striate.tests.apps.conftest import Ran

QUICK = ("--size", 48, "--steps", 3, "--smallest", 0)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    y, x = np.mgrid[:40, :56]
    return save_image(np.stack((y * 5, x * 4, y + x), 2).astype(np.uint8), tmp_path / "picture.png")


def test_a_picture_is_painted(striate: Callable[..., Any], picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    options = ("--layers", "relu1_1,relu3_1", "--content-weight", 0.5, "--seed", 7, "--colours", "affine", "--json")
    ran = striate("style", picture, "mosaic", "-o", out, *QUICK, *options)
    assert ran.code == 0, ran.err
    assert load_image(out).shape == (34, 48, 3)
    settings = read_settings(out)
    assert settings == ran.json["settings"]
    assert (settings["steps"], settings["content_weight"], settings["seed"], settings["colours"]) == (
        3,
        0.5,
        7,
        "affine",
    )
    assert [*settings["style_layers"]] == ["relu1_1", "relu3_1"]
    assert ran.json["finished"]
    assert set(ran.json["losses"]) == {"scale", "content", "style relu1_1", "style relu3_1", "tv"}


def test_several_styles_take_weights_and_masks(striate: Callable[..., Any], picture: Path, tmp_path: Path) -> None:
    half = np.zeros((40, 56, 3), np.uint8)
    half[:, :28] = 255
    one, two = save_image(half, tmp_path / "one.png"), save_image(255 - half, tmp_path / "two.png")
    out = tmp_path / "out.tif"
    call = ("style", picture, "mosaic", "woodcut", "-o", out, "--bits", 16, "--weights", "3,1", *QUICK, "--json")
    ran = striate(*call, "--mask", one, "--mask", two)
    assert ran.code == 0, ran.err
    assert ran.json["settings"]["weights"] == [0.75, 0.25]
    assert len(ran.json["settings"]["mask_sha256"]) == 2
    assert striate(*call, "--mask", one).code == 3


def test_a_texture_of_any_size(striate: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "out.jpg"
    ran = striate("texture", "woodcut", "-o", out, "--size", "40x64", "--steps", 2)
    assert ran.code == 0, ran.err
    assert ran.out.strip() == str(out)
    assert load_image(out).shape == (40, 64, 3)


def test_ctrl_c_keeps_the_picture_and_the_state(
    striate: Callable[..., Any], picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_style, "EVERY", 1)
    out, state, plain = tmp_path / "out.png", tmp_path / "state.safetensors", tmp_path / "plain.png"
    call = ("style", picture, "mosaic", "--size", 48, "--smallest", 0, "--steps", 6)
    assert striate(*call, "-o", plain).code == 0
    real = StyleTransfer.transform

    def interrupted(self: StyleTransfer, *arguments: Any, on_step: Callable[[Any], bool], **keywords: Any) -> Any:
        def look(progress: Any) -> bool:
            if progress.step == 3:
                signal.raise_signal(signal.SIGINT)
            return on_step(progress)

        return real(self, *arguments, on_step=look, **keywords)

    monkeypatch.setattr(StyleTransfer, "transform", interrupted)
    ran = striate(*call, "-o", out, "--state", state)
    assert ran.code == 130
    assert "stopped at step 3 of 6, as asked" in ran.err
    assert load_image(out).shape == (34, 48, 3)
    monkeypatch.setattr(StyleTransfer, "transform", real)
    assert striate(*call, "-o", out, "--state", state).code == 0
    assert np.array_equal(load_image(out), load_image(plain))
    assert not state.exists()


def test_every_option_of_the_python_api_is_there() -> None:
    for command, made, other in ((cli_style.style, StyleTransfer, {"content_layers": "", "style_layers": "layers"}),
                                 (cli_style.texture, TextureSynthesis, {})):  # fmt: skip
        options = set(inspect.signature(command).parameters)
        wanted = {other.get(name, name) for name in inspect.signature(made).parameters} - {""}
        assert wanted <= options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--strength", 2), "strength to lie between 0 and 1"),
        (("--layers", ","), "names of layers between commas"),
        (("--features", "vgg-19"), "did you mean 'vgg19'"),
        (("--bits", 12), "8 bits, or 16"),
    ],
)
def test_what_cannot_be_painted_is_said(
    striate: Callable[..., Any], picture: Path, tmp_path: Path, options: tuple[Any, ...], words: str
) -> None:
    ran = striate("style", picture, "mosaic", "-o", tmp_path / "out.png", *QUICK, *options)
    assert ran.code in (2, 4)
    assert words in " ".join(ran.err.split())


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("out.gif", (), "a format out of .png, .jpg, .jpeg, .webp, .tif, .tiff"),
        ("out.jpg", ("--bits", 16), "16 in a .jpg"),
        ("none/out.png", (), "no such folder"),
        (".", (), "a format out of"),
        ("a.png", (), "a folder:"),
    ],
)
@pytest.mark.parametrize("command", ["style", "texture"])
def test_what_could_not_be_written_is_said_before_anything_is_painted(
    striate: Callable[..., Any], picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    command: str, name: str, options: tuple[Any, ...], words: str,
) -> None:  # fmt: skip
    (tmp_path / "a.png").mkdir()
    monkeypatch.setattr(StyleTransfer, "fit", lambda *_: pytest.fail("it was begun"))
    inputs = (picture, "mosaic") if command == "style" else ("mosaic",)
    ran = striate(command, *inputs, "-o", tmp_path / name, *options)
    assert ran.code
    assert "".join(words.split()) in "".join(ran.err.split())


def test_a_full_disk_costs_no_work(
    striate: Callable[..., Any], picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Painting, *_: Any, **__: Any) -> Path:
        raise SaveError("room on the disk", "none", "make room")

    out, state = tmp_path / "out.png", tmp_path / "state.safetensors"
    call = ("style", picture, "mosaic", "-o", out, *QUICK, "--state", state)
    real = Painting.save
    monkeypatch.setattr(Painting, "save", full)
    ran = striate(*call)
    assert ran.code
    assert "to write it: the same command with --state" in " ".join(ran.err.split())
    assert state.exists()
    monkeypatch.setattr(Painting, "save", real)
    assert striate(*call).code == 0
    assert load_image(out).shape == (34, 48, 3)
    assert not state.exists()


def test_a_style_that_is_neither_drawn_nor_a_file_names_the_known(
    striate: Callable[..., Ran], picture: Path, tmp_path: Path
) -> None:
    ran = striate("style", picture, "mozaic", "-o", tmp_path / "out.png")
    assert ran.code == 2
    assert "did you mean 'mosaic'?" in ran.err
