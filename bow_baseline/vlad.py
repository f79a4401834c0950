"""VLAD: sums of the residuals to each word."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .encoder import Encoder, Floats, Regions, expect
from .options import whole_number
from .vocabulary import Vocabulary, nearest


class VladEncoder(Encoder):
    """Vectors of locally aggregated descriptors (Jegou et al. 2010).

    Args:
        words: Size of the vocabulary.
        intra: Bring each word's residual sum to length 1, against bursts (Arandjelovic and Zisserman 2013).
        components: See `Encoder`.
        whiten: See `Encoder`.
        passes: See `Vocabulary`.
        restarts: See `Vocabulary`.
    """

    normalization = "power"

    def __init__(
        self,
        *,
        words: int = 64,
        intra: bool = False,
        components: int | None = 64,
        whiten: bool = False,
        passes: int = 10,
        restarts: int = 1,
    ) -> None:
        super().__init__(components=components, whiten=whiten)
        for name, value in (("words", words), ("passes", passes), ("restarts", restarts)):
            whole_number(name, value)
        self.words, self.intra, self.passes, self.restarts = words, intra, passes, restarts

    @property
    def width(self) -> int:
        """Length of a region's vector."""
        return self._fitted().size

    def _learn(self, rows: Any, seed: int) -> None:
        vocabulary = Vocabulary(words=self.words, passes=self.passes, restarts=self.restarts, seed=seed).fit(rows)
        self.centroids_ = vocabulary.centroids_.astype(np.float32)

    def _pool(self, values: Floats, regions: Regions) -> Floats:
        centroids = self._fitted()
        indices, _ = nearest(values, centroids, self.device)
        # One row a word, 1 where a descriptor is the word's: the sums of all words are one product.
        members = np.zeros((self.words, len(values)), np.float32)
        members[indices, np.arange(len(values))] = 1
        residuals = values - centroids[indices]
        sums = np.stack([members[:, region] @ residuals[region] for region in regions])
        if self.intra:
            lengths = np.linalg.norm(sums, axis=2, keepdims=True)
            sums /= np.where(lengths > 0, lengths, 1)
        return sums.reshape(len(regions), -1)

    def _learned(self) -> dict[str, NDArray[Any]]:
        return {"centroids": self._fitted()}

    def _take(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.centroids_ = expect(arrays, "centroids", (self.words, None))
