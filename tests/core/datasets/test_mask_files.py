"""Files of masks keep their numbers, whatever the mode; palettes are VOC's; hostile files are refused."""

import contextlib
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from striate.core.checks import DataError, ImageError
from striate.core.datasets.mask_code import MaskCode
from striate.core.datasets.mask_files import encode_mask, read_mask, save_mask, voc_colours
from striate.tests.core.datasets.mask_sets import squares


def written(path: Path, picture: Image.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("values", "bits"),
    [(squares(3), 8), (squares(1, dtype=bool), 1), (squares(40_000, dtype=np.uint16), 16)],
    ids=["8-bit", "1-bit", "16-bit"],
)
def test_values_stay_as_they_are(tmp_path: Path, values: np.ndarray, bits: int) -> None:
    raw = read_mask(written(tmp_path / "a.png", Image.fromarray(values)))
    assert np.array_equal(raw.values, values)
    assert raw.bits == bits
    assert raw.palette is None


def packed(values: np.ndarray, bits: int) -> list[bytes]:
    """Rows of values, each `bits` wide, from the highest bit down."""
    lines = ["".join(format(value, f"0{bits}b") for value in row) for row in values.tolist()]
    return [int(line, 2).to_bytes(len(line) // 8, "big") for line in lines]


def grey_png(values: np.ndarray, bits: int) -> bytes:
    """A grey PNG as the standard says; Pillow writes none below 8 bits."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    rows = b"".join(b"\0" + row for row in packed(values, bits))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def grey_tiff(values: np.ndarray, bits: int) -> bytes:
    """The same as TIFF, black is zero."""
    data = b"".join(packed(values, bits))
    tags = {256: values.shape[1], 257: values.shape[0], 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: len(values)}
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in (tags | {279: len(data)}).items())
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags) + 1) + entries + bytes(4)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(("write", "suffix"), [(grey_png, "png"), (grey_tiff, "tif")])
def test_few_bits_are_not_scaled(
    tmp_path: Path, bits: int, write: Callable[[np.ndarray, int], bytes], suffix: str
) -> None:
    values = (np.arange(128).reshape(8, 16) % 2**bits).astype(np.uint8)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(write(values, bits))
    raw = read_mask(path)
    assert np.array_equal(raw.values, values)
    assert raw.bits == 8


def test_palettes_of_few_bits_stay_indices(tmp_path: Path) -> None:
    picture = Image.fromarray(squares(3))
    picture.putpalette([0, 0, 0, 9, 9, 9, 1, 2, 3, 4, 5, 6])
    path = written(tmp_path / "a.png", picture, bits=2)
    assert path.read_bytes()[24] == 2
    assert np.array_equal(read_mask(path).values, squares(3))


def test_a_palette_gives_indices_and_its_colours(tmp_path: Path) -> None:
    picture = Image.fromarray(squares(2))
    picture.putpalette([0, 0, 0, 9, 9, 9, 1, 2, 3])
    raw = read_mask(written(tmp_path / "a.png", picture))
    assert np.array_equal(raw.values, squares(2))
    assert raw.palette is not None
    assert raw.palette[2].tolist() == [1, 2, 3]


def test_opaque_alpha_is_dropped(tmp_path: Path) -> None:
    grey = Image.fromarray(squares(2))
    raw = read_mask(written(tmp_path / "a.png", Image.merge("LA", (grey, Image.new("L", grey.size, 255)))))
    assert np.array_equal(raw.values, squares(2))


def test_the_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = read_mask(written(tmp_path / "a.png", Image.fromarray(squares(2)), exif=exif))
    assert np.array_equal(raw.values, np.rot90(squares(2), -1))


@pytest.mark.parametrize(
    ("picture", "suffix", "message"),
    [
        (Image.new("L", (4, 4)), ".jpg", "without loss"),
        (Image.new("RGBA", (4, 4), (1, 2, 3, 4)), ".png", "without transparency"),
        (Image.new("F", (4, 4), 0.5), ".tif", "whole numbers, a palette or RGB; got mode F"),
        (Image.new("I", (4, 4), 70_000), ".tif", "values from 0 to 65535; got 70000 to 70000"),
    ],
)
def test_what_cannot_be_class_ids(tmp_path: Path, picture: Image.Image, suffix: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_mask(written(tmp_path / f"a{suffix}", picture))


def test_the_pixel_budget_holds(tmp_path: Path) -> None:
    path = written(tmp_path / "a.png", Image.new("1", (10_000, 6_000)))
    with pytest.raises(ImageError, match="at most 50,000,000 pixels"):
        read_mask(path)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_mask_or_an_image_error(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, tail: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.png"
    path.write_bytes(encode_mask(squares())[:60] + noise if tail else noise)
    with contextlib.suppress(ImageError):
        assert read_mask(path).values.size


def test_the_palette_is_voc_s() -> None:
    # The first colours as the development kit's documentation prints them, and the one of person.
    assert voc_colours(4) == ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
    assert voc_colours(16)[15] == (192, 128, 128)
    assert len(set(voc_colours(256))) == 256


def test_masks_are_written_with_a_palette_and_read_back(tmp_path: Path) -> None:
    mask = squares(1)
    mask[0] = 255
    path = save_mask(mask, tmp_path / "a.png", ((1, 2, 3), (4, 5, 6)))
    with Image.open(path) as picture:
        shown = np.asarray(picture.convert("RGB"))
        assert picture.mode == "P"
    assert [shown[y, x].tolist() for y, x in ((1, 0), (5, 6), (0, 0))] == [[1, 2, 3], [4, 5, 6], [255] * 3]
    assert np.array_equal(read_mask(path).values, mask)
    assert np.array_equal(Image.open(io.BytesIO(encode_mask(mask))), mask)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a mask as uint8"):
        encode_mask(squares().astype(int))
    with pytest.raises(DataError, match=r"\.png, which keeps class ids; got a\.jpg"):
        save_mask(squares(), tmp_path / "a.jpg")


def test_palettes_and_grey_rgb_go_through_the_code(tmp_path: Path) -> None:
    code = MaskCode(colours=(((0, 0, 0), 0), ((1, 2, 3), 1)))
    picture = Image.fromarray(squares(2))
    picture.putpalette([0, 0, 0, 9, 9, 9, 1, 2, 3])
    assert np.array_equal(code.ids(read_mask(written(tmp_path / "a.png", picture)), "a"), squares())
    colours = read_mask(written(tmp_path / "b.png", picture.convert("RGB")))
    assert np.array_equal(code.ids(colours, "b"), squares())
    with pytest.raises(DataError, match=r"the 1 colours of the class list; got \(1, 2, 3\) in b"):
        MaskCode(colours=(((0, 0, 0), 0),)).ids(colours, "b")
    assert np.array_equal(MaskCode(colours=(((0, 0, 0), 0),), other=1).ids(colours, "b"), squares())
    grey = read_mask(written(tmp_path / "c.png", Image.fromarray(squares(1)).convert("RGB")))
    assert np.array_equal(MaskCode.identity(2).ids(grey, "c"), squares())
