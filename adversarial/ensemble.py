"""Several attacks in turn, each on the pictures that those before it left."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.checks import whole
from .apgd import Apgd
from .attack import Attack
from .distances import Distance, distance_named
from .eight_bits import on_the_grid
from .fab import Fab
from .inputs import own_epsilon
from .problem import Problem
from .square import Square


class Ensemble(Attack):
    """APGD with cross entropy, targeted APGD with DLR, targeted FAB, and Square: AutoAttack.

    Croce and Hein 2020, Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
    attacks, section 5. Differs from it in fewer queries of Square by default, and in counting a picture as fooled only
    when it is so on the grid of 8 bits; what AutoAttack finds between two levels of 1/255 does not count.

    Args:
        distance: "linf" or "l2".
        epsilon: Budget; None is the distance's usual one, 8/255 or 0.5.
        steps: Of APGD and FAB.
        queries: Of Square; AutoAttack's are 5,000.
        classes: Of the targeted attacks.
    """

    stretches = (1.0,)  # each member's are tried when it ends

    def __init__(
        self, *, distance: str = "linf", epsilon: float | None = None, steps: int = 100, queries: int = 1000,
        classes: int = 9,
    ) -> None:  # fmt: skip
        self.distance: Distance = distance_named(distance, ("linf", "l2"))
        for name, value in (("steps", steps), ("queries", queries), ("classes", classes)):
            whole(name, value)
        self.epsilon, self.steps, self.queries = own_epsilon(epsilon, self.distance), steps, queries
        self.classes = classes

    def members(self) -> list[Attack]:
        """Return the attacks, in their order."""
        name = self.distance.name
        return [
            Apgd(distance=name, loss="ce", steps=self.steps),
            Apgd(distance=name, loss="dlr-targeted", steps=self.steps, classes=self.classes),
            Fab(distance=name, steps=self.steps, classes=self.classes),
            Square(distance=name, queries=self.queries),
        ]

    def perturb(self, problem: Problem) -> Tensor:
        """Run the attacks on what is left."""
        best, live = problem.originals.clone(), torch.arange(len(problem), device=problem.originals.device)
        for member in self.members():
            part = problem[live]
            best[live], fooled = on_the_grid(part, member.perturb(part), member.stretches)
            live = live[~fooled]
            if not len(live):
                break
        return best
