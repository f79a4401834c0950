"""Universal: one perturbation for many pictures."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..core.checks import UsageError, fraction, whole
from .attack import Attack
from .deepfool import DeepFool
from .distances import Distance, distance_named
from .inputs import own_epsilon
from .problem import Problem


class Universal(Attack):
    """One perturbation v that fools the model on most pictures: v <- P(v + the shortest way out of x_i + v), for all i.

    Moosavi-Dezfooli, Fawzi, Fawzi and Frossard 2017, Universal adversarial perturbations, algorithm 1; the shortest way
    is DeepFool's. It stops when `share` of the pictures are fooled, or after `passes`. Differs from it in going over
    the pictures a few at a time, whose ways are added before v is projected.
    Pictures of a run share v: all of one size, and as many as stand in one batch (256).

    Args:
        distance: "linf" or "l2".
        epsilon: Budget; None is the distance's usual one, 8/255 or 0.5.
        passes: Over all pictures, most of them.
        share: Of the pictures to be fooled.
        batch_size: Pictures whose ways are added.
        steps: Of DeepFool.
    """

    def __init__(
        self, *, distance: str = "linf", epsilon: float | None = None, passes: int = 10, share: float = 0.9,
        batch_size: int = 4, steps: int = 10,
    ) -> None:  # fmt: skip
        self.distance: Distance = distance_named(distance, ("linf", "l2"))
        fraction("share", share)
        for name, value in (("passes", passes), ("batch_size", batch_size), ("steps", steps)):
            whole(name, value)
        self.epsilon, self.passes, self.share = own_epsilon(epsilon, self.distance), passes, share
        self.batch_size, self.steps = batch_size, steps

    def perturb(self, problem: Problem) -> Tensor:
        """Find v, and add it to every picture."""
        if problem.class_goal.targets is not None:
            raise UsageError("no target for a universal perturbation", "one", "leave target out, or choose pgd")
        v, most = torch.zeros_like(problem.originals[:1]), -1.0
        best, way = v, DeepFool(steps=self.steps, halvings=0, candidates=min(10, len(problem.victim.names)))
        for number in range(self.passes + 1):
            fooled = problem.met(problem.project(problem.originals + v))
            if float(fooled.float().mean()) > most:
                best, most = v, float(fooled.float().mean())
            problem.tell(self.name, number, self.passes, fooled)
            if most >= self.share or number == self.passes:
                break
            for rows in (~fooled).nonzero()[:, 0].split(self.batch_size):
                v = self._further(problem[rows], v, way)
        return problem.project(problem.originals + best)

    def _further(self, part: Problem, v: Tensor, way: DeepFool) -> Tensor:
        """Add the ways out of some pictures that v does not fool yet."""
        moved = part.project(part.originals + v)
        left = ~part.met(moved)
        if not left.any():
            return v
        there = replace(part[left], originals=moved[left], epsilon=torch.full_like(part.epsilon[left], float("inf")))
        added = v + (way.perturb(there) - moved[left]).sum(0, keepdim=True)
        return self.distance.project(added, part.epsilon[:1])
