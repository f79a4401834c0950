"""How well edges are found: the boundary F of Csurka, Larlus and Perronnin 2013."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ..core.checks import positive
from ..core.datasets.mask_files import IGNORE

TOLERANCE = 0.0075
"""Of the picture's diagonal, as in the paper: 4.5 pixels for 360 x 480."""
MOST_DILATED = 20.0
"""Pixels of reach up to which a disc is laid around each edge pixel: 0.1 ms at 360 x 480, a distance transform 7 ms."""
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


def boundary_f(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int, *, tolerance: float = TOLERANCE
) -> NDArray[np.float64]:
    """Return F of every class's edges, float64 (classes,), NaN for a class that is in neither mask.

    Precision is the share of the predicted edge's pixels that lie within `tolerance` of the true edge, recall the share
    of the true edge's pixels within it of the predicted one; F = 2 P R / (P + R). An edge is made of the pixels of a
    class with one of another class above, below, left or right; neither the picture's rim nor ignored pixels make one.
    A class without any edge in both masks has F = 1, with an edge in one of them only, 0.

    Args:
        truth: uint8 (H, W), class ids, 255 = ignore.
        predicted: uint8 (H, W), class ids.
        classes: Their number.
        tolerance: Share of the diagonal.

    Raises:
        UsageError: A tolerance that is no positive number.
    """
    positive("tolerance", tolerance)
    ignored = (truth == IGNORE).astype(np.uint8)
    reach = tolerance * math.hypot(*truth.shape)
    scores = np.full(classes, np.nan)
    for class_id in range(classes):
        masks = [((mask == class_id) & (ignored == 0)).astype(np.uint8) for mask in (truth, predicted)]
        if masks[0].any() or masks[1].any():
            true, told = (_edge(mask, ignored) for mask in masks)
            scores[class_id] = _f(true, told, reach)
    return scores


def _edge(mask: NDArray[np.uint8], ignored: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the pixels of a mask that erosion takes away; OpenCV takes what lies outside the picture for inside."""
    return np.asarray((mask != 0) & (cv2.erode(mask | ignored, CROSS) == 0))


def _f(true: NDArray[np.bool_], told: NDArray[np.bool_], reach: float) -> float:
    if not (true.any() and told.any()):
        return float(true.any() == told.any())
    precision, recall = _near(told, true, reach), _near(true, told, reach)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _near(edge: NDArray[np.bool_], other: NDArray[np.bool_], reach: float) -> float:
    """Return the share of an edge's pixels within `reach` of another edge, by exact Euclidean distance."""
    if reach <= MOST_DILATED:
        side = np.arange(-int(reach), int(reach) + 1)
        disc = (side[:, None] ** 2 + side**2 <= reach**2).astype(np.uint8)
        within = cv2.dilate(other.astype(np.uint8), disc) != 0
    else:
        within = cv2.distanceTransform((~other).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= reach
    return float(within[edge].mean())
