"""Distances between histograms: Euclidean, intersection, chi-squared, earth mover's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..core import ops
from ..core.checks import DataError, UsageError, unknown
from .normalization import normalize

Matrix = NDArray[Any]


def distances(a: Matrix, b: Matrix, metric: str = "chi2") -> NDArray[np.float32]:
    """Return the distance of each histogram to each other, float32 (M, N).

    Args:
        a: (M, D), float32 or float64.
        b: (N, D).
        metric: A key of `DISTANCES`.

    Raises:
        DataError: Not matrices of the same number of finite bins, or negative numbers for any but "euclidean".
        UsageError: An unknown metric.
    """
    if metric not in DISTANCES:
        raise unknown("metric", metric, DISTANCES)
    return DISTANCES[metric](a, b)


def euclidean(a: Matrix, b: Matrix) -> NDArray[np.float32]:
    """Return the square root of the sum of (a - b)^2 for all pairs, float32 (M, N); errors as `distances`."""
    x, y = _checked(a, b)
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").numpy()


def intersection(a: Matrix, b: Matrix) -> NDArray[np.float32]:
    """Return 1 - the sum of min(a, b) for all pairs of histograms brought to sum 1 (Swain and Ballard 1991)."""
    x, y = _shares(a, b)
    return 1 - ops.histogram_intersection(x, y).numpy()


def chi_squared(a: Matrix, b: Matrix) -> NDArray[np.float32]:
    """Return the sum of (a - b)^2 / (a + b) for all pairs of histograms brought to sum 1: from 0 to 2."""
    x, y = _shares(a, b)
    return -ops.additive_chi2(x, y).numpy()


def earth_movers(a: Matrix, b: Matrix, ground: Matrix | None = None) -> NDArray[np.float32]:
    """Return the least work that turns one histogram into another, both brought to sum 1 (Rubner et al. 2000).

    Args:
        a: (M, D), not negative.
        b: (N, D).
        ground: (D, D), a metric: the way from bin to bin. None counts bins: then the work is the sum of the
            differences of cumulative histograms; else a linear programme is solved for each pair (OpenCV's).

    Raises:
        DataError: As `distances`, or an empty histogram, which has no earth to move.
        UsageError: A ground distance of another shape.
    """
    x, y = (t.numpy() for t in _shares(a, b))
    if not (x.any(1).all() and y.any(1).all()):
        raise DataError("histograms with at least one count", "an empty one", "leave it out")
    if ground is None:
        x, y = (np.cumsum(t, 1, dtype=np.float64) for t in (x, y))
        return np.stack([np.abs(row - y).sum(1) for row in x]).astype(np.float32)
    if ground.shape != (x.shape[1], x.shape[1]):
        raise UsageError(f"a ground distance {(x.shape[1],) * 2}", f"{ground.shape}", "pass one way for each two bins")
    return np.array([[_work(p, q, ground.astype(np.float32)) for q in y] for p in x], np.float32)


DISTANCES: dict[str, Callable[[Matrix, Matrix], NDArray[np.float32]]] = {
    "euclidean": euclidean,
    "intersection": intersection,
    "chi2": chi_squared,
    "earth-movers": earth_movers,
}


def _work(p: Matrix, q: Matrix, ground: Matrix) -> float:
    """Solve one pair. What both have in a bin stays there, as the ground distance is a metric."""
    more, less = np.maximum(p - q, 0), np.maximum(q - p, 0)
    sources, sinks = np.flatnonzero(more), np.flatnonzero(less)
    if not (len(sources) and len(sinks)):
        return 0.0
    moved = float(more.sum())
    shares = (more[sources] / moved)[:, None], (less[sinks] / less.sum())[:, None]
    work, _, _ = cv2.EMD(*shares, cv2.DIST_USER, cost=np.ascontiguousarray(ground[np.ix_(sources, sinks)]))
    return float(work) * moved


def _checked(a: Matrix, b: Matrix) -> list[torch.Tensor]:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise DataError("histograms (M, D) and (N, D)", f"{a.shape} and {b.shape}", "give both the same bins")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError("histograms of finite numbers", "NaN or infinity", "leave those rows out")
    return [torch.from_numpy(np.ascontiguousarray(t, np.float32)) for t in (a, b)]


def _shares(a: Matrix, b: Matrix) -> list[torch.Tensor]:
    """Return both brought to sum 1; a row of zeros stays one."""
    parts = _checked(a, b)
    if any((t < 0).any() for t in parts):
        raise DataError("histograms without negative numbers", "a number below 0", "count, or take absolute values")
    return [torch.from_numpy(normalize(t.numpy(), "l1")) for t in parts]
