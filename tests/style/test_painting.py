"""Paintings as files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from striate.core.checks import ImageError, UsageError
from striate.core.images import load_image
from striate.style import Painting
from striate.style.painting import read_settings

SETTINGS = {"seed": 3, "features": "tiny", "words": "für alle"}
PAINTING = Painting(torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(0)), [], SETTINGS)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_pictures_come_back_with_all_their_bits(bits: int, suffix: str, tmp_path: Path) -> None:
    path = PAINTING.save(tmp_path / f"a{suffix}", bits=bits)
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert np.array_equal(read, PAINTING.image if bits == 8 else PAINTING.image16)
    assert np.abs(PAINTING.image16 / 65535 - PAINTING.pixels[0].permute(1, 2, 0).numpy()).max() < 1e-5
    assert np.abs(load_image(path).astype(int) - PAINTING.image).max() <= 1


@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_says_how_it_was_painted(bits: int, tmp_path: Path) -> None:
    path = PAINTING.save(tmp_path / "a.png", bits=bits)
    assert read_settings(path) == SETTINGS
    with Image.open(path) as picture:
        picture.load()
        assert '"seed": 3' in picture.text["striate"]  # type: ignore[attr-defined]


def test_jpeg_and_webp_are_written(tmp_path: Path) -> None:
    for suffix in (".jpg", ".webp"):
        assert load_image(PAINTING.save(tmp_path / f"a{suffix}")).shape == (7, 9, 3)


def test_what_a_format_cannot_hold_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected 8 bits, or 16 in a .png or .tif; got 16 in a .jpg"):
        PAINTING.save(tmp_path / "a.jpg", bits=16)
    with pytest.raises(UsageError, match=r"got 12 in a \.png"):
        PAINTING.save(tmp_path / "a.png", bits=12)
    with pytest.raises(ImageError, match=r"expected a format out of .*\.webp, \.tif, \.tiff; got '\.gif'"):
        PAINTING.save(tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


def test_other_files_have_no_settings(tmp_path: Path) -> None:
    Image.fromarray(PAINTING.image).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="expected a PNG that was painted here"):
        read_settings(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"got No such file or directory: .*missing\.png; check the path"):
        read_settings(tmp_path / "missing.png")
