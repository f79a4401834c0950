"""Tiles that overlap, and their blending: a tile counts most in its middle and not at all at its inner rim.

    w(y, x) = v(y) v(x),   v(t) = exp(-((t - c) / (length / 4))^2 / 2),   0 nearer than the rim to a neighbour's side

A network sees less around a pixel near the side of a tile than in the whole picture. So a pixel is never taken from
nearer than the rim, three eighths of the overlap, to a side at which the picture goes on; over the quarter between two
rims neighbours are blended. A network that sees no farther than the rim computes in tiles what it computes of the whole
picture, but for rounding.

"pyramid" sees farther, but makes little of it: trained on street scenes, at 1440 x 1920 pixels in tiles of 1024,
99.6 to 99.9 % of the labels are those of the whole picture with an overlap of 256 (a rim of 96), 99.9 % with 384 (144),
where no probability differs by more than 0.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..core.checks import UsageError

RIM = 3 / 8
"""Share of an overlap that is rim, on each of its sides."""


class Tiles(NamedTuple):
    """How large pictures are cut.

    Attributes:
        whole_pixels: Pictures of more pixels are.
        tile: Side of a tile.
        overlap: Of neighbouring tiles.
    """

    whole_pixels: int = 2**22
    tile: int = 1536
    overlap: int = 384

    def check(self) -> None:
        """Raise UsageError for sides that make no tiles."""
        if not 64 <= self.tile <= 8192 or not 0 <= self.overlap <= self.tile // 2 or self.whole_pixels < 1:
            got = f"tile {self.tile}, overlap {self.overlap}, whole_pixels {self.whole_pixels}"
            fix = "pass tile=1536, overlap=384, say"
            raise UsageError("tiles of 64 to 8192 pixels, overlaps up to half of it, whole_pixels above 0", got, fix)


TILES = Tiles()


def grid(length: int, tile: int, overlap: int, stride: int) -> list[range]:
    """Cover a side of a picture with tiles; the last may reach beyond it by less than a stride.

    Args:
        length: Pixels of the side.
        tile: Of a tile, a multiple of the stride.
        overlap: Least of two neighbours, a multiple of the stride.
        stride: Every tile starts at a multiple of it, so that the network's cells lie as in the whole picture.

    Returns:
        The pixels of each tile; cut at the picture's end.
    """
    step = max(stride, tile - overlap)
    end = max(0, -(-(length - tile) // stride) * stride)  # where the last tile starts
    starts = [*range(0, end, step), end]
    return [range(start, min(start + tile, length)) for start in starts]


class Part(NamedTuple):
    """A tile along one side of the picture.

    Attributes:
        pixels: Those it covers.
        weights: float32, one for each.
        after: Where the next tile starts; its own end, if none does.
        before: Where the tile before ended; its own start, if there is none.
    """

    pixels: range
    weights: Tensor
    after: int
    before: int

    @classmethod
    def of(cls, tiles: list[range], number: int) -> Part:
        """Describe one of the tiles that `grid` gave."""
        own = tiles[number]
        before = tiles[number - 1].stop if number else own.start
        after = tiles[number + 1].start if number + 1 < len(tiles) else own.stop
        offset = torch.arange(len(own), dtype=torch.float32) - (len(own) - 1) / 2
        weights = torch.exp(-((4 * offset / len(own)) ** 2) / 2)
        rims = int(RIM * (before - own.start)), int(RIM * (own.stop - after))
        weights[: rims[0]] = 0
        weights[len(own) - rims[1] :] = 0
        return cls(own, weights, after, before)


class Blend:
    """Sums weighted tiles that come row by row, and gives back what is complete.

    Args:
        width: Of the picture.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.below: Tensor | None = None  # (classes + 1, overlap, width): sums of this row that the next one adds to
        self.above: Tensor | None = None  # the same of the row before
        self.beside: Tensor | None = None  # (classes + 1, tile, overlap): sums that the next tile of the row adds to

    def add(self, values: Tensor, down: Part, along: Part) -> Iterator[tuple[slice, slice, Tensor]]:
        """Add probabilities (classes, h, w) of a tile; give (rows, columns, blended) for what no later tile touches."""
        weights = down.weights[:, None] * along.weights[None, :]
        sums = torch.cat((values * weights, weights[None]))  # the last one sums the weights
        if along.pixels.start == 0:
            self.above, self.below, self.beside = self.below, None, None
        if self.beside is not None:
            sums[:, :, : self.beside.shape[2]] += self.beside
        columns, rows = slice(along.pixels.start, along.after), slice(down.pixels.start, down.after)
        width, height = along.after - along.pixels.start, down.after - down.pixels.start
        done, self.beside = sums[:, :, :width], sums[:, :, width:].clone()
        if self.above is not None:
            done[:, : self.above.shape[1]] += self.above[:, :, columns]
        if height < done.shape[1]:
            if self.below is None:
                self.below = done.new_zeros(len(done), done.shape[1] - height, self.width)
            self.below[:, :, columns] = done[:, height:]
        yield rows, columns, done[:-1, :height] / done[-1:, :height]
