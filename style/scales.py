"""Coarse to fine: the sizes that a picture is painted in one after the other.

Features see as far at every size, so that brush strokes at 1024 pixels are a quarter of those at 256 unless the small
picture is what the large one begins from.
"""

from __future__ import annotations

from typing import NamedTuple

from ..core.checks import UsageError, positive

LEAST_STEPS = 4
"""No finer scale takes fewer than this share, one over, of the first one's steps."""


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
