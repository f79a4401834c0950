"""A network at work on pictures of any size: padded to the stride, whole or in tiles, with mirror images and scales."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core import ops
from ..core.checks import DataError, UsageError
from ..core.class_network import Normalized
from ..core.datasets.masks import MaskDataset
from ..core.images import resize, to_tensor
from ..core.optimize import Optimized, optimize
from .metrics import SegmentationMetric
from .model import PixelNet
from .tiling import TILES, Blend, Part, Tiles, grid

MOST_COPIES = 8
"""Fast copies kept, one for each shape of canvas; more than a folder of photographs has, and made in 0.2 s."""

COPIES_BYTES = 2**28
"""Memory for them: an FCN on VGG-16, 540 MB, gets one."""


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
        self.copies: dict[tuple[int, int], Optimized] = {}
        size = sum(p.numel() * p.element_size() for p in network.parameters())
        self.most_copies = max(1, min(MOST_COPIES, COPIES_BYTES // max(1, size)))

    def evaluate(self, dataset: MaskDataset, views: Views = PLAIN, *, boundary: bool = False) -> dict[str, Any]:
        """Compare what the network says of all pictures with their masks; see `metrics.SegmentationMetric.result`.

        Raises:
            DataError: A dataset of other classes, or of the same in another order, or without pictures.
        """
        if dataset.names != self.names:
            fix = "read it with names=segmenter.names"
            raise DataError(f"pictures of the classes {self.names}", f"{dataset.names}", fix)
        if not len(dataset):
            raise DataError("pictures to measure on", f"none in {dataset.root}", "choose another split")
        metric = SegmentationMetric(self.names, boundary=boundary)
        for index in range(len(dataset)):
            image, mask = dataset.pair(index)
            metric.update(mask, self.labels(image, views))
        return metric.result()

    def labels(self, image: NDArray[np.uint8], views: Views) -> NDArray[np.uint8]:
        """Return the likeliest class of every pixel, uint8 (H, W), of a picture uint8 RGB (H, W, 3)."""
        # max finds the places 1.2 times as fast as argmax on this layout.
        if self._is_whole(image, views):
            plain = views == PLAIN  # the largest score is the largest probability
            values = self._scores(image) if plain else self._probabilities(image, views)
            return values.max(0).indices.to(torch.uint8).cpu().numpy()
        labels = np.empty(image.shape[:2], np.uint8)
        for rows, columns, values in self._tiled(image, views):
            labels[rows, columns] = values.max(0).indices.to(torch.uint8).numpy()
        return labels

    def probabilities(self, image: NDArray[np.uint8], views: Views) -> NDArray[np.float32] | NDArray[np.float16]:
        """Return the probability of every class, (classes, H, W): float32, or float16 for a picture cut into tiles."""
        if self._is_whole(image, views):
            return self._probabilities(image, views).cpu().numpy()
        found: NDArray[np.float16] | None = None
        for rows, columns, values in self._tiled(image, views):
            if found is None:
                found = np.empty((len(values), *image.shape[:2]), np.float16)
            found[:, rows, columns] = values.numpy()
        assert found is not None
        return found

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
                scores = self._scores(np.ascontiguousarray(seen[:, ::-1]) if mirrored else seen)
                found = (scores.flip(2) if mirrored else scores).softmax(0)
                if size != (height, width):
                    found = ops.upsample(found[None], size=(height, width), mode="bilinear")[0]
                total = found if total is None else total + found
        assert total is not None
        return total / (len(views.scales) * (1 + views.flip))

    def _scores(self, image: NDArray[np.uint8]) -> Tensor:
        """Return scores, float32 (classes, H, W), of a picture that is not cut; it is mirrored up to the stride."""
        height, width = image.shape[:2]
        down, along = (max(self._up(side), self.least) - side for side in (height, width))
        if down or along:
            image = np.asarray(cv2.copyMakeBorder(image, 0, down, 0, along, cv2.BORDER_REFLECT_101), np.uint8)
        images = to_tensor(image).to(next(self.network.parameters()).device)
        with torch.inference_mode():
            return self._copy(images)(images)[0, :, :height, :width].float()

    def _up(self, side: int) -> int:
        return -(-side // self.stride) * self.stride

    def _copy(self, images: Tensor) -> Optimized:
        """The fast copy of the network for canvases of this shape; the oldest one makes room.

        Packed weights depend on the shape; on a CUDA device one copy serves all and records a graph for each.
        """
        shape = (0, 0) if images.is_cuda else (images.shape[2], images.shape[3])
        if shape not in self.copies:
            if len(self.copies) >= self.most_copies:
                self.copies.pop(next(iter(self.copies)))
            self.copies[shape] = optimize(self.network, images, precision=self.precision)
        return self.copies[shape]
