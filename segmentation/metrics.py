"""How good masks are: figures of one confusion matrix, each named by what it averages over, and edges.

Counting is one pass over two uint8 masks (OpenCV's joint histogram): 1.5 ms for a megapixel of 11 classes on one core,
where torchmetrics 1.9 takes 17 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..core.checks import DataError
from ..core.datasets.labels import check_names
from ..core.datasets.mask_files import IGNORE
from .boundary import TOLERANCE, boundary_f

BACKGROUND = "background"
BAND = 2**24
"""Pixels counted at once: OpenCV counts in float32, which is exact up to here."""


def confusion_matrix(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Count the pixels of every pair of classes, int64 (classes, classes): rows are true, columns predicted classes.

    Args:
        truth: uint8 (H, W), class ids, 255 = ignore.
        predicted: uint8, same shape, class ids; what it says of ignored pixels counts for nothing.
        classes: Their number, at most 255.

    Raises:
        DataError: Other dtypes, shapes that differ, or a value that is no class.
    """
    for name, mask in (("truth", truth), ("prediction", predicted)):
        if not isinstance(mask, np.ndarray) or mask.dtype != np.uint8 or mask.ndim != 2:
            got = f"{getattr(mask, 'dtype', type(mask).__name__)} {np.shape(mask)} as {name}"
            raise DataError("masks as uint8 (H, W)", got, "pass class ids, one for every pixel")
    if truth.shape != predicted.shape:
        raise DataError("a prediction as large as the truth", f"{predicted.shape} for {truth.shape}", "scale it back")
    joint = np.zeros((256, 256), np.int64)
    rows = max(1, BAND // max(1, truth.shape[1]))
    for top in range(0, truth.shape[0] if truth.size else 0, rows):
        pair = [np.ascontiguousarray(mask[top : top + rows]) for mask in (truth, predicted)]
        joint += cv2.calcHist(pair, [0, 1], None, [256, 256], [0, 256, 0, 256]).astype(np.int64)
    joint[IGNORE] = 0
    counted = joint[:classes, :classes]
    if joint.sum() != counted.sum():
        true, told = (np.flatnonzero(joint.sum(axis)) for axis in (1, 0))
        got = f"truth up to {true.max()}, prediction up to {told.max()}"
        raise DataError(f"class ids from 0 to {classes - 1}, in the truth 255 too", got, "pass all names, in order")
    return counted.copy()


class SegmentationMetric:
    """Figures of masks that come one after another; memory does not grow with their number.

    Args:
        names: Class names in the order of the class ids. A class called "background" counts for the mean IoU, as in
            Pascal VOC, and not for dice, as in medical work.
        boundary: Measure edges too: 7 ms more for 360 x 480 pixels with ten classes in them.
        tolerance: How far an edge may be off, as a share of the picture's diagonal.
    """

    def __init__(self, names: Sequence[str], *, boundary: bool = False, tolerance: float = TOLERANCE) -> None:
        self.names, self.boundary, self.tolerance = check_names(names), boundary, tolerance
        self.reset()

    def reset(self) -> None:
        """Forget all masks."""
        count = len(self.names)
        self.confusion = np.zeros((count, count), np.int64)
        self.pictures = 0
        self._per_image: list[list[float]] = [[], []]  # two numbers a picture
        self._edges = np.zeros((2, count))  # sum of F, number of pictures

    def update(self, truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> None:
        """Count one picture; both masks as for `confusion_matrix`."""
        confusion = confusion_matrix(truth, predicted, len(self.names))
        self.confusion += confusion
        self.pictures += 1
        if confusion.any():
            iou, dice = _iou(confusion), _dice(confusion)[self._objects]
            self._per_image[0].append(_mean(iou))
            self._per_image[1] += [] if np.isnan(dice).all() else [_mean(dice)]
        if self.boundary:
            scores = boundary_f(truth, predicted, len(self.names), tolerance=self.tolerance)
            there = ~np.isnan(scores)
            self._edges[:, there] += (scores[there], np.ones(there.sum()))

    def result(self) -> dict[str, Any]:
        """Return all figures; none is ever NaN.

        Returns:
            "miou": intersection over union, each class counted over the whole set, mean over the classes that are in
            the truth or in a prediction. "miou_per_image": the same for every picture by itself, then their mean.
            "pixel_accuracy": share of the counted pixels. "class_accuracy": mean over the classes in the truth of the
            share of their pixels found. "frequency_weighted_iou": IoU weighted by the class's pixels (Long et al. 2015,
            section 5). "dice": 2 |A and B| / (|A| + |B|) over the whole set, mean over the classes that are there,
            background left out. "dice_per_image": the same by picture. "dice_micro": over all these classes at once.
            "class_iou", "class_dice", "class_recall": by name, None where the class is absent. "absent": names that
            are neither in the truth nor in a prediction. "confusion": rows true, columns predicted. "pixels" and
            "count": pixels and pictures. With `boundary`: "boundary_f", mean over the classes, and "class_boundary_f".
            A mean over nothing is 0.
        """
        matrix = self.confusion
        iou, dice, recall = _iou(matrix), _dice(matrix), _ratio(np.diag(matrix), matrix.sum(1))
        total, kept = int(matrix.sum()), self._objects
        pairs = (np.diag(matrix)[kept].sum(), (matrix.sum(0) + matrix.sum(1))[kept].sum())
        figures = {
            "miou": _mean(iou),
            "miou_per_image": _mean(np.array(self._per_image[0])),
            "pixel_accuracy": float(np.trace(matrix) / max(total, 1)),
            "class_accuracy": _mean(recall),
            "frequency_weighted_iou": float(np.nansum(iou * matrix.sum(1)) / max(total, 1)),
            "dice": _mean(dice[kept]),
            "dice_per_image": _mean(np.array(self._per_image[1])),
            "dice_micro": float(2 * pairs[0] / max(pairs[1], 1)),
            "class_iou": self._by_name(iou),
            "class_dice": self._by_name(dice),
            "class_recall": self._by_name(recall),
            "absent": [name for name, value in zip(self.names, iou, strict=True) if np.isnan(value)],
            "confusion": matrix.tolist(),
            "pixels": total,
            "count": self.pictures,
        }
        if self.boundary:
            edges = _ratio(*self._edges)
            figures |= {"boundary_f": _mean(edges), "class_boundary_f": self._by_name(edges)}
        return figures

    @property
    def _objects(self) -> list[int]:
        """Classes that dice is about: all but the background, which is left out only where there are others."""
        return [i for i, name in enumerate(self.names) if name != BACKGROUND] or [0]

    def _by_name(self, values: NDArray[np.float64]) -> dict[str, float | None]:
        pairs = zip(self.names, values.tolist(), strict=True)
        return {name: None if np.isnan(value) else value for name, value in pairs}


def evaluate_masks(
    truth: Sequence[NDArray[np.uint8]],
    predicted: Sequence[NDArray[np.uint8]],
    names: Sequence[str],
    *,
    boundary: bool = False,
) -> dict[str, Any]:
    """Measure masks against the truth, see `SegmentationMetric`; raises DataError where their numbers differ."""
    if len(truth) != len(predicted):
        raise DataError("a prediction for every mask", f"{len(predicted)} for {len(truth)}", "match them")
    metric = SegmentationMetric(names, boundary=boundary)
    for true, told in zip(truth, predicted, strict=True):
        metric.update(true, told)
    return metric.result()


def _ratio(top: NDArray[Any], bottom: NDArray[Any]) -> NDArray[np.float64]:
    """Divide; NaN inside this file means that there is nothing to divide by."""
    return np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)


def _iou(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    hits = np.diag(matrix)
    return _ratio(hits, matrix.sum(0) + matrix.sum(1) - hits)


def _dice(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    return _ratio(2 * np.diag(matrix), matrix.sum(0) + matrix.sum(1))


def _mean(values: NDArray[np.float64]) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else 0.0
