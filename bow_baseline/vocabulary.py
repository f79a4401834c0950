"""Visual words: k-means over more descriptors than fit into memory."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils.validation import check_is_fitted

from ..core import ops
from ..core.checks import DataError, positive, unknown
from .projection import blocks, check_rows

METHODS = ("mini-batch", "lloyd")
STARTERS = 10
"""Rows for each word that k-means++ chooses among. Of 30,000 SIFT for 300 words, twice as many take 0.2 s longer and
end with 0.1 % less inertia, half as many with 0.2 % more."""


class Vocabulary(ClusterMixin, TransformerMixin, BaseEstimator):
    """k-means with k-means++ starts (Arthur and Vassilvitskii 2007), by mini-batches (Sculley 2010) or by Lloyd.

    Args:
        words: Number of centroids.
        method: "mini-batch": one pass over the rows in batches, then `passes` of Lloyd's; "lloyd": the latter alone.
            Both read rows in blocks, so that a memory map stays on disk.
        passes: Most passes of Lloyd's algorithm; fewer once a pass lowers the inertia by less than a share of
            `tolerance`.
        batch_size: Rows of a mini-batch.
        restarts: Starts, of which the one with the least inertia is kept.
        tolerance: See `passes`.
        seed: Of starts and batches.

    Attributes:
        centroids_: (words, D), dtype of the rows.
        inertia_: Sum of the squared distances of all rows to their centroids.
        labels_: int64 (n,), the centroid of each row.
        passes_: Passes of Lloyd's algorithm that the kept start took.
    """

    def __init__(
        self,
        *,
        words: int = 600,
        method: str = "mini-batch",
        passes: int = 10,
        batch_size: int = 8192,
        restarts: int = 1,
        tolerance: float = 1e-3,
        seed: int = 0,
    ) -> None:
        self.words, self.method, self.passes, self.batch_size = words, method, passes, batch_size
        self.restarts, self.tolerance, self.seed = restarts, tolerance, seed

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the words from rows (n, D), float32 or float64: an array or a memory map.

        Raises:
            DataError: Not a finite matrix, or fewer rows than words.
            UsageError: An option out of range.
        """
        X = check_rows(self, X, reset=True)
        self._check_options()
        if len(X) < self.words:
            fix = "take more descriptors or fewer words"
            raise DataError(f"at least {self.words} rows for {self.words} words", f"n_samples={len(X)}", fix)
        found = [self._run(X, np.random.default_rng((self.seed, i))) for i in range(self.restarts)]
        self.inertia_, self.passes_, self.centroids_, self.labels_ = min(found, key=lambda run: run[0])
        return self

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return the nearest word of each row, (n,)."""
        check_is_fitted(self)
        return nearest(check_rows(self, X, reset=False), self.centroids_)[0]

    def transform(self, X: Any) -> NDArray[Any]:
        """Return the distance of each row to each word, (n, words)."""
        check_is_fitted(self)
        return np.concatenate([_distances(part, self.centroids_) for part in blocks(check_rows(self, X, reset=False))])

    def _check_options(self) -> None:
        if self.method not in METHODS:
            raise unknown("method", self.method, METHODS)
        for name in ("words", "passes", "batch_size", "restarts"):
            positive(name, getattr(self, name))

    def _run(self, rows: Any, rng: np.random.Generator) -> tuple[float, int, NDArray[Any], NDArray[np.int64]]:
        """Cluster once: (inertia, passes, centroids, labels)."""
        chosen = np.sort(rng.choice(len(rows), min(len(rows), STARTERS * self.words), replace=False))
        centroids = plus_plus(np.asarray(rows[chosen]), self.words, rng)
        if self.method == "mini-batch":
            centroids = mini_batches(rows, centroids, self.batch_size, rng)
        before, done = np.inf, 0
        while done < self.passes:
            centroids, inertia = lloyd_pass(rows, centroids)
            done += 1
            if before - inertia <= self.tolerance * inertia:
                break
            before = inertia
        parts = [nearest(part, centroids) for part in blocks(rows)]
        labels = np.concatenate([indices for indices, _ in parts])
        return sum(float(squared.sum(dtype=np.float64)) for _, squared in parts), done, centroids, labels


def nearest(
    rows: NDArray[Any], centroids: NDArray[Any], device: str | torch.device = "cpu"
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the nearest centroid of each row, int64 (n,), and the squared distance to it (n,)."""
    indices, squared = ops.nearest_centroid(_tensor(rows, device), _tensor(centroids, device), precision="ieee")
    return indices.cpu().numpy(), squared.cpu().numpy()


def nearest_several(
    rows: NDArray[Any], centroids: NDArray[Any], k: int, device: str | torch.device = "cpu"
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the k nearest centroids of each row, nearest first, int64 (n, k), and the squared distances (n, k)."""
    indices, squared = ops.nearest_centroids(_tensor(rows, device), _tensor(centroids, device), k, precision="ieee")
    return indices.cpu().numpy(), squared.cpu().numpy()


def plus_plus(rows: NDArray[Any], words: int, rng: np.random.Generator) -> NDArray[Any]:
    """Choose rows far from each other: greedy k-means++, of a few candidates each time the one that helps most.

    Args:
        rows: (m, D), at least as many as words.
        words: How many to choose.
        rng: Draws them.
    """
    tries = 2 + int(np.log(words))
    squares = np.einsum("ij,ij->i", rows, rows)
    chosen = [int(rng.integers(len(rows)))]
    least = np.maximum(squares + squares[chosen[0]] - 2 * (rows @ rows[chosen[0]]), 0)
    while len(chosen) < words:
        drawn = rng.random(tries) * least.sum(dtype=np.float64)
        candidates = np.minimum(np.searchsorted(np.cumsum(least, dtype=np.float64), drawn), len(rows) - 1)
        distances = rows[candidates] @ rows.T
        distances *= -2
        distances += squares
        distances += squares[candidates][:, None]
        np.clip(distances, 0, least, out=distances)
        best = int(distances.sum(1).argmin())
        chosen.append(int(candidates[best]))
        least = distances[best]
    return rows[chosen]


def mini_batches(rows: Any, centroids: NDArray[Any], size: int, rng: np.random.Generator) -> NDArray[Any]:
    """Move centroids towards the means of random batches, each by its share of the rows that it has seen so far."""
    centroids, seen = centroids.copy(), np.zeros(len(centroids))
    order = rng.permutation(len(rows))
    for start in range(0, len(order), size):
        batch = np.asarray(rows[np.sort(order[start : start + size])])
        indices, squared = nearest(batch, centroids)
        sums, counts = _sums(batch, indices, len(centroids))
        seen += counts
        moved = counts > 0
        centroids[moved] += (sums - counts[:, None] * centroids)[moved] / seen[moved, None]
        lost = np.flatnonzero(seen == 0)
        far = batch[_farthest(squared, len(lost))]
        centroids[lost[: len(far)]] = far  # a batch may have fewer rows than there are empty words
    return centroids


def lloyd_pass(rows: Any, centroids: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """Move each centroid to the mean of its rows: (centroids, the inertia before).

    A centroid without rows is put onto one of the rows that are farthest from theirs.
    """
    words = len(centroids)
    sums, counts, inertia = np.zeros(centroids.shape), np.zeros(words, np.int64), 0.0
    far, distances = centroids[:0], np.zeros(0)
    for part in blocks(rows):
        indices, squared = nearest(part, centroids)
        more, numbers = _sums(part, indices, words)
        sums, counts, inertia = sums + more, counts + numbers, inertia + float(squared.sum(dtype=np.float64))
        if (counts == 0).any():
            ends = _farthest(squared, words)
            far, distances = np.concatenate([far, part[ends]]), np.concatenate([distances, squared[ends]])
            keep = _farthest(distances, words)
            far, distances = far[keep], distances[keep]
    moved = (sums / np.maximum(counts, 1)[:, None]).astype(centroids.dtype)
    empty = np.flatnonzero(counts == 0)
    moved[empty] = far[: len(empty)]
    return moved, inertia


def _sums(rows: NDArray[Any], indices: NDArray[np.int64], words: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    sums, counts = ops.centroid_sums(torch.from_numpy(rows), torch.from_numpy(indices), words)
    return sums.numpy(), counts.numpy()


def _farthest(squared: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Return where the `count` largest are, the largest first."""
    return np.argsort(-squared, kind="stable")[:count]


def _distances(rows: NDArray[Any], centroids: NDArray[Any]) -> NDArray[Any]:
    return euclidean_distances(rows, centroids.astype(rows.dtype))


def _tensor(array: NDArray[Any], device: str | torch.device) -> torch.Tensor:
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(device)
