"""From floats to pictures of 8 bits, without losing the success or leaving the ball.

Rounding a finished attack undoes many of the smallest perturbations (Carlini and Wagner 2017, section V.C,
"discretization", who finish with a search on the lattice). Here the perturbation is stretched a little until its
rounded picture still fools, and inside a ball it is rounded so that the ball is not left.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .distances import SLACK, Distance, Linf
from .problem import Problem

STRETCHES = (1.0, 1.02, 1.05, 1.1, 1.2, 1.35, 1.6, 2.0)
"""Of a perturbation, tried in turn until the rounded picture fools."""
HALVINGS = 10


def on_the_grid(problem: Problem, pictures: Tensor, stretches: tuple[float, ...] = STRETCHES) -> tuple[Tensor, Tensor]:
    """Return pictures in multiples of 1/255 inside the problem's ball, mask and box, and which of them fool.

    The model itself is asked, once about each picture, and once more for each further stretch of those that do not
    fool, unless it makes the same picture again: where each value is at the edge of the ball or of the box already.

    Args:
        problem: Pictures under attack.
        pictures: What the attack made of them, float (N, 3, H, W).
        stretches: Of the perturbation; the first is taken where none fools.
    """
    deltas = pictures - problem.originals
    found = _stretched(problem, deltas, stretches[0])
    fooled, last = problem.confirmed(found), found.clone()
    for stretch in stretches[1:]:
        live = (~fooled).nonzero()[:, 0]
        if not len(live):
            break
        tried = _stretched(problem[live], deltas[live], stretch)
        new = (tried != last[live]).flatten(1).any(1)
        rows, tried = live[new], tried[new]
        if not len(rows):
            continue
        last[rows] = tried
        met = problem[rows].confirmed(tried)
        found[rows[met]], fooled[rows[met]] = tried[met], True
    return found, fooled


def rounded_inside(problem: Problem, pictures: Tensor) -> Tensor:
    """Round to the nearest grid point; where that leaves the ball, scale the perturbation down until it does not."""
    steps = whole_levels(problem.distance, pictures - problem.originals, problem.epsilon)
    return stepped(problem.originals, steps)


def whole_levels(distance: Distance, deltas: Tensor, epsilon: Tensor) -> Tensor:
    """Return perturbations near `deltas` in whole levels of 1/255, counted in levels, inside the balls.

    Args:
        distance: Of the balls.
        deltas: (N, C, H, W), for pictures in [0, 1].
        epsilon: Radii, (N,).
    """
    levels = deltas * 255
    nearest = levels.round()
    if isinstance(distance, Linf):
        whole = (epsilon * 255 + SLACK).floor()[:, None, None, None]
        return nearest.clamp(-whole, whole)
    most = epsilon * (1 + SLACK)
    outside = distance.norm(nearest / 255) > most
    if not outside.any():
        return nearest
    low, high = torch.zeros_like(most), torch.ones_like(most)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        fits = distance.norm((levels * middle[:, None, None, None]).round() / 255) <= most
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return torch.where(outside[:, None, None, None], (levels * low[:, None, None, None]).round(), nearest)


def stepped(originals: Tensor, steps: Tensor) -> Tensor:
    """Return pictures of 8 bits, moved by whole levels; values that do not move stay as they are, to the last bit.

    CUDA divides by 255 as it multiplies by 1/255, which is another float for 126 of the 256 levels; originals are
    divided on the CPU, so that computed anew a pixel would count as changed though its level is the same.
    """
    return torch.where(steps != 0, ((originals * 255).round() + steps) / 255, originals)


def rounded(pictures: Tensor) -> Tensor:
    """Return the nearest pictures of 8 bits."""
    return (pictures * 255).round() / 255


def _stretched(problem: Problem, deltas: Tensor, stretch: float) -> Tensor:
    return rounded_inside(problem, problem.project(problem.originals + stretch * deltas))
