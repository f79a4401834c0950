"""Minimizing in a box, many problems at once: projected L-BFGS, each row with its own curvature and step.

`core.lbfgs` is another: one problem, no bounds and no search along the line, so that no value is read by the host.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Value = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(points (n, D), which rows (n,)) -> their values (n,) and gradients (n, D)."""

SUFFICIENT = 1e-4
SHORTEST = 12
STANDS = 1e-6
"""Of a row's value: one that falls by less is at its minimum as far as float32 can tell."""


def minimize(value: Value, start: Tensor, low: Tensor, high: Tensor, *, steps: int = 50, memory: int = 8) -> Tensor:
    """Minimize each row inside its box.

    The direction is that of L-BFGS (Nocedal and Wright 2006, algorithm 7.4) in the coordinates that no bound holds; the
    step is halved along the projection onto the box until the value falls enough (Bertsekas 1982, Projected Newton
    methods, equation 3). Differs from L-BFGS-B (Byrd et al. 1995) in finding the bounds that hold by the sign of the
    gradient instead of by a search for the Cauchy point, which cannot be done for many rows at once.

    Args:
        value: What is minimized.
        start: (N, D), inside the boxes.
        low: (N, D).
        high: (N, D).
        steps: Most of them. A row whose step fails forgets its pairs and goes down the gradient; where that fails too,
            or its value hardly falls, it is done, and is not asked about again.
        memory: Pairs kept.

    Returns:
        (N, D).
    """
    found, rows = start.clone(), torch.arange(len(start), device=start.device)
    x, (f, g) = found, value(found, rows)
    moves: list[Tensor] = []
    changes: list[Tensor] = []
    knows = torch.zeros_like(rows, dtype=torch.bool)  # of the scale, from a pair
    for _ in range(steps):
        if not len(rows):
            break
        held = ((x <= low) & (g > 0)) | ((x >= high) & (g < 0))
        free = g.masked_fill(held, 0)
        direction = -_two_loops(free, moves, changes).masked_fill(held, 0)
        uphill = (direction * free).sum(1) >= 0
        direction = torch.where(uphill[:, None], -free, direction)
        # Where nothing is known of the scale: move by at most a tenth of the box.
        most = torch.where(knows[:, None], 1.0, (10 * direction.abs().amax(1, keepdim=True)).clamp(min=1.0))
        new_x, new_f, new_g, moved = _search(value, rows, x, f, g, direction / most, low, high)
        moves, changes = [*moves, new_x - x][-memory:], [*changes, new_g - g][-memory:]
        found[rows] = new_x
        for pairs in (moves, changes):
            for pair in pairs:
                pair[~moved] = 0  # has no curvature, so it is skipped
        going = torch.where(moved, f - new_f > STANDS * f.abs(), knows)
        rows, x, f, g, knows, low, high = (one[going] for one in (rows, new_x, new_f, new_g, moved, low, high))
        moves, changes = [one[going] for one in moves], [one[going] for one in changes]
    return found


def _two_loops(gradient: Tensor, moves: list[Tensor], changes: list[Tensor]) -> Tensor:
    """Multiply by the inverse of the curvature that the pairs tell of; rows without positive curvature skip a pair."""
    q, weights = gradient.clone(), []
    curved = [(s * y).sum(1) for s, y in zip(moves, changes, strict=True)]
    inverse = [torch.where(c > 1e-10, 1 / c.clamp(min=1e-10), torch.zeros_like(c)) for c in curved]
    for s, y, rho in reversed(list(zip(moves, changes, inverse, strict=True))):
        a = rho * (s * q).sum(1)
        q = q - a[:, None] * y
        weights.append(a)
    if moves:
        scale = curved[-1] / (changes[-1] ** 2).sum(1).clamp(min=1e-20)
        q = torch.where(curved[-1][:, None] > 1e-10, scale[:, None] * q, q)
    for s, y, rho, a in zip(moves, changes, inverse, reversed(weights), strict=True):
        q = q + (a - rho * (y * q).sum(1))[:, None] * s
    return q


def _search(
    value: Value, rows: Tensor, x: Tensor, f: Tensor, g: Tensor, direction: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Halve each row's step until its value falls enough; rows that never do stay."""
    best, best_f, best_g = x.clone(), f.clone(), g.clone()
    live, size = (direction != 0).any(1).nonzero()[:, 0], 1.0
    moved = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for _ in range(SHORTEST):
        if not len(live):
            break
        tried = torch.minimum(torch.maximum(x[live] + size * direction[live], low[live]), high[live])
        new_f, new_g = value(tried, rows[live])
        promised = (g[live] * (tried - x[live])).sum(1)
        good = (new_f <= f[live] + SUFFICIENT * promised) & (promised < 0)
        kept = live[good]
        best[kept], best_f[kept], best_g[kept], moved[kept] = tried[good], new_f[good], new_g[good], True
        live, size = live[~good], size / 2
    return best, best_f, best_g, moved
