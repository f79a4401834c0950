"""Square: random search with squares, which asks for scores only."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..core.checks import positive, whole
from .attack import Attack
from .distances import TINY, Distance, distance_named
from .inputs import own_epsilon
from .problem import Problem

HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries of 10,000 after which the squares' area is halved: Andriushchenko et al. 2020, section 4.1."""


class Square(Attack):
    """Random search: put a square of the largest change somewhere, keep it where the margin falls.

    Andriushchenko, Croce, Flammarion and Hein 2020, Square Attack, algorithms 1 to 3. linf: start with stripes of
    +-epsilon, then squares whose colour is +-epsilon for each channel (algorithm 2). l2: the budget of two windows is
    gathered in the second, in the shape of a centred pyramid eta whose sides rise and fall (algorithm 3, equation 2);
    as in the authors' code its side is odd and 3 or more, each channel gets what the windows hold in all of them, and
    the change is then brought to the budget's length. The share p of pixels in a square is halved as in section
    4.1, over the queries that there are.

    Args:
        distance: "linf" or "l2".
        epsilon: Budget; None is the distance's usual one, 8/255 or 0.5.
        queries: Most queries of each picture in the search; the saved picture's confirmation is one more.
        share: First share of the pixels that a square has.
    """

    needs = "scores"
    stretches = (1.0,)

    def __init__(
        self, *, distance: str = "linf", epsilon: float | None = None, queries: int = 1000, share: float = 0.8
    ) -> None:
        self.distance: Distance = distance_named(distance, ("linf", "l2"))
        whole("queries", queries)
        positive("share", share)
        self.epsilon, self.queries, self.share = own_epsilon(epsilon, self.distance), queries, share

    def perturb(self, problem: Problem) -> Tensor:
        """Search until a picture is fooled or its queries are used up."""
        rows, part = torch.arange(len(problem), device=problem.originals.device), problem
        current = self._start(problem)
        found, margins = current.clone(), torch.full_like(problem.epsilon, float("inf"))
        tried = current
        for query in range(self.queries):
            outputs = part.outputs(tried)
            new = part.class_goal.margin(outputs)
            better, met = new < margins, part.goal.met(outputs)
            current = torch.where((better | met)[:, None, None, None], tried, current)
            margins = torch.where(better, new, margins)
            found[rows] = current
            if met.any():
                rows, part, current, margins = rows[~met], part[~met], current[~met], margins[~met]
            problem.tell(self.name, query + 1, self.queries, len(problem) - len(rows))
            if not len(rows):
                break
            tried = self._change(part, current, self._side(query, part.originals.shape))
        return found

    def _side(self, query: int, shape: torch.Size) -> int:
        """Side of the next square."""
        scaled = query / self.queries * 10_000
        share = self.share / 2 ** sum(scaled > place for place in HALVED_AT)
        side = round(math.sqrt(share * shape[2] * shape[3]))
        if self.distance.name == "l2":
            side = max(side, 3) // 2 * 2 + 1
        return min(max(side, 1), min(shape[2:]) - 1) if min(shape[2:]) > 1 else 1

    def _start(self, problem: Problem) -> Tensor:
        channels, height, width = problem.originals.shape[1:]
        device, radius = problem.originals.device, problem.epsilon[:, None, None, None]
        if self.distance.name == "linf":  # stripes down
            signs = _signs(problem.draws.uniform(channels, 1, width, device=device))
            return problem.project(problem.originals + radius * signs)
        side = max(1, height // 5)
        pyramid, total = _eta(side, side, device), torch.zeros(channels, height, width, device=device)
        signs = _signs(problem.draws.uniform(channels, height // side * (width // side), device=device))
        deltas, place = total.repeat(len(problem), 1, 1, 1), 0
        for top in range(0, height - side + 1, side):
            for left in range(0, width - side + 1, side):
                colour = signs[:, :, place, None, None]
                deltas[:, :, top : top + side, left : left + side] += pyramid * colour
                place += 1
        deltas = problem.masked(deltas)
        return problem.project(problem.originals + radius * deltas / _length(deltas))

    def _change(self, part: Problem, current: Tensor, side: int) -> Tensor:
        channels, height, width = current.shape[1:]
        numbers = part.draws.uniform(5 + channels, device=current.device)
        places = [_window(numbers[:, 2 * i], numbers[:, 2 * i + 1], side, height, width) for i in range(2)]
        signs = _signs(numbers[:, 5:])[:, :, None, None]
        radius = part.epsilon[:, None, None, None]
        if self.distance.name == "linf":
            changed = torch.where(places[0], part.originals + radius * signs, current)
            return part.project(changed)
        lying = numbers[:, 4] < 0.5
        deltas = self._gathered(part, current, places, signs, radius, side, lying)
        return part.project(part.originals + radius * deltas / _length(deltas))

    def _gathered(
        self,
        part: Problem,
        current: Tensor,
        places: list[Tensor],
        signs: Tensor,
        radius: Tensor,
        side: int,
        lying: Tensor,
    ) -> Tensor:
        """Algorithm 3: take the budget that two windows hold, and what is not used, into the first of them."""
        deltas = current - part.originals
        first, second = places
        pyramid = _eta(side, side, current.device)
        pyramids = torch.where(lying[:, None, None], pyramid.T, pyramid)[:, None]
        shape, flat = torch.zeros_like(deltas), first.expand_as(deltas)
        shape[flat] = pyramids.expand(-1, deltas.shape[1], -1, -1).reshape(-1)
        inside = torch.where(flat, deltas, torch.zeros_like(deltas))
        old = inside / _length(inside, (2, 3))
        new = shape * signs + old
        new = part.masked(new / _length(new, (2, 3)))
        either = (first | second).expand_as(deltas)
        spare = (radius**2 - (deltas**2).sum((1, 2, 3), keepdim=True)).clamp(min=0) / deltas.shape[1]
        held = torch.where(either, deltas, torch.zeros_like(deltas)).square().sum((1, 2, 3), keepdim=True)
        rest = torch.where(second.expand_as(deltas), torch.zeros_like(deltas), deltas)
        return torch.where(flat, new * (held + spare).sqrt(), rest)


def _signs(uniform: Tensor) -> Tensor:
    return torch.where(uniform < 0.5, -1.0, 1.0)


def _length(deltas: Tensor, axes: tuple[int, ...] = (1, 2, 3)) -> Tensor:
    return deltas.square().sum(axes, keepdim=True).sqrt().clamp(min=TINY)


def _window(u: Tensor, v: Tensor, side: int, height: int, width: int) -> Tensor:
    """Return squares at random places, bool (N, 1, H, W)."""
    top, left = (u * (height - side + 1)).long(), (v * (width - side + 1)).long()
    y, x = torch.arange(height, device=u.device), torch.arange(width, device=u.device)
    down = (y >= top[:, None]) & (y < top[:, None] + side)
    along = (x >= left[:, None]) & (x < left[:, None] + side)
    return (down[:, :, None] & along[:, None, :])[:, None]


def _eta(height: int, width: int, device: torch.device) -> Tensor:
    """Return the window of equation 2, of length 1: a pyramid above, its negative below."""
    upper = _pyramid(height // 2, width, device) if height > 1 else torch.zeros(0, width, device=device)
    lower = _pyramid(height - height // 2, width, device)
    eta = torch.cat((upper, -lower)) if height > 1 else lower
    return eta / eta.norm()


def _pyramid(height: int, width: int, device: torch.device) -> Tensor:
    """Return sums of 1 / r^2 over rectangles that grow from the middle."""
    found = torch.zeros(height, width, device=device)
    top, left, bottom, right = height // 2, width // 2, height // 2 + 1, width // 2 + 1
    for ring in range(max(height // 2, width // 2) + 1):
        found[max(top, 0) : bottom, max(left, 0) : right] += 1 / (ring + 1) ** 2
        top, left, bottom, right = top - 1, left - 1, bottom + 1, right + 1
    return found / found.norm()
