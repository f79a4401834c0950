"""What `core.tuning` needs of the kernels: which tiles to try for a convolution, and how to force one."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch import Tensor

MOST = 6
"""Tiles that are tried for one convolution."""


class Convolution(NamedTuple):
    """One layer of a network, "same" padding."""

    batch: int
    channels: int
    filters: int
    size: int
    taps: int
    stride: int = 1

    def __str__(self) -> str:
        step = f" stride {self.stride}" if self.stride > 1 else ""
        return f"{self.taps}x{self.taps} {self.channels}-{self.filters}@{self.size}{step}, batch {self.batch}"


def tensors(layer: Convolution, device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Draw an image and a weight, scaled so that the output is of size 1."""
    generator = torch.Generator().manual_seed(0)
    terms = layer.channels * layer.taps**2
    x = torch.randn(layer.batch, layer.channels, layer.size, layer.size, generator=generator)
    weight = torch.randn(layer.filters, layer.channels, layer.taps, layer.taps, generator=generator) / terms**0.5
    found = [t.to(device, dtype).contiguous(memory_format=torch.channels_last) for t in (x, weight)]
    return found[0], found[1]


def key(layer: Convolution, x: Tensor, precision: str) -> str:
    """Name the layer's product in the user's table."""
    from ..kernels import tiles

    side = (layer.size - 1) // layer.stride + 1
    channels = layer.channels * layer.taps**2 if layer.channels < 16 else layer.channels
    return tiles.key(x, layer.batch * side * side, layer.filters, channels, precision)


def candidates(layer: Convolution, x: Tensor, precision: str) -> list[dict[str, int]]:
    """Return tiles to try, the shipped one first: all compile for the architecture without spilled registers."""
    from ..kernels import tiles

    found = tiles.rows(tiles.architecture(x), tiles.arithmetic(x, precision), layer.filters)
    found += tuple(row._replace(tma=False) for row in found if row.tma)
    limit = tiles.power(layer.channels if layer.channels >= 16 else layer.channels * layer.taps**2, 64)
    fitted = [row._replace(BK=min(row.BK, limit)) for row in found]
    unique = list(dict.fromkeys(fitted))[:MOST]
    return [row._asdict() for row in unique]


def forced(row: dict[str, int]) -> AbstractContextManager[None]:
    """Give every convolution this tile inside a `with` block."""
    from ..kernels import tiles

    return tiles.forced(tiles.Tile(**row))  # type: ignore[arg-type]


def forget() -> None:
    """Read the user's table anew at the next convolution."""
    from ..kernels import tiles

    tiles.tuned.cache_clear()
