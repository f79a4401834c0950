"""Random noise: what any attack has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.checks import whole
from .attack import Attack
from .distances import Distance, distance_named
from .inputs import own_epsilon
from .problem import Problem


class Noise(Attack):
    """Noise of the full budget, drawn anew until it fools: x + epsilon u / |u|, with u uniform (linf) or Gaussian.

    The control of every claim: a model that noise fools as often as an attack does is not robust to anything, and an
    attack that does no better than noise does not work. Named baseline as early as Szegedy et al. 2014, section 4.2.

    Args:
        distance: "linf" (each value moves by at most epsilon, evenly) or "l2" (a random direction of length epsilon).
        epsilon: Budget; None is the distance's usual one, 8/255 or 0.5.
        tries: Draws; a picture stops at the first that fools it.
    """

    needs = "decisions"
    stretches = (1.0,)

    def __init__(self, *, distance: str = "linf", epsilon: float | None = None, tries: int = 10) -> None:
        self.distance: Distance = distance_named(distance, ("linf", "l2"))
        whole("tries", tries)
        self.epsilon, self.tries = own_epsilon(epsilon, self.distance), tries

    def perturb(self, problem: Problem) -> Tensor:
        """Draw until a picture is fooled."""
        best, live = problem.originals.clone(), torch.arange(len(problem), device=problem.originals.device)
        for number in range(self.tries):
            part = problem[live]
            drawn = part.project(part.originals + self._noise(part))
            best[live] = drawn
            live = live[~part.met(drawn)]
            problem.tell(self.name, number + 1, self.tries, len(problem) - len(live))
            if not len(live):
                break
        return best

    def _noise(self, part: Problem) -> Tensor:
        shape, device = part.originals.shape[1:], part.originals.device
        if self.distance.name == "linf":
            return (2 * part.draws.uniform(*shape, device=device) - 1) * part.epsilon[:, None, None, None]
        direction = self.distance.direction(part.masked(part.draws.normal(*shape, device=device)))
        return direction * part.epsilon[:, None, None, None]
