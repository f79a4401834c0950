"""From floats to pictures of 8 bits, without losing the success or leaving the ball.

Rounding a finished attack undoes many of the smallest perturbations (Carlini and Wagner 2017, section V.C,
"discretization", who finish with a search on the lattice). Here the perturbation is stretched a little until its
rounded picture still fools, and inside a ball it is rounded so that the ball is not left.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .distances import SLACK, Linf
from .problem import Problem

STRETCHES = (1.0, 1.02, 1.05, 1.1, 1.2, 1.35, 1.6, 2.0)
"""Of a perturbation, tried in turn until the rounded picture fools."""
HALVINGS = 10


def on_the_grid(problem: Problem, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return pictures in multiples of 1/255 inside the problem's ball, mask and box, and which of them fool.

    The model itself is asked, once about each picture, and once more for each stretch of those that rounding undid.
    """
    found = rounded_inside(problem, problem.project(pictures))
    deltas = pictures - problem.originals
    live = torch.arange(len(problem), device=pictures.device)
    for stretch in STRETCHES:
        part = problem[live]
        tried = rounded_inside(part, part.project(part.originals + stretch * deltas[live]))
        met = part.confirmed(tried)
        found[live[met]] = tried[met]
        live = live[~met]
        if not len(live):
            break
    fooled = torch.ones(len(problem), dtype=torch.bool, device=pictures.device)
    fooled[live] = False
    return found, fooled


def rounded_inside(problem: Problem, pictures: Tensor) -> Tensor:
    """Round to the nearest grid point; where that leaves the ball, scale the perturbation down until it does not."""
    if isinstance(problem.distance, Linf):
        whole = (problem.epsilon * 255 + SLACK).floor()[:, None, None, None]
        levels = (problem.originals * 255).round()
        moved = ((pictures * 255).round() - levels).clamp(-whole, whole)
        return (levels + moved) / 255
    most = problem.epsilon * (1 + SLACK)
    nearest = rounded(pictures)
    outside = problem.lengths(nearest) > most
    if not outside.any():
        return nearest
    deltas = pictures - problem.originals
    low, high = torch.zeros_like(most), torch.ones_like(most)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        fits = problem.lengths(rounded(problem.originals + deltas * middle[:, None, None, None])) <= most
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    shrunk = rounded(problem.originals + deltas * low[:, None, None, None])
    return torch.where(outside[:, None, None, None], shrunk, nearest)


def rounded(pictures: Tensor) -> Tensor:
    """Return the nearest pictures of 8 bits."""
    return (pictures * 255).round() / 255
