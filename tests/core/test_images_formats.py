"""Formats and modes of files: what each becomes, and that nothing else is opened."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from striate.core.checks import ImageError
from striate.core.images import HEADER_BYTES, image_size, load_image


def encoded(picture: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def picture(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    """Return a gradient, so that a cut, a turn or a swapped channel shows."""
    ys, xs = np.mgrid[: size[1], : size[0]]
    rgb = np.stack([xs * 255 // size[0], ys * 255 // size[1], (xs + ys) * 2], axis=2).astype(np.uint8)
    return Image.fromarray(rgb).convert(mode)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_allowed_formats(format: str) -> None:
    loaded = load_image(encoded(picture(), format))
    assert loaded.shape == (30, 40, 3)
    tolerance = {"JPEG": 40, "WEBP": 40, "GIF": 60}.get(format, 0)
    assert np.abs(loaded.astype(int) - np.asarray(picture())).max() <= tolerance


@pytest.mark.parametrize("format", ["PPM", "TGA", "ICO", "PCX", "JPEG2000", "EPS", "AVIF", "SGI"])
def test_other_formats_are_refused(format: str) -> None:
    try:
        data = encoded(picture(), format)
    except (KeyError, OSError) as error:
        pytest.skip(f"this Pillow cannot write {format}: {error}")
    with pytest.raises(ImageError, match="a picture as JPEG, PNG, WebP, BMP, TIFF or GIF"):
        load_image(data)


@pytest.mark.parametrize("compression", [None, "packbits", "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA"])
def test_tiff(mode: str, compression: str | None) -> None:
    source = picture(mode)
    loaded = load_image(encoded(source, "TIFF", compression=compression))
    np.testing.assert_array_equal(loaded, np.asarray(source.convert("RGB")))


def test_tiff_with_strips_of_jpeg_is_refused() -> None:
    with pytest.raises(ImageError, match=r"packed with LZW.*got compression jpeg: the bytes; save it as PNG"):
        load_image(encoded(picture(), "TIFF", compression="jpeg"))


def test_tiff_with_overlapping_strips_is_refused() -> None:
    data = bytearray(encoded(picture(size=(64, 64)), "TIFF", compression="tiff_lzw"))
    start = struct.unpack_from("<I", data, 4)[0]
    for i in range(struct.unpack_from("<H", data, start)[0]):
        at = start + 2 + 12 * i
        if struct.unpack_from("<H", data, at)[0] == 279:  # StripByteCounts
            struct.pack_into("<HII", data, at + 2, 4, 1, 10**6)
    with pytest.raises(ImageError, match="strips do not overlap"):
        load_image(bytes(data))


def test_sixteen_bit_grey_is_divided_by_257() -> None:
    grey = np.array([[0, 257, 65535, 32896]], dtype=np.uint16)
    for format in ("PNG", "TIFF"):
        assert load_image(encoded(Image.fromarray(grey), format))[0, :, 0].tolist() == [0, 1, 255, 128]
    wide = Image.fromarray(grey.astype(np.int32))
    assert wide.mode == "I"
    assert load_image(encoded(wide, "TIFF"))[0, :, 0].tolist() == [0, 1, 255, 128]
    with pytest.raises(ImageError, match="values from 0 to 65535; got values from 0 to 70000"):
        load_image(encoded(Image.fromarray(np.array([[0, 70000]], dtype=np.int32)), "TIFF"))


def test_float_tiff() -> None:
    assert load_image(encoded(Image.fromarray(np.array([[0.5]], np.float32)), "TIFF")).tolist() == [[[128] * 3]]
    with pytest.raises(ImageError, match=r"values from 0 to 1; got values from 2\.0"):
        load_image(encoded(Image.fromarray(np.array([[2.0]], np.float32)), "TIFF"))


def test_transparency_lies_over_white() -> None:
    for mode, colour, expected in (
        ("RGBA", (10, 20, 30, 0), [255, 255, 255]),
        ("RGBA", (10, 20, 30, 255), [10, 20, 30]),
        ("RGBA", (0, 100, 200, 128), [127, 177, 227]),
        ("LA", (0, 128), [127, 127, 127]),
    ):
        assert load_image(encoded(Image.new(mode, (2, 2), colour), "PNG"))[0, 0].tolist() == expected
    rgba = np.array([[[0, 100, 200, 128]]], dtype=np.uint8)
    assert load_image(rgba)[0, 0].tolist() == [127, 177, 227]


def test_palettes_and_their_transparent_entry() -> None:
    source = Image.new("P", (2, 1))
    source.putpalette([255, 0, 0, 0, 0, 255])
    source.putdata([0, 1])
    assert load_image(encoded(source, "PNG")).tolist() == [[[255, 0, 0], [0, 0, 255]]]
    assert load_image(encoded(source, "PNG", transparency=0)).tolist() == [[[255, 255, 255], [0, 0, 255]]]
    assert load_image(encoded(source, "GIF", transparency=0)).tolist() == [[[255, 255, 255], [0, 0, 255]]]


def test_cmyk_and_one_bit() -> None:
    red = load_image(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))[4, 4]
    assert red[0] > 240
    assert red[1:].max() < 15
    assert load_image(encoded(Image.new("1", (2, 1), 1), "PNG")).tolist() == [[[255] * 3] * 2]


def test_lab_white_is_white() -> None:
    assert load_image(encoded(Image.new("LAB", (4, 4), (255, 128, 128)), "TIFF")).min() >= 254


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_many(format: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200))]
    loaded = load_image(encoded(frames[0], format, save_all=True, append_images=frames[1:]))
    assert np.abs(loaded.astype(int) - [200, 0, 0]).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(format, {})
    data = encoded(picture(), format, exif=exif, **options)
    grid = np.asarray(picture())
    # Written out from the EXIF 2.32 table "row 0 is the visual ..., column 0 is the visual ...".
    expected = {
        1: grid,
        2: grid[:, ::-1],
        3: grid[::-1, ::-1],
        4: grid[::-1],
        5: grid.transpose(1, 0, 2),
        6: np.rot90(grid, -1),
        7: grid[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(grid),
    }[orientation]
    loaded = load_image(data)
    assert loaded.shape == expected.shape
    assert np.abs(loaded.astype(int) - expected).max() <= (8 if format == "JPEG" else 0)
    np.testing.assert_array_equal(load_image(Image.open(io.BytesIO(data))), loaded)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_size_of_files_longer_than_the_part_read_for_it(format: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    options = {"exif": b"Exif\0\0" + bytes(60_000), "comment": bytes(60_000)} if format == "JPEG" else {}
    data = encoded(Image.fromarray(noise), format, **options)
    assert len(data) > HEADER_BYTES
    (tmp_path / "a").write_bytes(data)
    assert image_size(tmp_path / "a") == (300, 400)


def test_size_from_the_header_is_turned_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for format in ("JPEG", "TIFF"):
        path = tmp_path / format
        path.write_bytes(encoded(picture(), format, exif=exif))
        assert image_size(path) == load_image(path).shape[:2] == (40, 30)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0",
        b"nonsense",
    ],
    ids=["empty", "points outside", "cut", "orientation 9", "nonsense"],
)
def test_damaged_exif_is_ignored(exif: bytes) -> None:
    assert load_image(encoded(picture(), "PNG", exif=exif)).shape == (30, 40, 3)


def test_truncated_pictures_stay_refused_when_the_program_allows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for format in ("JPEG", "PNG", "BMP", "GIF"):
        data = encoded(picture(), format)
        with pytest.raises(ImageError, match="save or copy the picture again"):
            load_image(data[: len(data) * 2 // 3])


@pytest.mark.parametrize(("width", "height"), [(1, 1), (20000, 10), (3, 15000)])
def test_extreme_shapes(width: int, height: int) -> None:
    assert load_image(encoded(Image.new("RGB", (width, height)), "PNG")).shape == (height, width, 3)
