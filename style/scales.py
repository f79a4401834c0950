"""Coarse to fine: the sizes that a picture is painted in one after the other, and the memory that they take.

Features see as far at every size, so that brush strokes at 1024 pixels are a quarter of those at 256 unless the small
picture is what the large one begins from.
"""

from __future__ import annotations

import math
import os
from typing import NamedTuple

import torch

from ..core.checks import UsageError, positive
from .features import Features

LEAST_STEPS = 4
"""No finer scale takes fewer than this share, one over, of the first one's steps."""
VECTORS = 28
"""Pictures that a rule keeps: L-BFGS 2 x 10 pairs, point, gradient, direction, and the copies of the loop."""
MAPS = 2.0
"""Copies of the maps: one for the backward pass, and the gradients and padded maps that come and go."""
SHARE = 0.6
"""Of the memory that is free, what a painting may take."""


class Scale(NamedTuple):
    """One size.

    Attributes:
        side: Longer side of the picture.
        steps: To descend there.
    """

    side: int
    steps: int


def plan(side: int, steps: int, smallest: int) -> tuple[Scale, ...]:
    """Return the scales, coarsest first, each twice as large as the one before.

    Args:
        side: Longer side of the last one.
        steps: At the coarsest; each finer one takes half as many as the one before, but no less than a quarter.
        smallest: The coarsest is no smaller than this; 0 paints at one size only.

    Raises:
        UsageError: Sides or steps below 1, a smallest side below 0.
    """
    positive("size", side)
    if smallest < 0:
        raise UsageError("smallest not below 0", repr(smallest), "pass smallest=0 to paint at one size only")
    if steps < 1:
        raise UsageError("at least one step", str(steps), "pass steps=200, say")
    sides = [side]
    while smallest and sides[0] / 2 >= smallest:
        sides.insert(0, round(sides[0] / 2))
    return tuple(Scale(s, max(steps // 2**i, -(-steps // LEAST_STEPS))) for i, s in enumerate(sides))


def fitted(height: int, width: int, side: int) -> tuple[int, int]:
    """Return (height, width) with the longer side as asked and the shape kept, nothing below 1."""
    factor = side / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


def memory(features: Features, layers: list[str], height: int, width: int, tile: int | None = None) -> int:
    """Estimate the bytes that painting a picture takes, without the network's weights.

    Args:
        features: Of the transfer.
        layers: That are compared.
        height: Of the picture.
        width: Of the picture.
        tile: Side of the tiles, or None.
    """
    seen = height * width if tile is None else min(height, tile + 128) * min(width, tile + 128)
    maps = MAPS * features.numbers_per_pixel(layers) * seen
    kept = sum(features.trunk.channels[name] / features.trunk.strides[name] ** 2 for name in layers) * height * width
    return math.ceil(4 * (maps + kept + VECTORS * 3 * height * width))


def tile_for(features: Features, layers: list[str], height: int, width: int, budget: float) -> int | None:
    """Return the largest tile, of 2048 to 256 pixels, that keeps within a budget of bytes; None for no tiles.

    Raises:
        UsageError: Not even the smallest does.
    """
    if memory(features, layers, height, width) <= budget:
        return None
    for tile in (2048, 1536, 1024, 768, 512, 384, 256):
        if tile < max(height, width) and memory(features, layers, height, width, tile) <= budget:
            return tile
    need = memory(features, layers, height, width, 256) / 2**30
    fix = "paint a smaller picture, or allow more memory"
    raise UsageError(f"{need:.1f} GiB of memory for {height} x {width} pixels", f"{budget / 2**30:.1f} GiB", fix)


def free_memory(device: torch.device) -> float:
    """Return the bytes that a painting may take on a device; infinity where the system does not tell."""
    if device.type == "cuda":
        return SHARE * torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return SHARE * 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        names = getattr(os, "sysconf_names", {})
        return (
            SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if "SC_PHYS_PAGES" in names else math.inf
        )
