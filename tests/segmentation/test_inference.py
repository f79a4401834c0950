"""A network at work: any size, whole and in tiles alike, averaged over views; flat memory."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.core.checks import DataError, UsageError
from striate.core.class_network import Normalized
from striate.core.datasets.masks import MaskDataset
from striate.core.layers import AvgPool2d, Conv2d, ReLU
from striate.core.optimize import Optimized
from striate.segmentation.inference import PLAIN, Inference, Views, views_of
from striate.segmentation.model import PixelNet, build_network
from striate.segmentation.tiling import Tiles

NAMES = ("a", "b", "c")


class Near(nn.Module):
    """Stride 4; a score depends on the pixels up to 20 away: 3 by the 7x7, 8 by two 3x3, 3 in a cell, 6 by resizing."""

    stride = least = 4

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.pool = Conv2d(3, 8, 7, padding=3), ReLU(), AvgPool2d(4)
        self.second, self.classes = Conv2d(8, 8, 3, padding=1), Conv2d(8, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(self.act(self.second(self.pool(self.act(self.first(x))))))


def near(precision: str = "fp32", **tiles: int) -> Inference:
    torch.manual_seed(0)
    network = Normalized(PixelNet(Near()), (0.5,) * 3, (0.1,) * 3).eval()
    return Inference(network, NAMES, precision, Tiles(**tiles))


def probabilities(ready: Inference, image: np.ndarray, views: Views) -> np.ndarray:
    found = ready.predict(image, views, probabilities=True).probabilities
    assert found is not None
    return found


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (23, 31, 3)).astype(np.uint8)
    return np.repeat(np.repeat(coarse, 13, 0), 11, 1)[:290, :333]


def test_tiles_agree_with_the_whole_to_rounding(picture: np.ndarray) -> None:
    """A rim of 24 pixels, 3/8 of the overlap, is more than the network sees: no pixel is excepted."""
    whole = probabilities(near(), picture, Views())
    cut = probabilities(near(whole_pixels=1000, tile=128, overlap=64), picture, Views())
    assert (whole.dtype, cut.dtype) == (np.float32, np.float16)
    assert whole.argmax(0).std() > 0.5
    np.testing.assert_allclose(cut, whole, atol=2**-11)  # half precision's rounding of numbers below 1
    labels = near(whole_pixels=1000, tile=128, overlap=64).labels(picture, Views())
    assert (labels == near().labels(picture, Views())).mean() > 0.9999  # but for ties


def test_a_rim_narrower_than_what_the_network_sees_shows(picture: np.ndarray) -> None:
    """What the test above would not see, if tiles were always right."""
    whole = probabilities(near(), picture, Views())
    cut = probabilities(near(whole_pixels=1000, tile=128, overlap=4), picture, Views())
    assert np.abs(cut - whole).max() > 0.05


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (5, 3), (32, 32), (33, 64), (70, 31)])
def test_any_size_works(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ready = Inference(build_network("pyramid", 3, options={"size": "n"}).eval(), NAMES, "fp32")
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    labels = ready.labels(image, Views())
    assert labels.shape == size
    assert labels.dtype == np.uint8
    found = probabilities(ready, image, Views())
    assert found.shape == (3, *size)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(found.argmax(0), labels)


def test_padding_is_below_and_right_only(picture: np.ndarray) -> None:
    """A picture cut to a size that does not fit has the labels that it has in the larger one, away from its end."""
    whole, part = near().labels(picture, Views()), near().labels(picture[:150, :170], Views())
    np.testing.assert_array_equal(part[:136, :156], whole[:136, :156])


def test_views_average_what_each_says(picture: np.ndarray) -> None:
    ready = near()
    plain = probabilities(ready, picture, Views())
    mirrored = probabilities(ready, np.ascontiguousarray(picture[:, ::-1]), Views())[:, :, ::-1]
    np.testing.assert_allclose(probabilities(ready, picture, Views(flip=True)), (plain + mirrored) / 2, atol=1e-6)
    both = probabilities(ready, picture, Views((1.0, 0.5)))
    half = probabilities(ready, picture, Views((0.5,)))
    assert half.shape == plain.shape
    np.testing.assert_allclose(both, (plain + half) / 2, atol=1e-6)
    assert np.abs(half - plain).mean() > 0.01
    labels = ready.labels(picture, Views(flip=True))
    np.testing.assert_array_equal(labels, ((plain + mirrored) / 2).argmax(0))


def test_what_is_seen_larger_is_cut_smaller(picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    ready, plain, sizes = near(whole_pixels=40_000, tile=128, overlap=32), near(), []

    def scores(image: np.ndarray) -> tuple[Tensor, tuple[int, int]]:
        sizes.append(image.shape[:2])
        return plain._scores(image)

    monkeypatch.setattr(ready, "_scores", scores)
    part = picture[:150, :200]
    ready.labels(part, PLAIN)
    assert sizes == [(150, 200)]
    found = ready.labels(part, Views((1.0, 2.0)))
    assert max(max(size) for size in sizes[1:]) == 128
    assert (found == plain.labels(part, Views((1.0, 2.0)))).mean() > 0.98


@pytest.mark.parametrize("scales", [(), (0.05,), (1, 5), (float("nan"),)])
def test_scales_out_of_range(scales: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match=r"scales from 0\.1 to 4, at least one; got .*; pass \(0\.75, 1, 1\.25\)"):
        views_of(False, scales)


def peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_height() -> None:
    """NumPy's part of it, the labels apart; torch's is asserted by what `Blend` keeps."""
    ready = near(whole_pixels=1000, tile=64, overlap=16)
    images = [np.zeros((height, 200, 3), np.uint8) for height in (200, 2000)]
    ready.labels(images[0], Views())
    low, high = (peak(lambda image=image: ready.labels(image, Views())) for image in images)  # type: ignore[misc]
    assert high - low < 1.1 * (images[1].size - images[0].size) / 3


@pytest.mark.parametrize("views", [PLAIN, Views(flip=True)], ids=["plain", "mirrored"])
@pytest.mark.parametrize("pixels", [1000, 2**22], ids=["tiles", "whole"])
def test_labels_are_the_same_with_and_without_probabilities(picture: np.ndarray, pixels: int, views: Views) -> None:
    """Among a hundred thousand pixels some have two classes that half precision makes equal."""
    ready = near(whole_pixels=pixels, tile=128, overlap=64)
    both = ready.predict(picture, views, probabilities=True)
    np.testing.assert_array_equal(both.labels, ready.labels(picture, views))
    assert ready.predict(picture, views).probabilities is None
    assert both.labels.dtype == np.uint8
    assert both.probabilities is not None
    assert (both.probabilities.argmax(0) == both.labels).mean() > 0.999


def test_pictures_of_all_sizes_are_run_by_one_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def pack(fast: Optimized, x: Tensor) -> Optimized:
        made.append(x.shape)
        return fast

    monkeypatch.setattr("striate.core.optimize.copies.packed_for", pack)
    ready = near()
    for side in (8, 12, 16, 12):
        ready.labels(np.zeros((side, 8, 3), np.uint8), Views())
    assert made == [(1, 3, 12, 8)]


def test_evaluation_measures_labels_and_refuses_other_classes(picture: np.ndarray) -> None:
    ready = near()
    truth = ready.labels(picture, Views())
    figures = ready.evaluate(MaskDataset([picture], [truth], NAMES))
    assert figures["miou"] == 1
    half = truth.copy()
    half[:, :100] = (half[:, :100] + 1) % 3
    figures = ready.evaluate(MaskDataset([picture, picture], [truth, half], NAMES), boundary=True)
    assert figures["pixel_accuracy"] == pytest.approx(1 - 100 / 333 / 2)
    assert "boundary_f" in figures
    with pytest.raises(DataError, match=r"pictures of the classes \('a', 'b', 'c'\).*names=segmenter\.names"):
        ready.evaluate(MaskDataset([picture], [truth], ("c", "b", "a")))
    with pytest.raises(DataError, match="pictures to measure on; got none"):
        ready.evaluate(MaskDataset([], [], NAMES))
