"""FAB: along the linearized boundary, and at the same time back towards the original."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.checks import unknown, whole
from .attack import Attack
from .deepfool import closer, gaps
from .distances import TINY, Distance, distance_named
from .inputs import check_epsilon
from .problem import Problem

AIMS = ("each", "nearest")
OVERSHOOT, BACK, MOST_BIAS = 1.05, 0.9, 0.1
"""eta, beta and alpha_max of section 3.4, for all networks."""


class Fab(Attack):
    """x_(t+1) = (1 - a)(x_t + eta d) + a (x + eta d'), d and d' the ways of x_t and of the original x to the boundary.

    Croce and Hein 2020, Minimally distorted adversarial examples with a fast adaptive boundary attack, algorithm 1:
    the boundary is that of f_l - f_y as it looks from x_t, the ways are the shortest inside the box (equation 5),
    a = min(|d| / (|d| + |d'|), 0.1), and a picture that fools goes back by a tenth of its way (section 3.3). With
    "each" l is one of the likeliest other classes after the other (FAB-T of AutoAttack, a backward pass a step),
    with "nearest" in every step the one whose boundary is nearest (a backward pass a class). Differs from it in the
    last search, which is a bisection. Inside a finite ball, as in `Ensemble`, a picture stops once it is reached.
    It aims at the decision: a criterion that asks for a confidence as well is met by chance only.

    Args:
        distance: "linf" or "l2".
        epsilon: Budget: what is farther away does not count. None for none.
        steps: Of each start, towards each class.
        restarts: Starts: the picture, then random points within half of the smallest change so far.
        classes: Likeliest other classes looked at.
        aim: One of `AIMS`.
        halvings: Of the way back at the end; each costs a query.
    """

    minimal = True

    def __init__(
        self, *, distance: str = "linf", epsilon: float | None = None, steps: int = 100, restarts: int = 1,
        classes: int = 9, aim: str = "each", halvings: int = 5,
    ) -> None:  # fmt: skip
        self.distance: Distance = distance_named(distance, ("linf", "l2"))
        if aim not in AIMS:
            raise unknown("aim", aim, AIMS)
        for name, value, least in (
            ("steps", steps, 1), ("restarts", restarts, 1), ("classes", classes, 1), ("halvings", halvings, 0),
        ):  # fmt: skip
            whole(name, value, least)
        self.epsilon, self.steps, self.restarts = check_epsilon(epsilon, self.distance, True), steps, restarts
        self.classes, self.aim, self.halvings = classes, aim, halvings

    def perturb(self, problem: Problem) -> Tensor:
        """Walk from each start towards each class; the nearest version that fools is kept."""
        best, nearest = problem.originals.clone(), torch.full_like(problem.epsilon, float("inf"))
        others = self._others(problem)
        aims = others[:, None] if self.aim == "nearest" else others[:, :, None]
        rounds = [(turn, place) for turn in range(self.restarts) for place in range(aims.shape[1])]
        for number, (turn, place) in enumerate(rounds):

            def tell(step: int, before: int = number * self.steps) -> None:
                problem.tell(self.name, before + step, len(rounds) * self.steps, torch.isfinite(nearest))

            live = (~_inside(problem, nearest)).nonzero()[:, 0]
            if not len(live):
                break
            part = problem[live]
            start = part.originals if turn == 0 else self._start(part, nearest[live])
            found, lengths = self._walk(part, start, aims[live, place], tell)
            better = lengths < nearest[live]
            best[live[better]], nearest[live[better]] = found[better], lengths[better]
            tell(self.steps)
        return closer(problem, best, self.halvings)

    def _others(self, problem: Problem) -> Tensor:
        """Classes to reach, (N, K): the target, or the likeliest ones beside the true one."""
        goal = problem.class_goal
        if goal.targets is not None:
            return goal.targets[:, None]
        scores = problem.outputs(problem.originals).scatter(1, goal.labels[:, None], float("-inf"))
        return scores.topk(min(self.classes, scores.shape[1] - 1), 1).indices

    def _start(self, part: Problem, nearest: Tensor) -> Tensor:
        """Return random points at half of the smallest change so far, of the budget, or of the usual one."""
        shape, device = part.originals.shape[1:], part.originals.device
        linf = self.distance.name == "linf"
        drawn = 2 * part.draws.uniform(*shape, device=device) - 1 if linf else part.draws.normal(*shape, device=device)
        deltas = part.masked(drawn)
        radius = torch.minimum(nearest, part.epsilon)
        radius = torch.where(torch.isinf(radius), self.distance.usual, radius)
        scale = radius / 2 / self.distance.norm(deltas).clamp(min=TINY)
        return part.boxed(part.originals + scale[:, None, None, None] * deltas)

    def _walk(
        self, problem: Problem, start: Tensor, others: Tensor, tell: Callable[[int], None]
    ) -> tuple[Tensor, Tensor]:
        """Return the nearest pictures that fool and their distances, infinite where there is none."""
        best, nearest = problem.originals.clone(), torch.full_like(problem.epsilon, float("inf"))
        rows, part, x = torch.arange(len(problem), device=start.device), problem, start
        for step in range(self.steps):
            tell(step)
            x = self._step(part, x, others)
            met, lengths = part.met(x), part.lengths(x)
            better = met & (lengths < nearest[rows])
            best[rows[better]], nearest[rows[better]] = x[better], lengths[better]
            x = torch.where(met[:, None, None, None], part.originals + BACK * (x - part.originals), x)
            going = ~_inside(part, nearest[rows])
            rows, part, x, others = rows[going], part[going], x[going], others[going]
            if not len(rows):
                break
        return best, nearest

    def _step(self, part: Problem, x: Tensor, others: Tensor) -> Tensor:
        """Return the next x of algorithm 1; `others` (N, K) are the classes whose boundaries are looked at."""
        _, values, slopes = part.gradients(x, lambda outputs: gaps(part, others, outputs))
        linf, flat = self.distance.name == "linf", slopes.flatten(2)
        dual = flat.abs().sum(2) if linf else flat.norm(dim=2)
        each, chosen = torch.arange(len(x), device=x.device), (values.abs() / dual.clamp(min=TINY)).argmin(1)
        slope, gap = flat[each, chosen], values[each, chosen]
        here, origin = x.flatten(1), part.originals.flatten(1)
        way = shortest(here, slope, gap, linf).view_as(x)
        way_back = shortest(origin, slope, gap + (slope * (origin - here)).sum(1), linf).view_as(x)
        length, other = (self.distance.norm(one).clamp(min=1e-8) for one in (way, way_back))
        bias = (length / (length + other)).clamp(max=MOST_BIAS)[:, None, None, None]
        return part.boxed((1 - bias) * (x + OVERSHOOT * way) + bias * (part.originals + OVERSHOOT * way_back))


def shortest(points: Tensor, slopes: Tensor, gaps: Tensor, linf: bool) -> Tensor:
    """Return the smallest moves inside [0, 1] after which gap + slope . move is 0; where none is, all that there is.

    Section 3.1, equation 5: every coordinate moves along the slope (in L2), or as far as all others (in Linf), until it
    meets the edge of the box; sorted by when they do, what is still missing is made up for by those that are left.

    Args:
        points: (N, D) in [0, 1].
        slopes: (N, D).
        gaps: (N,).
        linf: Smallest in Linf; else in L2.
    """
    along = -gaps.sign()[:, None] * (slopes.sign() if linf else slopes)
    room = torch.where(along > 0, 1 - points, points)
    times = torch.where(along != 0, room / along.abs().clamp(min=1e-30), 0.0)
    gains = (slopes * along).abs()
    ordered, places = times.sort(1)
    gains = gains.gather(1, places)
    # Sums from the end: the whole less those before is, in float32, noise of 1e-7 times the whole (150,528 pixels).
    done, left = (gains * ordered).cumsum(1), F.pad(gains.flip(1).cumsum(1).flip(1)[:, 1:], (0, 1))
    count = (done + left * ordered < gaps.abs()[:, None]).sum(1, keepdim=True)  # that meet the edge before
    before = (count - 1).clamp(min=0)
    first = count == 0
    gained = torch.where(first, 0.0, done.gather(1, before))
    speed = torch.where(first, gains.sum(1, keepdim=True), left.gather(1, before))
    time = (gaps.abs()[:, None] - gained) / speed.clamp(min=1e-30)
    time = torch.where(count == points.shape[1], ordered[:, -1:], time.clamp(min=0))
    return along * torch.minimum(time, times)


def _inside(problem: Problem, nearest: Tensor) -> Tensor:
    """Tell which pictures have been fooled inside a finite ball."""
    return (nearest <= problem.epsilon) & torch.isfinite(problem.epsilon)
