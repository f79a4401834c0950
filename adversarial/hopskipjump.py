"""HopSkipJump: from a picture that fools back to the original along the boundary, asking for decisions only."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..core.checks import whole
from .attack import Attack
from .distances import DISTANCES, Distance
from .eight_bits import rounded
from .inputs import check_epsilon
from .parts import at_once
from .problem import Problem

MOST_SAMPLES = 10_000
HALVED = 12
"""Times that a step is halved before it is given up."""


class HopSkipJump(Attack):
    """Estimate the gradient at the boundary from decisions, step along it, bisect back to the boundary, again.

    Chen, Jordan and Wainwright 2020, HopSkipJumpAttack, algorithm 2 with L2: the direction is the mean of
    (phi(x + delta u_b) - mean phi) u_b over random unit u_b, phi = +1 where the criterion is met, -1 elsewhere
    (equation 16); its step is |x - x*| / sqrt(t), halved until the criterion is met; samples grow as sqrt(t).
    Untargeted it starts from noise that fools, blended in as little as possible; targeted from one of the other
    pictures that shows the target, or from noise that the model takes for it; so what is found with a target depends on
    which pictures are attacked with it. Without a start a picture stays as it is.
    Differs from it in delta: theirs is |x - x*| / d, less than 8 bits can show, here it is |x - x*| / sqrt(d), and at
    least half a level in the root mean square. It asks about pictures rounded to 8 bits only, as it would in the world,
    so what it finds fools after saving too.

    Args:
        epsilon: Budget: what is farther away does not count. None for none.
        steps: Of the walk.
        samples: First number of u_b.
        halvings: Of a way to the boundary.
        starts: Draws of noise to start from.
    """

    needs = "decisions"
    minimal = True

    def __init__(
        self, *, epsilon: float | None = None, steps: int = 20, samples: int = 50, halvings: int = 10,
        starts: int = 20,
    ) -> None:  # fmt: skip
        self.distance: Distance = DISTANCES["l2"]
        for name, value in (("steps", steps), ("samples", samples), ("halvings", halvings), ("starts", starts)):
            whole(name, value)
        self.epsilon = check_epsilon(epsilon, self.distance, True)
        self.steps, self.samples, self.halvings = steps, samples, halvings
        self.starts = starts

    def perturb(self, problem: Problem) -> Tensor:
        """Walk along the boundary; the nearest version that fools is kept."""
        best, begun = self._begin(problem)
        rows = begun.nonzero()[:, 0]
        if not len(rows):
            return best
        part = problem[rows]
        current = self._to_boundary(part, best[rows])
        for step in range(1, self.steps + 1):
            direction = self._direction(part, current, step)
            current = self._to_boundary(part, self._jump(part, current, direction, step))
            nearer = part.lengths(current) < part.lengths(best[rows])
            best[rows[nearer]] = current[nearer]
            problem.tell(self.name, step, self.steps, begun)
        return best

    def _begin(self, problem: Problem) -> tuple[Tensor, Tensor]:
        """Return pictures that fool, and for which rows one was found."""
        found, begun = problem.originals.clone(), torch.zeros_like(problem.epsilon, dtype=torch.bool)
        count, shape = len(problem), problem.originals.shape[1:]
        targeted = problem.class_goal.targets is not None
        turns = count - 1 if targeted else 0
        for number in range(turns + self.starts):
            live = (~begun).nonzero()[:, 0]
            if not len(live):
                break
            part = problem[live]
            if number < turns:
                begin = problem.originals[(live - number - 1) % count]  # the picture number + 1 places before each
            else:
                begin = part.draws.uniform(*shape, device=found.device)
            tried = rounded(part.boxed(begin))
            met = part.met(tried)
            found[live[met]], begun[live[met]] = tried[met], True
        return found, begun

    def _to_boundary(self, problem: Problem, pictures: Tensor) -> Tensor:
        """Bisect between original and picture: the nearest point that fools."""
        low, high = torch.zeros_like(problem.epsilon), torch.ones_like(problem.epsilon)
        deltas = pictures - problem.originals
        for _ in range(self.halvings):
            middle = (low + high) / 2
            met = problem.met(rounded(problem.originals + middle[:, None, None, None] * deltas))
            low, high = torch.where(met, low, middle), torch.where(met, middle, high)
        return rounded(problem.originals + high[:, None, None, None] * deltas)

    def _direction(self, problem: Problem, current: Tensor, step: int) -> Tensor:
        """Return equation 16's direction, of length 1."""
        count = min(MOST_SAMPLES, int(self.samples * math.sqrt(step)))
        pixels = current[0].numel()
        radius = (problem.lengths(current) / math.sqrt(pixels)).clamp(min=0.5 / 255 * math.sqrt(pixels))
        if step == 1:
            radius = radius.clamp(min=0.1)
        total, votes, sum_u = torch.zeros_like(current), torch.zeros_like(radius), torch.zeros_like(current)
        wide, many = radius[:, None, None, None], at_once(current.shape[1:], len(problem))
        for start in range(0, count, many):
            drawn = [self._unit(problem, current) for _ in range(min(many, count - start))]
            tried = torch.stack([rounded(problem.boxed(current + wide * u)) for u in drawn], 1)
            phi = torch.where(problem.met_by_each(tried)[1], 1.0, -1.0)
            u = (tried - current[:, None]) / wide[:, None]  # what is left of it inside the box
            total = total + (phi[:, :, None, None, None] * u).sum(1)
            sum_u, votes = sum_u + u.sum(1), votes + phi.sum(1)
        mean = votes / count
        baseline = torch.where(mean.abs() < 1, mean, torch.zeros_like(mean))
        return problem.distance.direction(total - baseline[:, None, None, None] * sum_u)

    def _unit(self, problem: Problem, current: Tensor) -> Tensor:
        normal = problem.draws.normal(*current.shape[1:], device=current.device)
        return problem.distance.direction(problem.masked(normal))

    def _jump(self, problem: Problem, current: Tensor, direction: Tensor, step: int) -> Tensor:
        """Step along the direction, halving until the picture fools; rows that never do stay."""
        size = problem.lengths(current) / math.sqrt(step)
        found, live = current.clone(), torch.arange(len(problem), device=current.device)
        for _ in range(HALVED):
            part = problem[live]
            tried = rounded(part.boxed(current[live] + size[:, None, None, None] * direction[live]))
            met = part.met(tried)
            found[live[met]] = tried[met]
            live, size = live[~met], size[~met] / 2
            if not len(live):
                break
        return found
