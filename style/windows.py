"""Pictures too large for the memory are looked at in tiles.

Tiles begin at multiples of the network's stride and look `HALO` pixels beyond themselves; what a pixel sees farther
away than that is lost, beyond which nothing differs from the whole picture.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ..core.checks import UsageError
from .networks import Trunk, VggTrunk

HALO = 64
"""Pixels beyond a tile. relu4_1 of a VGG-19 sees 46 pixels to each side, relu5_1 102, its far ones faintly."""


class Window(NamedTuple):
    """A tile: the pixels that it answers for, and those that it looks at."""

    rows: slice
    columns: slice
    outer_rows: slice
    outer_columns: slice

    def cut(self, whole: Tensor, stride: int) -> Tensor:
        """Return this tile's part of a map of the whole picture."""
        rows, columns = (
            slice(side.start // stride, None if side.stop is None else side.stop // stride)
            for side in (self.rows, self.columns)
        )
        return whole[:, :, rows, columns]

    def inner(self, maps: Tensor, stride: int) -> Tensor:
        """Return this tile's part of a map of what it looks at."""
        found = maps
        for dim, own, outer in ((2, self.rows, self.outer_rows), (3, self.columns, self.outer_columns)):
            start = (own.start - outer.start) // stride
            stop = maps.shape[dim] if own.stop is None else (own.stop - outer.start) // stride
            if (start, stop) != (0, maps.shape[dim]):  # the gradient of a part is written into a map of zeros
                found = found.narrow(dim, start, stop - start)
        return found


def windows(height: int, width: int, tile: int | None, stride: int) -> list[Window]:
    """Cut a picture into tiles, row by row.

    Args:
        height: Of the picture.
        width: Of the picture.
        tile: Longest side of a tile; None for the whole picture as one.
        stride: That tiles begin at multiples of.
    """
    down, along = (_sides(length, tile, stride) for length in (height, width))
    return [Window(rows, columns, *outer) for rows, a in down for columns, b in along for outer in [(a, b)]]


def check_tiles(trunk: Trunk, name: str) -> None:
    """Raise UsageError unless maps can be computed in tiles: they have to begin at multiples of the stride."""
    if not isinstance(trunk, VggTrunk):
        fix = "paint a smaller picture, allow more memory, or take other features"
        raise UsageError("features that can be computed in tiles, such as a VGG's", name, fix)


def _sides(length: int, tile: int | None, stride: int) -> list[tuple[slice, slice]]:
    """Cut a side into tiles of nearly one size; (what each answers for, what it looks at), the last without an end."""
    count = 1 if tile is None else -(-length // tile)
    cells = length // stride
    starts = [stride * (cells * i // count) for i in range(count)]
    stops: list[int | None] = [*starts[1:], None]
    halo = -(-HALO // stride) * stride
    return [
        (slice(start, stop), slice(max(0, start - halo), None if stop is None else stop + halo))
        for start, stop in zip(starts, stops, strict=True)
    ]
