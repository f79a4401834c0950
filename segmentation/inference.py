"""A network at work on pictures of any size: padded to the stride, whole or in tiles, with mirror images and scales."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..core import ops
from ..core.checks import DataError, UsageError
from ..core.class_network import Normalized
from ..core.datasets.masks import MaskDataset
from ..core.images import resize, to_tensor
from ..core.optimize.copies import FastCopies
from .likeliest import likeliest, likeliest_resized
from .metrics import SegmentationMetric
from .model import PixelNet
from .tiling import TILES, Blend, Part, Tiles, grid


class Views(NamedTuple):
    """What probabilities are averaged over: sizes of the picture, and whether its mirror image is seen too."""

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    @property
    def largest(self) -> float:
        """The largest scale, at least 1."""
        return max(1.0, *self.scales)


PLAIN = Views()


def views_of(flip: bool, scales: Iterable[float]) -> Views:
    """Check and join the two.

    Raises:
        UsageError: No scale, or one outside 0.1 to 4.
    """
    chosen = tuple(float(scale) for scale in scales)
    if not chosen or not all(0.1 <= scale <= 4 for scale in chosen):
        raise UsageError("scales from 0.1 to 4, at least one", repr(chosen), "pass (0.75, 1, 1.25), say")
    return Views(chosen, flip)


def check_classes(dataset: MaskDataset, names: tuple[str, ...]) -> None:
    """Raise DataError unless a dataset has pictures, of these classes in this order."""
    if dataset.names != names:
        fix = "read it with names=segmenter.names"
        raise DataError(f"pictures of the classes {names}", f"{dataset.names}", fix)
    if not len(dataset):
        raise DataError("pictures to measure on", f"none in {dataset.root}", "choose another split")


class Found(NamedTuple):
    """What a network says of a picture.

    Attributes:
        labels: The likeliest class of every pixel, uint8 (H, W).
        probabilities: Of every class, (classes, H, W): float32, or float16 of a picture cut into tiles; None if not
            asked for.
    """

    labels: NDArray[np.uint8]
    probabilities: NDArray[np.float32] | NDArray[np.float16] | None = None


class Inference:
    """Runs a segmentation network on pictures of any size.

    Args:
        network: What `model.build_network` makes, in eval mode.
        names: Class names by class id.
        precision: See `core.optimize.optimize`.
        tiles: How large pictures are cut.
    """

    def __init__(
        self, network: Normalized, names: tuple[str, ...], precision: str = "auto", tiles: Tiles = TILES
    ) -> None:
        self.network, self.names, self.precision = network, names, precision
        inner = cast(PixelNet, network.network)
        self.stride, self.least = inner.stride, inner.least
        self.whole_pixels, self.tile, self.overlap = tiles.whole_pixels, self._up(tiles.tile), self._up(tiles.overlap)
        # Scores are brought to the picture's size here, where classes meet: see `likeliest`.
        mean, std = (part.flatten().tolist() for part in (network.mean, network.std))
        self.device = network.mean.device
        self.copies = FastCopies(Normalized(inner.network, mean, std).to(self.device), precision=precision)

    def evaluate(self, dataset: MaskDataset, views: Views = PLAIN, *, boundary: bool = False) -> dict[str, Any]:
        """Compare what the network says of all pictures with their masks; see `metrics.SegmentationMetric.result`.

        Raises:
            DataError: A dataset of other classes, or of the same in another order, or without pictures.
        """
        check_classes(dataset, self.names)
        metric = SegmentationMetric(self.names, boundary=boundary)
        for index in range(len(dataset)):
            image, mask = dataset.pair(index)
            metric.update(mask, self.labels(image, views))
        return metric.result()

    def labels(self, image: NDArray[np.uint8], views: Views = PLAIN) -> NDArray[np.uint8]:
        """Return the likeliest class of every pixel, uint8 (H, W), of a picture uint8 RGB (H, W, 3)."""
        return self.predict(image, views).labels

    def predict(self, image: NDArray[np.uint8], views: Views = PLAIN, *, probabilities: bool = False) -> Found:
        """Look at a picture, uint8 RGB (H, W, 3); the labels are the same with and without probabilities."""
        if not self._is_whole(image, views):
            return self._predict_tiled(image, views, probabilities)
        if views != PLAIN:
            mean = self._probabilities(image, views).cpu()
            return Found(likeliest(mean), mean.numpy() if probabilities else None)
        coarse, canvas = self._scores(image)  # the largest score is the largest probability
        height, width = image.shape[:2]
        labels = np.ascontiguousarray(likeliest_resized(coarse, canvas)[:height, :width])
        if not probabilities:
            return Found(labels)
        return Found(labels, _resized(coarse, canvas, (height, width)).softmax(0).cpu().numpy())

    def _predict_tiled(self, image: NDArray[np.uint8], views: Views, probabilities: bool) -> Found:
        labels = np.empty(image.shape[:2], np.uint8)
        kept = np.empty((len(self.names), *labels.shape), np.float16) if probabilities else None
        for rows, columns, values in self._tiled(image, views):
            labels[rows, columns] = likeliest(values)
            if kept is not None:
                kept[:, rows, columns] = values.numpy()
        return Found(labels, kept)

    def _is_whole(self, image: NDArray[np.uint8], views: Views) -> bool:
        return image.shape[0] * image.shape[1] * views.largest**2 <= self.whole_pixels

    def _tiled(self, image: NDArray[np.uint8], views: Views) -> Iterator[tuple[slice, slice, Tensor]]:
        """Run over the tiles, row by row; give (rows, columns, probabilities) as soon as no later tile adds to them.

        What is kept besides the picture is one tile, and two overlaps of the picture's width: 740 MB for 20,000 pixels
        in 11 classes, however high the picture is. Tiles that are seen larger are cut smaller.
        """
        height, width = image.shape[:2]
        tile = max(self._up(round(self.tile / views.largest)), 2 * self.overlap)
        down, along = (grid(side, tile, self.overlap, self.stride) for side in (height, width))
        blend = Blend(width)
        for row, rows in enumerate(down):
            for column, columns in enumerate(along):
                cut = image[rows.start : rows.stop, columns.start : columns.stop]
                values = self._probabilities(cut, views).cpu()
                yield from blend.add(values, Part.of(down, row), Part.of(along, column))

    def _probabilities(self, image: NDArray[np.uint8], views: Views) -> Tensor:
        """Return the mean of the probabilities over the views, float32 (classes, H, W)."""
        height, width = image.shape[:2]
        total: Tensor | None = None
        for scale in views.scales:
            size = (max(1, round(height * scale)), max(1, round(width * scale)))
            seen = image if size == (height, width) else resize(image, size)
            for mirrored in (False, True)[: 1 + views.flip]:
                scores = _resized(*self._scores(np.ascontiguousarray(seen[:, ::-1]) if mirrored else seen), size)
                found = (scores.flip(2) if mirrored else scores).softmax(0)
                if size != (height, width):
                    found = ops.upsample(found[None], size=(height, width), mode="bilinear")[0]
                total = found if total is None else total + found
        assert total is not None
        return total / (len(views.scales) * (1 + views.flip))

    def _scores(self, image: NDArray[np.uint8]) -> tuple[Tensor, tuple[int, int]]:
        """Return the network's own scores, float32 (classes, h, w), and the size (H, W) of the canvas that they cover.

        The canvas is a picture that is not cut, mirrored at its ends up to the stride.
        """
        height, width = image.shape[:2]
        down, along = (max(self._up(side), self.least) - side for side in (height, width))
        if down or along:
            image = np.asarray(cv2.copyMakeBorder(image, 0, down, 0, along, cv2.BORDER_REFLECT_101), np.uint8)
        return self.copies(to_tensor(image).to(self.device))[0].float(), (height + down, width + along)

    def _up(self, side: int) -> int:
        return -(-side // self.stride) * self.stride


def _resized(scores: Tensor, canvas: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return scores (classes, h, w) at the canvas's size, cut to the picture's."""
    return ops.upsample(scores[None], size=canvas, mode="bilinear")[0, :, : size[0], : size[1]]
