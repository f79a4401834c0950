"""Mixtures of Gaussians with diagonal covariances, by expectation and maximization over blocks of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.checks import DataError
from .projection import blocks
from .vocabulary import Vocabulary, nearest

LEAST_VARIANCE = 0.01
"""Of each component along each axis, as a share of all rows' variance: the thousands of equal descriptors of flat
patches would else be a component of no width, beside which all others' gradients are rounding."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """A fitted mixture.

    Attributes:
        weights: float32 (K,), sum 1.
        means: float32 (K, D).
        variances: float32 (K, D).
    """

    weights: NDArray[np.float32]
    means: NDArray[np.float32]
    variances: NDArray[np.float32]

    def log_densities(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logarithm of weight times density of each component at each row, (n, K)."""
        precisions = 1 / self.variances
        constant = np.log(self.weights) - 0.5 * (
            np.log(2 * np.pi * self.variances).sum(1) + (self.means**2 * precisions).sum(1)
        )
        found = rows @ (self.means * precisions).T - np.square(rows) @ (0.5 * precisions).T + constant
        return np.asarray(found, np.float32)

    def posteriors(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the share of each component in each row, (n, K), and the logarithm of each row's density, (n,)."""
        logarithms = self.log_densities(rows)
        largest = logarithms.max(1, keepdims=True)
        shares = np.exp(logarithms - largest)
        sums = shares.sum(1, keepdims=True)
        return shares / sums, (np.log(sums) + largest)[:, 0]


def fit_mixture(rows: Any, components: int, *, passes: int = 20, tolerance: float = 1e-3, seed: int = 0) -> Mixture:
    """Learn a mixture, starting from k-means.

    Args:
        rows: float32 (n, D), an array or what reads like one.
        components: K.
        passes: Most passes over the rows.
        tolerance: Stop once a pass raises the mean log density by less, as scikit-learn's `tol`.
        seed: Of k-means.

    Raises:
        DataError: Fewer rows than components, or one row.
    """
    if len(rows) < 2:
        raise DataError("at least 2 rows for a mixture", str(len(rows)), "take more descriptors")
    words = Vocabulary(words=components, passes=5, seed=seed).fit(rows)
    least = LEAST_VARIANCE * _variance(rows)
    mixture = _from_words(rows, words.centroids_, least)
    before = -np.inf
    for _ in range(passes):
        mixture, density = em_pass(rows, mixture, least)
        if density - before < tolerance:
            break
        before = density
    return mixture


def em_pass(rows: Any, mixture: Mixture, least: NDArray[Any]) -> tuple[Mixture, float]:
    """Improve a mixture by one pass: (mixture, the mean log density before); variances stay at `least` or above."""
    count, first, second, density = _no_moments(mixture.means.shape)
    for part in blocks(rows):
        shares, logarithms = mixture.posteriors(part)
        count, first, second = count + shares.sum(0), first + shares.T @ part, second + shares.T @ np.square(part)
        density += float(logarithms.sum(dtype=np.float64))
    return _maximized(count, first, second, mixture, least), density / len(rows)


def _from_words(rows: Any, centroids: NDArray[Any], least: NDArray[Any]) -> Mixture:
    """Start from the words: each row belongs to the nearest alone."""
    even = np.full(len(centroids), 1 / len(centroids), np.float32)
    start = Mixture(even, centroids.astype(np.float32), np.ones(centroids.shape, np.float32))
    count, first, second, _ = _no_moments(centroids.shape)
    for part in blocks(rows):
        shares = np.zeros((len(part), len(centroids)), np.float32)
        shares[np.arange(len(part)), nearest(part, start.means)[0]] = 1
        count, first, second = count + shares.sum(0), first + shares.T @ part, second + shares.T @ np.square(part)
    return _maximized(count, first, second, start, least)


def _no_moments(shape: tuple[int, int]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], float]:
    return np.zeros(shape[0]), np.zeros(shape), np.zeros(shape), 0.0


def _maximized(
    count: NDArray[Any], first: NDArray[Any], second: NDArray[Any], before: Mixture, least: NDArray[Any]
) -> Mixture:
    """Return the mixture of these moments; a component that nothing belongs to keeps its place."""
    total = count.sum()
    shares = np.maximum(count, 10 * np.finfo(np.float64).eps)[:, None]
    alive = (count > 1e-3)[:, None]
    means = np.where(alive, first / shares, before.means)
    variances = np.where(alive, second / shares - means**2, before.variances)
    weights = np.maximum(count / total, 1e-8)
    weights /= weights.sum()
    return Mixture(*(a.astype(np.float32) for a in (weights, means, np.maximum(variances, least))))


def _variance(rows: Any) -> NDArray[np.float64]:
    """Return the variance of all rows along each axis; where it is zero, the smallest number that divides well."""
    mean = sum(part.sum(0, dtype=np.float64) for part in blocks(rows)) / len(rows)
    squares = sum(np.square(part - mean).sum(0) for part in blocks(rows))
    return np.maximum(squares / len(rows), 1e-8)
