"""The SVM's kernels: matrices of all pairs, and the explicit map whose inner products are nearly the chi-squared's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.ops.histograms import additive_chi2, chi2_kernel, histogram_intersection
from .room import let_go

Array = NDArray[Any]

INTERVAL, STEPS = 0.5, 2
"""Of the explicit map: samples of the kernel's spectrum at 0 and 0.5, three numbers for one; scikit-learn's choice."""
COLUMNS = 2**20
"""Numbers of the features that are mapped at a time: 4 MiB of float32, 12 MiB mapped."""
PROBE = 500
"""Rows that the default width of a kernel is measured on: their mean distance is known to one per cent."""


@dataclass(frozen=True)
class Kernel:
    """One kernel.

    Attributes:
        matrix: (M, D), (N, D), gamma -> (M, N).
        terms: (D,), (S, D) -> (S, D), what each coordinate adds to the kernel of one vector with others, 0 where one of
            the two is 0; None for a kernel that is no sum over the coordinates.
        histograms: Takes no negative numbers.
        mapped: (N, D) -> (N, factor * D), features whose inner products are the kernel; None where there is no such
            map. Columns i, i + D, i + 2 D ... are made of column i.
        factor: See `mapped`.
        distance: (M, D), (N, D) -> (M, N), what gamma multiplies; None where there is no gamma.
    """

    matrix: Callable[[Array, Array, float], Array]
    terms: Callable[[Array, Array], Array] | None = None
    histograms: bool = False
    mapped: Callable[[Array], Array] | None = None
    factor: int = 1
    distance: Callable[[Array, Array], Array] | None = None


def chi2_map(features: Array) -> Array:
    """Map histograms (N, D) to (N, 3 D), whose inner products are nearly the sum of 2 x y / (x + y).

    Source: Vedaldi and Zisserman 2012, "Efficient additive kernels via explicit feature maps", equation 11; the numbers
    are those of `sklearn.kernel_approximation.AdditiveChi2Sampler`.
    """
    found = np.zeros((len(features), (2 * STEPS - 1) * features.shape[1]), features.dtype)
    blocks = np.split(found, 2 * STEPS - 1, axis=1)
    there = features > 0
    values = features[there]
    blocks[0][there] = np.sqrt(values * INTERVAL)
    angle = INTERVAL * np.log(values)
    for step in range(1, STEPS):
        factor = np.sqrt(2 * INTERVAL * values / np.cosh(np.pi * step * INTERVAL))
        blocks[2 * step - 1][there] = factor * np.cos(step * angle)
        blocks[2 * step][there] = factor * np.sin(step * angle)
    return found


def default_gamma(kernel: Kernel, features: Array, seed: int) -> float:
    """Return 1 over the mean distance of training pictures (Zhang et al. 2007); 1.0 for a kernel without a width."""
    if kernel.distance is None:
        return 1.0
    chosen = np.sort(np.random.default_rng(seed).permutation(len(features))[:PROBE])
    some = np.asarray(features[chosen])
    pairs = max(len(some) * (len(some) - 1), 1)  # without those of a picture with itself, which are 0
    mean = float(kernel.distance(some, some).sum(dtype=np.float64)) / pairs
    return 1.0 / mean if mean > 0 else 1.0


def mean_square(kernel: Kernel, features: Array, gamma: float) -> float:
    """Return the mean of kernel(x, x) over training pictures, at most `PROBE` of them, evenly drawn."""
    some = np.asarray(features[:: -(-len(features) // PROBE)])
    return float(np.mean([kernel.matrix(row[None], row[None], gamma)[0, 0] for row in some]))


def training_matrix(kernel: Kernel, features: Array, gamma: float) -> NDArray[np.float64]:
    """Return the kernel of all training pairs (N, N); a mapped one is summed over blocks of columns, each mapped once.

    Args:
        kernel: One of `KERNELS`.
        features: (N, D), may lie in a file.
        gamma: The width, where there is one.
    """
    count, width = features.shape
    if kernel.mapped is None:
        return np.asarray(kernel.matrix(features, features, gamma), np.float64)
    total = np.zeros((count, count))
    step = max(1, COLUMNS // max(count, 1))
    for start in range(0, width, step):
        part = kernel.mapped(np.ascontiguousarray(features[:, start : start + step]))
        total += part @ part.T
        let_go(features)
    return total


def _linear(a: Array, b: Array, gamma: float = 1.0) -> Array:
    return np.asarray(a @ b.T)


def _chi2_mapped(a: Array, b: Array, gamma: float) -> Array:
    return np.asarray(chi2_map(a) @ chi2_map(b).T)


def _tensors(a: Array, b: Array) -> tuple[torch.Tensor, torch.Tensor]:
    # torch warns of arrays that may not be written to, as those of a file are: they are copied
    x, y = (np.require(one, requirements=["C", "W"]) for one in (a, b))
    return torch.from_numpy(x), torch.from_numpy(y)


def _intersection(a: Array, b: Array, gamma: float = 1.0) -> Array:
    return histogram_intersection(*_tensors(a, b)).numpy()


def _chi2_distance(a: Array, b: Array) -> Array:
    return -additive_chi2(*_tensors(a, b)).numpy()


def _chi2_additive(a: Array, b: Array, gamma: float = 1.0) -> Array:
    """2 x y / (x + y) = (x + y) / 2 - (x - y)^2 / (2 (x + y)), summed over the bins."""
    return np.asarray((a.sum(1)[:, None] + b.sum(1)[None] - _chi2_distance(a, b)) / 2)


def _chi2(a: Array, b: Array, gamma: float) -> Array:
    return chi2_kernel(*_tensors(a, b), gamma).numpy()


def _squared_distance(a: Array, b: Array) -> Array:
    squares = np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2 * (a @ b.T)
    return np.maximum(squares, 0)


def _rbf(a: Array, b: Array, gamma: float) -> Array:
    return np.exp(-gamma * _squared_distance(a, b))


def _chi2_terms(a: Array, b: Array) -> Array:
    total = a + b
    return np.asarray(np.divide(2 * a * b, total, out=np.zeros_like(total), where=total > 0))


def _mapped_terms(a: Array, b: Array) -> Array:
    mapped = chi2_map(a[None]) * chi2_map(b)
    return np.asarray(mapped.reshape(len(b), -1, len(a)).sum(1))


KERNELS = {
    "linear": Kernel(_linear, terms=np.multiply, mapped=np.asarray),
    "intersection": Kernel(_intersection, terms=np.minimum, histograms=True),
    "chi2": Kernel(_chi2, histograms=True, distance=_chi2_distance),
    "chi2-additive": Kernel(_chi2_additive, terms=_chi2_terms, histograms=True),
    "chi2-map": Kernel(_chi2_mapped, terms=_mapped_terms, histograms=True, mapped=chi2_map, factor=2 * STEPS - 1),
    "rbf": Kernel(_rbf, distance=_squared_distance),
}
"""By name. "chi2" is exp(-gamma * chi-squared distance) of Zhang et al. 2007; "chi2-additive" the sum of
2 x y / (x + y); "chi2-map" nearly the same as inner products, linear in time and small when saved."""
