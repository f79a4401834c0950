"""Spatial pyramids: a picture in cells, each with a vector of its own (Lazebnik, Schmid and Ponce 2006)."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from ..core.checks import UsageError, unknown
from .descriptors import Descriptors
from .normalization import normalize
from .options import text

WEIGHTS = ("equal", "lazebnik")
MOST_CELLS = 10_000
"""One level of the finest grid that can be written, 99x99."""
LEVEL = re.compile(r"([1-9]\d?)x([1-9]\d?)")


class Pyramid:
    """Cells of a picture, level by level, and how their vectors become one.

    Args:
        layout: Levels joined by "+", each rows x columns: "1x1+2x2+4x4", "1x1+3x1".
        weights: "equal", or "lazebnik" for kernels in which histograms count in proportion, as intersection: of levels
            0 to L the first counts 2 ** -L, each other l 2 ** -(L - l + 1) (their equation 3).

    Attributes:
        levels: (rows, columns) of each level.

    Raises:
        UsageError: A layout that cannot be read, or unknown weights.

    Example:
        >>> len(Pyramid(layout="1x1+2x2+4x4"))
        21
    """

    def __init__(self, *, layout: str = "1x1+2x2+4x4", weights: str = "equal") -> None:
        text("pyramid", layout)
        found = [LEVEL.fullmatch(level) for level in layout.split("+")]
        if not all(found):
            raise UsageError('levels such as "1x1+2x2+4x4" or "1x1+3x1"', repr(layout), "write rows x columns")
        if weights not in WEIGHTS:
            raise unknown("weights", weights, WEIGHTS)
        self.layout, self.weights = layout, weights
        self.levels = tuple((int(match[1]), int(match[2])) for match in found if match)
        if len(self) > MOST_CELLS:
            raise UsageError(f"at most {MOST_CELLS:,} cells", f"{len(self):,}", "take fewer levels, or coarser ones")

    def __len__(self) -> int:
        return sum(rows * columns for rows, columns in self.levels)

    def boxes(self, size: tuple[int, int]) -> NDArray[np.float32]:
        """Return the cells of a picture (height, width), xyxy pixels, float32 (cells, 4), ordered as `regions`."""
        height, width = size
        found = [
            (x / columns * width, y / rows * height, (x + 1) / columns * width, (y + 1) / rows * height)
            for rows, columns in self.levels
            for y in range(rows)
            for x in range(columns)
        ]
        return np.array(found, np.float32)

    def regions(self, descriptors: Descriptors) -> list[NDArray[np.int64]]:
        """Return the numbers of the descriptors whose centre is in each cell, level by level and row by row."""
        shares = (descriptors.centres + 0.5) / np.array([descriptors.size[1], descriptors.size[0]], np.float32)
        found = []
        for rows, columns in self.levels:
            if rows == columns == 1:
                found.append(np.arange(len(descriptors)))
                continue
            # Keypoints found on the very edge belong to the outermost cells.
            x, y = np.clip((shares * (columns, rows)).astype(np.int64), 0, (columns - 1, rows - 1)).T
            cells = y * columns + x
            order = np.argsort(cells, kind="stable")
            found += np.split(order, np.searchsorted(cells[order], np.arange(1, rows * columns)))
        return found

    def level_weights(self) -> NDArray[np.float32]:
        """Return the weight of each cell's vector, (cells,)."""
        last = len(self.levels) - 1
        each = [1.0 if self.weights == "equal" else 2.0 ** -(last - max(i - 1, 0)) for i in range(last + 1)]
        return np.repeat(each, [rows * columns for rows, columns in self.levels]).astype(np.float32)

    def join(self, pooled: NDArray[np.float32], *, region: str, whole: str) -> NDArray[np.float32]:
        """Make one vector of a picture's: normalize each region's, weigh by level, put in a row, normalize.

        Args:
            pooled: (cells, width), of `Encoder.encode`.
            region: Normalization of each cell's vector; see `normalize`.
            whole: Normalization of the row.

        Returns:
            float32 (cells * width,).
        """
        row = normalize(pooled, region) * self.level_weights()[:, None]
        return normalize(row.reshape(1, -1), whole)[0]
