"""Nearest centroids and cluster sums: k-means and visual words."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..checks import UsageError
from . import switch
from .switch import operation

LIMITS = "no gradient; a point with NaN gets index 0; centroids must be finite"
CHUNK = 2**20
"""Distances that the CPU computes at a time, 4 MiB: smaller products run below the peak, larger leave the caches."""


@operation("centroids", forward=("nearest_forward",), limits=LIMITS)
def nearest_centroid(x: Tensor, centroids: Tensor, *, precision: str | None = None) -> tuple[Tensor, Tensor]:
    """Find the nearest centroid of every point, without a matrix of all distances.

    Args:
        x: (M, D) points, float32, float16 or bfloat16.
        centroids: (K, D), dtype of x, finite, K at least 1.
        precision: See `conv2d`.

    Returns:
        Indices (M,) int64, the lowest of equally near ones, and squared distances (M,) float32 (float64 for float64).

    Raises:
        UsageError: Shapes or dtypes that do not fit, or no centroid.
    """
    _check(x, centroids)
    x, centroids = x.detach(), centroids.detach()
    if switch.uses_triton(x):
        from ..kernels import centroids as family
        from ..kernels import launch

        launch.check_dtype(x)
        return family.nearest(x, centroids, launch.precision(precision))
    parts = [_least(part) for part in _scores(x, centroids)]
    if not parts:
        return x.new_empty(0, dtype=torch.int64), _wide(x).new_empty(0)
    return torch.cat([indices for indices, _ in parts]), _distances(torch.cat([values for _, values in parts]), x)


@operation("centroids", forward=("nearest_several",), limits=f"{LIMITS}; k up to 16")
def nearest_centroids(x: Tensor, centroids: Tensor, k: int, *, precision: str | None = None) -> tuple[Tensor, Tensor]:
    """Find the k nearest centroids of every point, for soft assignment.

    Args:
        x: (M, D) points.
        centroids: (K, D), dtype of x, finite.
        k: How many, from 1 to 16, at most K.
        precision: See `conv2d`.

    Returns:
        Indices (M, k) int64 and squared distances (M, k), nearest first.
    """
    _check(x, centroids)
    if not 1 <= k <= min(16, centroids.shape[0]):
        raise UsageError(f"k from 1 to {min(16, centroids.shape[0])}", str(k), "ask for fewer centroids")
    x, centroids = x.detach(), centroids.detach()
    if switch.uses_triton(x):
        from ..kernels import centroids as family
        from ..kernels import launch

        launch.check_dtype(x)
        return family.several(x, centroids, k, launch.precision(precision))
    parts = [_least_several(part, k) for part in _scores(x, centroids)]
    if not parts:
        return x.new_empty((0, k), dtype=torch.int64), _wide(x).new_empty((0, k))
    return torch.cat([indices for indices, _ in parts]), _distances(torch.cat([values for _, values in parts]), x)


@operation("centroids", forward=("cluster_sums",), limits="no gradient")
def centroid_sums(x: Tensor, indices: Tensor, n_centroids: int) -> tuple[Tensor, Tensor]:
    """Sum the points of every cluster, always in the same order: k-means' second half.

    Args:
        x: (M, D) points.
        indices: (M,) int64 in [0, n_centroids), from `nearest_centroid`; others are left out by the kernels and
            refused by torch.
        n_centroids: K.

    Returns:
        Sums (K, D) float32 (float64 for float64), zeros where a cluster is empty, and counts (K,) int64.

    Raises:
        UsageError: Shapes or devices that do not fit, or on the kernels' road float64.
    """
    if x.dim() != 2 or indices.shape != x.shape[:1]:
        raise UsageError(
            "points (M, D) and an index for each", f"{tuple(x.shape)} and {tuple(indices.shape)}", "reshape them"
        )
    if indices.device != x.device:
        raise UsageError("points and indices on one device", f"{x.device} and {indices.device}", "move one of them")
    x = x.detach()
    if switch.uses_triton(x):
        from ..kernels import centroids as family
        from ..kernels import launch

        launch.check_dtype(x)
        return family.sums(x, indices, n_centroids)
    sums = _wide(x).new_zeros((n_centroids, x.shape[1])).index_add_(0, indices, _wide(x))
    return sums, torch.bincount(indices, minlength=n_centroids)


def _wide(x: Tensor) -> Tensor:
    """Return x in float32, or in float64 if it is."""
    return x if x.dtype == torch.float64 else x.float()


def _scores(x: Tensor, centroids: Tensor) -> Iterator[Tensor]:
    """Return |c|^2 - 2 x.c in chunks of points."""
    centroids = _wide(centroids)
    norms, transposed = centroids.square().sum(1), centroids.T
    rows = max(16, CHUNK // centroids.shape[0])
    return (torch.addmm(norms, _wide(part), transposed, alpha=-2) for part in x.split(rows) if len(part))


def _least(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first least of every row: (indices, values). NumPy's search takes a fifth of the time of torch's."""
    if scores.device.type != "cpu":
        values, indices = scores.min(1)
        return indices, values
    indices = torch.from_numpy(scores.numpy().argmin(1))
    return indices, scores.gather(1, indices[:, None])[:, 0]


def _least_several(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k least of every row, least first and equal ones in their order: (indices, values).

    Not topk, whose order of equal distances is nobody's promise. Of 2,700 rows of 600, five searches take 2 ms on a
    CPU, a stable sort takes 130.
    """
    if scores.device.type != "cpu":
        ordered = scores.sort(dim=1, stable=True)
        return ordered.indices[:, :k], ordered.values[:, :k]
    found = []
    for _ in range(k):
        indices, values = _least(scores)
        found.append((indices, values))
        scores.scatter_(1, indices[:, None], float("inf"))
    return torch.stack([indices for indices, _ in found], 1), torch.stack([values for _, values in found], 1)


def _distances(scores: Tensor, x: Tensor) -> Tensor:
    squares = _wide(x).square().sum(1)
    return (scores + (squares if scores.dim() == 1 else squares[:, None])).clamp_(min=0)


def _check(x: Tensor, centroids: Tensor) -> None:
    if x.dim() != 2 or centroids.dim() != 2 or x.shape[1] != centroids.shape[1] or centroids.shape[0] == 0:
        raise UsageError(
            "points (M, D) and at least one centroid (K, D)",
            f"{tuple(x.shape)} and {tuple(centroids.shape)}",
            "give both the same number of coordinates",
        )
    if x.dtype != centroids.dtype or x.device != centroids.device:
        raise UsageError(
            "points and centroids of one dtype on one device",
            f"{x.dtype} on {x.device} and {centroids.dtype} on {centroids.device}",
            "convert or move one of them",
        )
