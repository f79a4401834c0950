"""The door for pictures: sources, rules for every kind of pixel, conversions, files written."""

from __future__ import annotations

import os
import threading
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from striate.core.checks import ImageError, SaveError, UsageError
from striate.core.images import (
    encode_image,
    image_size,
    list_images,
    load_image,
    resize,
    save_image,
    tiles,
    to_image,
    to_tensor,
)


@pytest.fixture
def image() -> np.ndarray:
    """Return a 6x9 picture in which no two pixels and no two channels are alike."""
    return np.arange(6 * 9 * 3, dtype=np.uint8).reshape(6, 9, 3)


def test_every_source_gives_the_same_pixels(image: np.ndarray, tmp_path: Path) -> None:
    path = save_image(image, tmp_path / "a.png")
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    sources = [path, str(path), path.read_bytes(), Image.open(path), image, image / 255.0, tensor, tensor / 255.0]
    for source in sources:
        loaded = load_image(source)
        assert loaded.dtype == np.uint8
        assert loaded.flags.writeable
        np.testing.assert_array_equal(loaded, image)


def test_result_is_a_copy(image: np.ndarray) -> None:
    load_image(image)[:] = 0
    assert image.any()


def test_bgr_is_turned_and_alpha_stays_last(image: np.ndarray) -> None:
    np.testing.assert_array_equal(load_image(image[:, :, ::-1], channels="bgr"), image)
    opaque = np.dstack([image[:, :, ::-1], np.full(image.shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(load_image(opaque, channels="bgr"), image)
    tensor = torch.from_numpy(np.ascontiguousarray(image[:, :, ::-1])).permute(2, 0, 1)
    np.testing.assert_array_equal(load_image(tensor, channels="bgr"), image)


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 1)], ids=["two axes", "one channel"])
def test_grey_arrays_are_repeated(shape: tuple[int, ...]) -> None:
    grey = np.arange(54, dtype=np.uint8).reshape(shape)
    loaded = load_image(grey)
    assert loaded.shape == (6, 9, 3)
    assert (loaded == grey.reshape(6, 9, 1)).all()


@pytest.mark.parametrize(
    ("array", "level"),
    [
        (np.array([[True]]), 255),
        (np.array([[65535]], dtype=np.uint16), 255),
        (np.array([[257 * 7]], dtype=np.uint16), 7),
        (np.array([[257 * 7 - 128]], dtype=np.uint16), 7),
        (np.array([[257 * 7 - 129]], dtype=np.uint16), 6),
        (np.array([[1.0]], dtype=np.float32), 255),
        (np.array([[0.5]], dtype=np.float64), 128),
        (np.array([[0.25]], dtype=np.float16), 64),
    ],
    ids=["bool", "uint16 top", "uint16", "uint16 rounds up", "uint16 rounds down", "float32", "float64", "float16"],
)
def test_arrays_of_other_types(array: np.ndarray, level: int) -> None:
    np.testing.assert_array_equal(load_image(array), np.full((1, 1, 3), level, np.uint8))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"shape \(H, W\).*got shape \(4, 4, 2\); pass one image"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"got shape \(2, 4, 4, 3\)"),
        (np.zeros(4, np.uint8), r"got shape \(4,\)"),
        (np.zeros((0, 4, 3), np.uint8), r"at least 1x1 pixel; got 4x0"),
        (np.zeros((4, 4, 3), np.int64), "got int64 in the array; convert to uint8"),
        (np.zeros((4, 4, 3), complex), "got complex128"),
        (np.zeros((4, 4, 3), object), "got object"),
        (np.full((4, 4, 3), 255.0), r"values from 0 to 1; got values from 255.0 to 255.0: the array; scale"),
        (np.full((4, 4, 3), -0.1), "got values from -0.1"),
        (np.full((4, 4, 3), np.nan), "got values from nan"),
        (torch.zeros(2, 3, 4, 4), r"shape \(3, H, W\); got shape \(2, 3, 4, 4\)"),
        (torch.zeros(5, 4, 3), r"got shape \(5, 4, 3\)"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "got int64 in the tensor"),
        (torch.zeros(3, 4, 4, device="meta"), "a plain tensor with data"),
        (None, "a path, bytes.*got NoneType"),
        (["a.png"], "a path, bytes.*got list"),
        (b"", "got an empty file: the bytes"),
        (b"<svg/>", r"JPEG, PNG, WebP, BMP, TIFF or GIF; got a file that starts with b'<svg/>'"),
        ("https://example.org/a.png", "a file on this machine; got an address.*download"),
        ("nowhere.png", "a picture file; got no file at nowhere.png; check the path"),
        ("a\0b", "a picture file that can be read; got .*null"),
        (".", r"got a folder: \.; pass the path of a regular file"),
        ("/dev/zero", "got a pipe or device: /dev/zero"),
    ],
)
def test_refused_sources(source: object, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        load_image(source)  # type: ignore[arg-type]


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="a pipe or device"):
        load_image(tmp_path / "pipe.png")


def test_channels_are_checked(image: np.ndarray) -> None:
    with pytest.raises(ImageError, match='channels to be "rgb" or "bgr"; got \'grb\''):
        load_image(image, channels="grb")
    with pytest.raises(ImageError, match="leave channels out: a file knows the order"):
        load_image(encode_image(image), channels="bgr")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".PNG"])
def test_saved_files_load(suffix: str, tmp_path: Path) -> None:
    smooth = np.broadcast_to(np.linspace(0, 255, 64, dtype=np.uint8)[:, None, None], (64, 80, 3))
    path = save_image(np.ascontiguousarray(smooth), tmp_path / f"a{suffix}")
    assert image_size(path) == (64, 80)
    assert np.abs(load_image(path).astype(int) - smooth).max() <= (0 if suffix.lower() == ".png" else 6)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_saving_to_a_wrong_place_or_name(image: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"a format out of .png, .jpg, .jpeg, .webp; got '.gif'"):
        save_image(image, tmp_path / "a.gif")
    with pytest.raises(SaveError, match="an existing folder"):
        save_image(image, tmp_path / "no" / "a.png")
    with pytest.raises(ImageError, match=r"uint8 RGB image of shape \(H, W, 3\); got float64 \(6, 9, 3\)"):
        save_image(image / 255.0, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_no_metadata_is_written(image: np.ndarray) -> None:
    assert "exif" not in Image.open(BytesIO(encode_image(image, "jpeg"))).info


def test_tensor_and_back(image: np.ndarray) -> None:
    batch = to_tensor([image, image])
    assert batch.shape == (2, 3, 6, 9)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous()
    assert 0 <= batch.min() <= batch.max() <= 1
    assert batch[0, 1, 2, 3] == image[2, 3, 1] / np.float32(255)
    np.testing.assert_array_equal(to_image(batch[0]), image)
    np.testing.assert_array_equal(to_image(to_tensor(image)), image)


def test_to_image_clamps_and_rounds() -> None:
    tensor = torch.tensor([-1.0, 2.0, 0.4999 / 255]).view(3, 1, 1)
    assert to_image(tensor).tolist() == [[[0, 255, 0]]]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: to_tensor([]), "at least one image; got an empty list"),
        (lambda: to_tensor([np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)]), "images of one size"),
        (lambda: to_tensor(np.zeros((2, 2, 3))), "got float64"),
        (lambda: to_tensor(np.zeros((0, 2, 3), np.uint8)), "at least 1x1 pixel"),
        (lambda: to_image(torch.zeros(2, 3, 4, 4)), r"a float tensor of shape \(3, H, W\).*got torch.float32 of shape"),
        (lambda: to_image(torch.zeros(3, 4, 4, dtype=torch.uint8)), "got torch.uint8"),
    ],
)
def test_refused_conversions(call: object, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        call()  # type: ignore[operator]


def test_resize_averages_when_shrinking_and_keeps_the_same_size() -> None:
    checks = np.indices((8, 8)).sum(0) % 2 * np.uint8(255)
    image = np.repeat(checks[:, :, None], 3, axis=2).astype(np.uint8)
    assert set(np.unique(resize(image, (4, 4)))) <= {127, 128}
    same = resize(image, (8, 8))
    np.testing.assert_array_equal(same, image)
    assert same is not image
    assert resize(image, (16, 3)).shape == (16, 3, 3)
    with pytest.raises(UsageError, match=r"at least 1x1; got \(0, 4\)"):
        resize(image, (0, 4))


@pytest.mark.parametrize(
    ("height", "width", "tile", "overlap"),
    [(1, 1, 5, 0), (100, 30, 32, 8), (64, 64, 64, 32), (65, 129, 64, 16), (10, 2000, 640, 639)],
)
def test_tiles_cover_and_overlap(height: int, width: int, tile: int, overlap: int) -> None:
    cover = np.zeros((height, width), dtype=int)
    boxes = tiles(height, width, tile, overlap)
    for x0, y0, x1, y1 in boxes:
        assert (x1 - x0, y1 - y0) == (min(tile, width), min(tile, height))
        cover[y0:y1, x0:x1] += 1
    assert cover.min() >= 1
    for starts in (sorted({b[0] for b in boxes}), sorted({b[1] for b in boxes})):
        assert all(b - a <= tile - overlap for a, b in pairwise(starts))


def test_tiles_refuse_an_overlap_as_large_as_the_tile() -> None:
    with pytest.raises(UsageError, match=r"overlap from 0 to below tile; got .*overlap 8"):
        tiles(10, 10, 8, 8)


def test_list_images(image: np.ndarray, tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg"):
        save_image(image, tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.png"]
    assert [path.name for path in list_images(tmp_path / "b.png")] == ["b.png"]
    assert [path.name for path in list_images(str(tmp_path / "*.png"))] == ["b.png"]
    with pytest.raises(ImageError, match="no picture at"):
        list_images(tmp_path / "*.gif")


def test_threads_and_library_state(image: np.ndarray) -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, ImageFile.MAXBLOCK)
    data, results = encode_image(image, "webp", quality=100), []
    threads = [threading.Thread(target=lambda: results.extend(load_image(data) for _ in range(20))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 160
    assert all((result == results[0]).all() for result in results)
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, ImageFile.MAXBLOCK)
