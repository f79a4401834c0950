"""Histograms over visual words: hard, soft and locality-constrained assignment, sum or max pooling."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..core.checks import UsageError, unknown
from .descriptors import Descriptors
from .encoder import Encoder, Floats, Regions, expect
from .options import above_zero, whole_number
from .vocabulary import Vocabulary, nearest, nearest_several

POOLS = ("sum", "max")


class WordEncoder(Encoder):
    """An encoder whose vector has one entry for each word.

    Args:
        words: Size of the vocabulary.
        pool: "sum" counts a region's codes, "max" keeps the largest of each word and 0 where there is none.
        components: See `Encoder`.
        whiten: See `Encoder`.
        passes: See `Vocabulary`.
        restarts: See `Vocabulary`.
    """

    def __init__(
        self, *, words: int, pool: str, components: int | None, whiten: bool, passes: int, restarts: int
    ) -> None:
        super().__init__(components=components, whiten=whiten)
        for name, value in (("words", words), ("passes", passes), ("restarts", restarts)):
            whole_number(name, value)
        if pool not in POOLS:
            raise unknown("pool", pool, POOLS)
        self.words, self.pool, self.passes, self.restarts = words, pool, passes, restarts

    @property
    def width(self) -> int:
        """Length of a region's vector."""
        return self.words

    def codes(self, descriptors: Descriptors) -> csr_array:
        """Return the weight of each word in each descriptor, sparse (n, words); see `encode` for what is refused."""
        indices, weights = self._assign(self._projected(descriptors))
        starts = np.arange(0, indices.size + 1, indices.shape[1])
        return csr_array((weights.ravel(), indices.ravel(), starts), shape=(len(indices), self.words))

    @abstractmethod
    def _assign(self, values: Floats) -> tuple[NDArray[np.int64], Floats]:
        """Return some words for each row and their weights, (n, k) each."""

    def _learn(self, rows: Any, seed: int) -> None:
        vocabulary = Vocabulary(words=self.words, passes=self.passes, restarts=self.restarts, seed=seed).fit(rows)
        self.centroids_ = vocabulary.centroids_.astype(np.float32)

    def _pool(self, values: Floats, regions: Regions) -> Floats:
        indices, weights = self._assign(values)
        pooled = np.zeros((len(regions), self.words), np.float32)
        for row, region in zip(pooled, regions, strict=True):
            words, amounts = indices[region].ravel(), weights[region].ravel()
            if self.pool == "max":
                np.maximum.at(row, words, amounts)
            else:
                row[:] = np.bincount(words, amounts, minlength=self.words)
        return pooled

    def _learned(self) -> dict[str, NDArray[Any]]:
        return {"centroids": self._fitted()}

    def _take(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.centroids_ = expect(arrays, "centroids", (self.words, None))


class HardEncoder(WordEncoder):
    """Each descriptor counts for its nearest word (Csurka et al. 2004); keywords of `WordEncoder`."""

    normalization = "l1"

    def __init__(
        self,
        *,
        words: int = 600,
        pool: str = "sum",
        components: int | None = None,
        whiten: bool = False,
        passes: int = 10,
        restarts: int = 1,
    ) -> None:
        super().__init__(words=words, pool=pool, components=components, whiten=whiten, passes=passes, restarts=restarts)

    def _assign(self, values: Floats) -> tuple[NDArray[np.int64], Floats]:
        indices, _ = nearest(values, self._fitted(), self.device)
        return indices[:, None], np.ones((len(values), 1), np.float32)


class SoftEncoder(WordEncoder):
    """Each descriptor counts for several words by a Gaussian of the distance: the kernel codebook.

    van Gemert et al. 2008, equation 7 (codeword uncertainty): exp(-d^2 / (2 sigma^2)) over the sum for all words,
    here over the `neighbours` nearest, which hold all but little of it (Liu et al. 2011).

    Args:
        neighbours: How many words, from 1 to 16.
        bandwidth: sigma, as a share of the root mean squared distance of the sample to its nearest words.

    The others are `WordEncoder`'s.

    Attributes:
        spread_: The root mean squared distance of the sample to its nearest words.
    """

    normalization = "l1"

    def __init__(
        self,
        *,
        words: int = 600,
        neighbours: int = 5,
        bandwidth: float = 0.5,
        pool: str = "sum",
        components: int | None = None,
        whiten: bool = False,
        passes: int = 10,
        restarts: int = 1,
    ) -> None:
        super().__init__(words=words, pool=pool, components=components, whiten=whiten, passes=passes, restarts=restarts)
        _check_neighbours(neighbours, words)
        above_zero("bandwidth", bandwidth)
        self.neighbours, self.bandwidth = neighbours, bandwidth
        self.spread_ = 0.0

    def _learn(self, rows: Any, seed: int) -> None:
        vocabulary = Vocabulary(words=self.words, passes=self.passes, restarts=self.restarts, seed=seed).fit(rows)
        self.centroids_ = vocabulary.centroids_.astype(np.float32)
        self.spread_ = float(np.sqrt(vocabulary.inertia_ / len(rows)))

    def _assign(self, values: Floats) -> tuple[NDArray[np.int64], Floats]:
        indices, squared = nearest_several(values, self._fitted(), self.neighbours, self.device)
        width = max(2 * (self.bandwidth * self.spread_) ** 2, float(np.finfo(np.float32).tiny))
        weights = np.exp((squared[:, :1] - squared) / np.float32(width))
        return indices, weights / weights.sum(1, keepdims=True)

    def _learned(self) -> dict[str, NDArray[Any]]:
        return super()._learned() | {"spread": np.array([self.spread_])}

    def _take(self, arrays: dict[str, NDArray[Any]]) -> None:
        super()._take(arrays)
        self.spread_ = float(expect(arrays, "spread", (1,), np.float64)[0])


class LlcEncoder(WordEncoder):
    """Each descriptor is rebuilt from its nearest words (Wang et al. 2010, locality-constrained linear coding).

    The approximation of their section 4: least squares over the `neighbours` nearest words with weights that sum to 1,
    regularized by `ridge` times the trace of the Gram matrix.

    Args:
        neighbours: How many words, from 1 to 16.
        ridge: beta, 1e-4 in the paper's program.

    The others are `WordEncoder`'s.
    """

    normalization = "l2"

    def __init__(
        self,
        *,
        words: int = 1024,
        neighbours: int = 5,
        ridge: float = 1e-4,
        pool: str = "max",
        components: int | None = None,
        whiten: bool = False,
        passes: int = 10,
        restarts: int = 1,
    ) -> None:
        super().__init__(words=words, pool=pool, components=components, whiten=whiten, passes=passes, restarts=restarts)
        _check_neighbours(neighbours, words)
        above_zero("ridge", ridge)
        self.neighbours, self.ridge = neighbours, ridge

    def _assign(self, values: Floats) -> tuple[NDArray[np.int64], Floats]:
        indices, _ = nearest_several(values, self._fitted(), self.neighbours, self.device)
        away = self._fitted()[indices] - values[:, None]
        grams = away @ away.transpose(0, 2, 1)
        diagonal = np.arange(self.neighbours)
        traces = grams[:, diagonal, diagonal].sum(1)
        # A descriptor that is its own nearest words has a Gram matrix of zeros: any weights rebuild it, equal ones do.
        grams[:, diagonal, diagonal] += np.where(traces > 0, np.float32(self.ridge) * traces, 1)[:, None]
        weights = np.linalg.solve(grams, np.ones((len(values), self.neighbours, 1), np.float32))[..., 0]
        return indices, weights / weights.sum(1, keepdims=True)


def _check_neighbours(neighbours: int, words: int) -> None:
    most = min(16, words)
    whole_number("neighbours", neighbours)
    if not 1 <= neighbours <= most:
        raise UsageError(f"from 1 to {most} neighbours", str(neighbours), "ask for fewer, or for more words")
