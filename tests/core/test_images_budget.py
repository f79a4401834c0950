"""The loader's budgets: bytes and pixels before decoding, time while decoding; bombs of every kind we know."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.core.checks import ImageError
from striate.core.decode import Budget, decode
from striate.core.images import MAX_BYTES, MAX_PIXELS, image_size, load_image


def encoded(picture: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header claims any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def scan_bomb(scans: int, side: int) -> bytes:
    """Return a progressive JPEG whose last, nearly empty scan is repeated: each costs a pass over the whole picture."""
    data = encoded(Image.new("RGB", (side, side), (200, 30, 70)), "JPEG", progressive=True)
    return data[:-2] + data[data.rfind(b"\xff\xda") : -2] * scans + data[-2:]


def test_pixels_are_counted_before_decoding() -> None:
    began = time.monotonic()
    with pytest.raises(ImageError, match=r"at most 50,000,000 pixels; got 9000x9000 = 81,000,000 pixels: the bytes"):
        load_image(png_claiming(9000, 9000))
    with pytest.raises(ImageError, match="pixels"):
        load_image(png_claiming(2**31 - 1, 2**31 - 1))
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("source", [np.zeros((4, 5, 3), np.uint8), Image.new("RGB", (5, 4))], ids=["array", "Pillow"])
def test_pixel_budget_is_exact_for_every_source(source: object) -> None:
    assert load_image(source, max_pixels=20).shape == (4, 5, 3)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"at most 19 pixels; got 5x4 = 20 pixels"):
        load_image(source, max_pixels=19)  # type: ignore[arg-type]


def test_a_gif_frame_larger_than_its_screen_is_counted() -> None:
    data = bytearray(encoded(Image.new("P", (2000, 1500)), "GIF"))
    struct.pack_into("<HH", data, 6, 1, 1)
    with pytest.raises(ImageError, match="at most 1,000,000 pixels"):
        load_image(bytes(data), max_pixels=1_000_000)


def test_bytes_are_counted_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse: a terabyte that takes no room
    with pytest.raises(ImageError, match=r"at most 67,108,864 bytes; got 1,099,511,627,776 bytes or more"):
        load_image(path)
    with pytest.raises(ImageError, match="at most 67,108,864 bytes"):
        image_size(path)
    with pytest.raises(ImageError, match=r"at most 10 bytes; got 11 bytes"):
        load_image(bytes(11), max_bytes=10)


def test_time_is_looked_at_while_decoding() -> None:
    data = scan_bomb(100_000, 1000)
    began = time.monotonic()
    with pytest.raises(ImageError, match=r"decodes within 0\.3 s; got a picture that takes longer: the bytes; save it"):
        load_image(data, max_seconds=0.3)
    # Decoding on would take minutes; the margin is for a loaded machine, the overrun itself is a few milliseconds.
    assert time.monotonic() - began < 5


def test_the_same_picture_without_the_bomb_loads() -> None:
    assert load_image(scan_bomb(3, 200)).shape == (200, 200, 3)


def test_a_late_picture_is_refused_even_where_decoding_cannot_be_interrupted() -> None:
    data = encoded(Image.new("RGB", (60, 60)), "WEBP")

    def slow(picture: Image.Image, name: str) -> np.ndarray:
        time.sleep(0.3)
        return np.asarray(picture)

    with pytest.raises(ImageError, match=r"decodes within 0\.2 s"):
        decode(data, Budget(MAX_PIXELS, MAX_BYTES, time.monotonic() + 0.2, 0.2), "it", slow)
    assert load_image(data).shape == (60, 60, 3)


def test_a_file_read_many_times_over_is_refused() -> None:
    """A TIFF of thousands of uncompressed strips, all of them the same bytes."""
    rows, width = 2000, 2000
    strip = bytes(width * 3)
    head = 8 + len(strip)
    counts, offsets = head, head + 4 * rows
    tags = [
        (256, 4, 1, width), (257, 4, 1, rows), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, rows, offsets),
        (277, 3, 1, 3), (278, 4, 1, 1), (279, 4, rows, counts),
    ]  # fmt: skip
    data = b"II*\0" + struct.pack("<I", offsets + 4 * rows) + strip + struct.pack(f"<{rows}I", *[1] * rows)
    data += struct.pack(f"<{rows}I", *[8] * rows) + struct.pack("<H", len(tags))
    data += b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    with pytest.raises(ImageError, match="whose parts overlap many times over"):
        load_image(data)


def test_many_small_segments_end_with_the_time() -> None:
    data = b"\xff\xd8" + b"\xff\xfe\x00\x02" * 2_000_000 + b"\xff\xd9"
    began = time.monotonic()
    with pytest.raises(ImageError, match="takes longer"):
        load_image(data, max_seconds=0.2)
    assert time.monotonic() - began < 5


def test_budget_names_the_picture() -> None:
    with pytest.raises(ImageError, match=r"smear\.png"):
        decode(b"GIF89a", Budget(1, 1, time.monotonic() + 9, 9), "smear.png")
