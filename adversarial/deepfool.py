"""DeepFool: to the nearest of the boundaries as the network looks from here, again and again."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ..core.checks import positive, whole
from .attack import Attack
from .distances import TINY, Distance, distance_named
from .inputs import check_epsilon
from .problem import Problem


class DeepFool(Attack):
    """The smallest step across the linearized boundary, repeated: r = |f_l - f_y| / |w_l|^2 w_l, w_k = grad(f_k - f_y).

    Moosavi-Dezfooli, Fawzi and Frossard 2016, DeepFool, algorithm 2 (equations 8 and 9; for linf equations 10 and 11:
    r = |f_l - f_y| / |w_l|_1 sign(w_l)); l is the class whose boundary is nearest. Differs from it in a last bisection
    of the way back to the original, which makes up for the overshoot, and in stopping at what the criterion says. Aims
    at the decision: a criterion of confidence is met by chance.

    Args:
        distance: "l2" or "linf".
        epsilon: Budget: what is farther away does not count. None for none.
        steps: Most steps.
        overshoot: By which the sum of the steps is lengthened, to come to the other side.
        candidates: Classes looked at, the likeliest ones; each costs a backward pass.
        halvings: Of the way back at the end; each costs a query.
    """

    minimal = True

    def __init__(
        self, *, distance: str = "l2", epsilon: float | None = None, steps: int = 50, overshoot: float = 0.02,
        candidates: int = 10, halvings: int = 5,
    ) -> None:  # fmt: skip
        self.distance: Distance = distance_named(distance, ("l2", "linf"))
        for name, value, least in (("steps", steps, 1), ("candidates", candidates, 2), ("halvings", halvings, 0)):
            whole(name, value, least)
        positive("overshoot", overshoot)
        self.epsilon = check_epsilon(epsilon, self.distance, True)
        self.steps, self.overshoot = steps, overshoot
        self.candidates, self.halvings = candidates, halvings

    def perturb(self, problem: Problem) -> Tensor:
        """Walk until the criterion is met, then back as far as it stays so; others stay where the walk ended."""
        found = problem.originals.clone()
        total, current = torch.zeros_like(found), found.clone()
        rows = torch.arange(len(problem), device=found.device)
        part, others = problem, self._others(problem)
        for step in range(self.steps):
            outputs, missing, slopes = part.gradients(current, partial(gaps, part, others))
            met = part.goal.met(outputs)
            if met.any():
                found[rows[met]] = current[met]
                rows, total, others, part = rows[~met], total[~met], others[~met], part[~met]
                missing, slopes = missing[~met], slopes[~met]
            problem.tell(self.name, step, self.steps, len(problem) - len(rows))
            if not len(rows):
                break
            total = total + self._step(missing, slopes)
            current = part.boxed(part.originals + (1 + self.overshoot) * total)
            found[rows] = current
        return self._back(problem, found, rows)

    def _back(self, problem: Problem, found: Tensor, unsure: Tensor) -> Tensor:
        """Bisect the way back of pictures that fool; whether `unsure` rows do, after the last step, is asked first."""
        if not self.halvings:
            return found
        fooled = torch.ones(len(problem), dtype=torch.bool, device=found.device)
        if len(unsure):
            fooled[unsure] = problem[unsure].met(found[unsure])
        found[fooled] = closer(problem[fooled], found[fooled], self.halvings)
        return found

    def _others(self, problem: Problem) -> Tensor:
        """Classes to reach, (N, K): the target, or the likeliest ones beside the true one."""
        goal = problem.class_goal
        if goal.targets is not None:
            return goal.targets[:, None]
        scores = problem.outputs(problem.originals)
        scores = scores.scatter(1, goal.labels[:, None], float("-inf"))
        return scores.topk(min(self.candidates, scores.shape[1]) - 1, 1).indices

    def _step(self, missing: Tensor, slopes: Tensor) -> Tensor:
        """Return the shortest way across a boundary, (N, 3, H, W)."""
        flat = slopes.flatten(2)
        l2 = self.distance.name == "l2"
        lengths = (flat.norm(dim=2) if l2 else flat.abs().sum(2)).clamp(min=TINY)
        nearest = ((missing.abs() + 1e-4) / lengths).argmin(1)
        each = torch.arange(len(missing), device=missing.device)
        slope, length = slopes[each, nearest], lengths[each, nearest][:, None, None, None]
        size = (missing[each, nearest].abs() + 1e-4)[:, None, None, None] / length
        return size * slope / length if l2 else size * slope.sign()


def closer(problem: Problem, found: Tensor, halvings: int) -> Tensor:
    """Move pictures that fool towards their originals as far as they go on fooling, by bisection.

    Pictures that are their originals, as where nothing was found, are not asked about.
    """
    rows = (found != problem.originals).flatten(1).any(1).nonzero()[:, 0]
    if not len(rows):
        return found
    part = problem[rows]
    deltas = found[rows] - part.originals
    low = torch.zeros(len(part), device=found.device)
    high = torch.ones_like(low)
    for _ in range(halvings):
        middle = (low + high) / 2
        met = part.met(part.originals + middle[:, None, None, None] * deltas)
        low, high = torch.where(met, low, middle), torch.where(met, middle, high)
    nearer = found.clone()
    nearer[rows] = part.originals + high[:, None, None, None] * deltas
    return nearer


def gaps(problem: Problem, others: Tensor, outputs: Tensor) -> Tensor:
    """Return the scores of the other classes less that of the true one, (N, K)."""
    return outputs.gather(1, others) - outputs.gather(1, problem.class_goal.labels[:, None])
