"""Whatever the bytes are, the loader returns a picture or raises ImageError: nothing else, and no half picture."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from striate.core.checks import ImageError
from striate.core.images import load_image

MAX_PIXELS = 100_000


def seeds() -> list[bytes]:
    rng = np.random.default_rng(0)
    grid = Image.fromarray(rng.integers(0, 256, (13, 17, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [
        (grid, "JPEG", {"exif": exif}), (grid, "JPEG", {"progressive": True}), (grid.convert("CMYK"), "JPEG", {}),
        (grid, "PNG", {}), (grid.convert("P"), "PNG", {"transparency": 0}), (grid.convert("I;16"), "PNG", {}),
        (grid, "WEBP", {}), (grid.convert("RGBA"), "WEBP", {"lossless": True}), (grid, "BMP", {}),
        (grid.convert("P"), "BMP", {}), (grid, "GIF", {"save_all": True, "append_images": [grid.rotate(90)]}),
        (grid, "TIFF", {}), (grid, "TIFF", {"compression": "tiff_lzw"}), (grid.convert("F"), "TIFF", {}),
        (grid.convert("1"), "TIFF", {"compression": "group4"}),
    ]  # fmt: skip
    files = []
    for picture, format, options in kinds:
        stream = io.BytesIO()
        picture.save(stream, format, **options)
        files.append(stream.getvalue())
    return files


SEEDS = seeds()


def check(data: bytes) -> np.ndarray | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as errors they would hide, inside ImageError, what comes after them
        try:
            image = load_image(data, max_pixels=MAX_PIXELS, max_seconds=5)
        except ImageError as error:
            refusal = error
        else:
            refusal = None
    if refusal is not None:
        assert all((refusal.expected, refusal.got, refusal.fix))
        return None
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert 1 <= image.shape[0] * image.shape[1] <= MAX_PIXELS
    return image


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    check(data)


@given(st.sampled_from(SEEDS), st.integers(4, 40), st.binary(max_size=200))
def test_a_true_start_and_any_end(seed: bytes, keep: int, end: bytes) -> None:
    check(seed[:keep] + end)


@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_flipped_bytes(seed: bytes, changes: list[tuple[int, int]]) -> None:
    data = bytearray(seed)
    for at, value in changes:
        data[at % len(data)] = value
    check(bytes(data))


@given(st.sampled_from(SEEDS), st.data())
def test_moved_parts(seed: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(seed)), min_size=3, max_size=3)))
    a, b, c, d = seed[: cuts[0]], seed[cuts[0] : cuts[1]], seed[cuts[1] : cuts[2]], seed[cuts[2] :]
    check(data.draw(st.sampled_from([a + c + b + d, a + b + b * 50 + c + d, a + c + d])))


@pytest.mark.parametrize("seed", SEEDS, ids=range(len(SEEDS)))
def test_a_cut_picture_is_refused_or_whole(seed: bytes) -> None:
    """Cut at every byte: never a picture with a grey or black end."""
    whole = check(seed)
    assert whole is not None or seed is SEEDS[13]  # float values above 1 are refused by rule
    for length in range(len(seed)):
        image = check(seed[:length])
        assert image is None or np.array_equal(image, whole), f"cut at {length} of {len(seed)}"
