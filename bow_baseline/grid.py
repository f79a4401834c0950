"""A regular lattice instead of a vocabulary, for comparison."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.checks import UsageError
from .descriptors import Descriptors
from .encoder import Floats, expect
from .options import whole_number
from .projection import blocks
from .word_encoding import WordEncoder

REACH = 2.0
"""Half the lattice's side in standard deviations of its axis; what lies outside counts for the outermost cells."""
MOST_WORDS = 2**16


class GridEncoder(WordEncoder):
    """Each descriptor counts for its cell of a lattice over the principal components (Tuytelaars and Schmid 2007).

    Differs from their lattice over all 128 coordinates, with hashed cells, because one over few components has a
    number of cells that can be chosen, and every cell a place in the histogram.

    Args:
        components: Axes of the lattice.
        levels: Cells along each axis: levels ** components words.
        pool: See `WordEncoder`.
        whiten: See `Encoder`; changes nothing here, for the cells follow the spread of each axis.

    Attributes:
        spacing_: float32 (components,), the side of a cell along each axis.
    """

    normalization = "l1"

    def __init__(self, *, components: int = 5, levels: int = 4, pool: str = "sum", whiten: bool = False) -> None:
        whole_number("components", components)
        whole_number("levels", levels, least=2)
        # the logarithm first: a power of a billion would not end
        if components * math.log2(levels) > 64 or int(levels) ** int(components) > MOST_WORDS:
            expected = f"levels ** components of at most {MOST_WORDS}"
            raise UsageError(expected, f"{levels} ** {components}", "take 4 levels of 5 components")
        words = levels**components
        super().__init__(words=words, pool=pool, components=components, whiten=whiten, passes=1, restarts=1)
        self.levels = levels
        self.spacing_ = np.ones(components, np.float32)

    def words_of(self, descriptors: Descriptors) -> NDArray[np.int64]:
        """Return the cell of each descriptor, (n,), the last axis counted first."""
        return self._assign(self._projected(descriptors))[0][:, 0]

    def _learn(self, rows: Any, seed: int) -> None:
        # The components have mean 0.
        squares = sum(np.square(part, dtype=np.float64).sum(0) for part in blocks(rows))
        spread = np.sqrt(np.maximum(squares / len(rows), np.finfo(np.float32).tiny))
        self._lay(2 * REACH * spread / self.levels)

    def _lay(self, spacing: NDArray[Any]) -> None:
        self.spacing_ = spacing.astype(np.float32)
        steps = np.arange(self.levels) - (self.levels - 1) / 2
        self.centroids_ = np.array(list(product(*(steps * side for side in self.spacing_))), np.float32)

    def _assign(self, values: Floats) -> tuple[NDArray[np.int64], Floats]:
        cells = np.clip(np.floor(values / self.spacing_ + self.levels / 2), 0, self.levels - 1).astype(np.int64)
        weights = self.levels ** np.arange(len(self.spacing_))[::-1]
        return (cells @ weights)[:, None], np.ones((len(values), 1), np.float32)

    def _learned(self) -> dict[str, NDArray[Any]]:
        return {"spacing": self.spacing_}

    def _take(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._lay(expect(arrays, "spacing", (self.components,)))
