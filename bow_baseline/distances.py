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


def distances(a: Matrix, b: Matrix, metric: str = "chi2", *, centres: Matrix | None = None) -> NDArray[np.float32]:
    """Return the distance of each histogram to each other, float32 (M, N).

    Args:
        a: (M, D), float32 or float64.
        b: (N, D).
        metric: A key of `DISTANCES`.
        centres: (K, d), the words' centres, for "earth-movers": see `earth_movers_between`. None takes the bins for
            places on a line, one apart.

    Raises:
        DataError: Not matrices of the same number of finite bins, negative numbers for any but "euclidean", or not
            one or several histograms of K bins in a row.
        UsageError: An unknown metric.
    """
    if metric not in DISTANCES:
        raise unknown("metric", metric, DISTANCES)
    if metric == "earth-movers" and centres is not None:
        return earth_movers_between(a, b, centres)
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

    An empty histogram has no earth to move: two of them are 0 apart, and one is as far from any other as the longest
    way, so that this stays a metric.

    Raises:
        DataError: As `distances`.
        UsageError: A ground distance of another shape.
    """
    x, y = (t.numpy() for t in _shares(a, b))
    bins = x.shape[1]
    if ground is None:
        sums_x, sums_y = (np.cumsum(t, 1, dtype=np.float64) for t in (x, y))
        found = np.stack([np.abs(row - sums_y).sum(1) for row in sums_x]).astype(np.float32)
        longest = float(bins - 1)
    elif ground.shape != (bins, bins):
        raise UsageError(f"a ground distance {(bins, bins)}", f"{ground.shape}", "pass one way for each two bins")
    else:
        ways, longest = ground.astype(np.float32), float(ground.max())
        found = np.array([[_work(p, q, ways) for q in y] for p in x], np.float32)
    empty_x, empty_y = x.max(1, keepdims=True) == 0, y.max(1)[None] == 0
    return np.where(empty_x & empty_y, 0, np.where(empty_x | empty_y, longest, found)).astype(np.float32)


def earth_movers_between(a: Matrix, b: Matrix, centres: Matrix) -> NDArray[np.float32]:
    """Return the earth mover's distance over the Euclidean ways between words' centres, float32 (M, N).

    Args:
        a: (M, C * K): of every one of C cells a histogram of K words, as a spatial pyramid puts them in a row. Nothing
            is moved from cell to cell: the distance is the mean of the cells'.
        b: (N, C * K).
        centres: (K, d).

    Raises:
        DataError: As `distances`.
    """
    x, y = (t.numpy() for t in _checked(a, b))
    words = len(centres)
    if not words or x.shape[1] % words:
        raise DataError(f"histograms of {words} words in a row", f"{x.shape[1]} numbers", "pass the words' own centres")
    ground = euclidean(centres, centres)
    cells = range(0, x.shape[1], words)
    return np.mean([earth_movers(x[:, i : i + words], y[:, i : i + words], ground) for i in cells], 0, np.float32)


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
