"""Auto-PGD: projected gradient ascent that chooses its own step, by cross entropy or the ratio of logit differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from ..core.checks import unknown, whole
from .attack import Attack
from .distances import Distance, distance_named
from .goals import ClassGoal
from .inputs import own_epsilon
from .problem import Problem

LOSSES = ("ce", "dlr", "dlr-targeted")
RISING = 0.75
"""Share of the steps between checkpoints that must raise the loss, or the step is halved: section 3.1, rho."""


class Apgd(Attack):
    """Auto-PGD: z = P(x_t + eta grad), x_(t+1) = P(x_t + a (z - x_t) + (1 - a) (x_t - x_(t-1))), a = 0.75.

    Croce and Hein 2020, Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
    attacks, algorithm 1: eta starts at 2 epsilon and is halved at checkpoints where the loss rose in fewer than 75 % of
    the steps, or neither eta nor the best loss changed since the last; then the search goes on from the best point.
    Losses: cross entropy, DLR (equation 6) and its targeted form (equation 7), towards each of the likeliest other
    classes in turn. A picture stops once it is fooled.

    Args:
        distance: "linf" or "l2".
        epsilon: Budget; None is the distance's usual one, 8/255 or 0.5.
        loss: One of `LOSSES`.
        steps: Of each start.
        restarts: Random starts; of "dlr-targeted" for each class.
        classes: Of "dlr-targeted", how many.
    """

    def __init__(
        self, *, distance: str = "linf", epsilon: float | None = None, loss: str = "ce", steps: int = 100,
        restarts: int = 1, classes: int = 9,
    ) -> None:  # fmt: skip
        self.distance: Distance = distance_named(distance, ("linf", "l2"))
        if loss not in LOSSES:
            raise unknown("loss", loss, LOSSES)
        for name, value in (("steps", steps), ("restarts", restarts), ("classes", classes)):
            whole(name, value)
        self.epsilon, self.loss, self.steps = own_epsilon(epsilon, self.distance), loss, steps
        self.restarts, self.classes = restarts, classes

    def perturb(self, problem: Problem) -> Tensor:
        """Climb from each start, towards each class; pictures that are fooled rest."""
        best, live = problem.originals.clone(), torch.arange(len(problem), device=problem.originals.device)
        towards = self._towards(problem)
        rounds = [(turn, place) for turn in range(self.restarts) for place in range(towards.shape[1])]
        for number, (_, place) in enumerate(rounds):
            part = problem[live]
            found, fooled = self._climb(part, towards[live, place], number, len(rounds))
            best[live] = found
            live = live[~fooled]
            if not len(live):
                break
        return best

    def _towards(self, problem: Problem) -> Tensor:
        """Classes of "dlr-targeted", (N, K); one column of anything for the other losses."""
        goal = problem.class_goal
        if goal.targets is not None:
            return goal.targets[:, None]
        if self.loss != "dlr-targeted":
            return goal.labels[:, None]
        scores = problem.outputs(problem.originals)
        scores = scores.scatter(1, goal.labels[:, None], float("-inf"))
        return scores.topk(min(self.classes, scores.shape[1] - 1), 1).indices

    def _loss(self, goal: ClassGoal, towards: Tensor) -> Callable[[Tensor], Tensor]:
        if self.loss == "ce":
            return goal.loss
        return goal.dlr if self.loss == "dlr" and goal.targets is None else replace(goal, targets=towards).dlr

    def _climb(self, problem: Problem, towards: Tensor, number: int, rounds: int) -> tuple[Tensor, Tensor]:
        """Run algorithm 1, for the `number`th time of `rounds`; return pictures and which of them fool."""
        found, fooled = problem.originals.clone(), torch.zeros(len(problem), dtype=torch.bool, device=towards.device)
        rows, part = torch.arange(len(problem), device=towards.device), problem
        start = self._start(problem)
        state = _State.at(start, 2 * problem.epsilon)
        checks = checkpoints(self.steps)
        for step in range(self.steps + 1):
            goal = part.class_goal
            outputs, losses, gradient = part.gradient(state.x, self._loss(goal, towards))
            met = goal.met(outputs)
            fooled[rows[met]], found[rows[met]] = True, state.x[met]
            problem.tell(self.name, number * self.steps + step, rounds * self.steps, fooled)
            keep = ~met
            rows, part, towards = rows[keep], part[keep], towards[keep]
            if not len(rows):
                return found, fooled
            state = state.seen(losses, gradient)[keep]
            if step in checks:
                state = state.checked(step - checks[step])
            if step < self.steps:
                state = self._move(part, state, first=step == 0)
        found[rows] = state.best
        return found, fooled

    def _start(self, problem: Problem) -> Tensor:
        shape, device = problem.originals.shape[1:], problem.originals.device
        draws = problem.draws
        uniform, normal = draws.uniform(*shape, device=device), draws.normal(*shape, device=device)
        drawn = 2 * uniform - 1 if self.distance.name == "linf" else normal
        deltas = problem.masked(drawn) * problem.epsilon[:, None, None, None]
        size = self.distance.norm(deltas).clamp(min=1e-12)
        scaled = deltas * (problem.epsilon / size)[:, None, None, None]
        return problem.project(problem.originals + scaled)

    def _move(self, problem: Problem, state: _State, *, first: bool) -> _State:
        step = state.eta[:, None, None, None] * self.distance.direction(state.gradient)
        z = problem.project(state.x + step)
        if not first:
            z = problem.project(state.x + 0.75 * (z - state.x) + 0.25 * (state.x - state.before))
        return replace(state, x=z, before=state.x)


def checkpoints(steps: int) -> dict[int, int]:
    """Return each checkpoint with the one before: p_0 = 0, p_1 = 0.22, p_(j+1) = p_j + max(p_j - p_(j-1) - 0.03, 0.06).

    Croce and Hein 2020, section 3.1.
    """
    p = [0.0, 0.22]
    while p[-1] < 1:
        p.append(p[-1] + max(p[-1] - p[-2] - 0.03, 0.06))
    places = [math.ceil(one * steps) for one in p if one <= 1]
    return {after: before for before, after in pairwise(places) if after > before}


@dataclass(frozen=True)
class _State:
    """Where the ascent of each picture stands; indexed by a mask."""

    x: Tensor
    before: Tensor
    gradient: Tensor
    eta: Tensor
    last: Tensor
    best: Tensor
    best_loss: Tensor
    best_gradient: Tensor
    rises: Tensor
    best_then: Tensor
    halved_then: Tensor

    @classmethod
    def at(cls, x: Tensor, eta: Tensor) -> _State:
        none = torch.full_like(eta, float("-inf"))
        zeros = torch.zeros_like(x)
        return cls(x, x, zeros, eta, none, x, none, zeros, torch.zeros_like(eta), none, torch.ones_like(eta).bool())

    def __getitem__(self, keep: Tensor) -> _State:
        return _State(**{name: value[keep] for name, value in vars(self).items()})

    def seen(self, losses: Tensor, gradient: Tensor) -> _State:
        """Take in the loss at x."""
        better = losses > self.best_loss
        wide = better[:, None, None, None]
        return replace(
            self,
            gradient=gradient,
            last=losses,
            rises=self.rises + ((losses > self.last) & self.last.isfinite()),  # the first look is no step
            best=torch.where(wide, self.x, self.best),
            best_gradient=torch.where(wide, gradient, self.best_gradient),
            best_loss=torch.where(better, losses, self.best_loss),
        )

    def checked(self, length: int) -> _State:
        """Halve the step where the ascent oscillates or stands, and go back to the best point there."""
        few = self.rises < RISING * length
        stands = ~self.halved_then & (self.best_then >= self.best_loss)
        halve = few | stands
        wide = halve[:, None, None, None]
        return replace(
            self,
            eta=torch.where(halve, self.eta / 2, self.eta),
            x=torch.where(wide, self.best, self.x),
            gradient=torch.where(wide, self.best_gradient, self.gradient),
            rises=torch.zeros_like(self.rises),
            best_then=self.best_loss,
            halved_then=halve,
        )
