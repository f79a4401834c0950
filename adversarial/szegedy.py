"""The first attack of all: box-constrained L-BFGS with a search on c."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.checks import positive, whole
from .attack import Attack
from .boxed_lbfgs import minimize
from .deepfool import closer
from .distances import DISTANCES, Distance
from .inputs import check_epsilon
from .problem import Problem


class Szegedy(Attack):
    """Minimize c |r|^2 + loss(x + r, l) subject to x + r in [0, 1]^m, for the largest c that still gives the class l.

    Szegedy et al. 2014, Intriguing properties of neural networks, section 4.1: loss is the cross entropy, L-BFGS works
    in the box. Differs from it in the square of |r|, which is smooth at 0; in taking the likeliest other class as l
    where none is asked for; and in 1/c, which grows tenfold until it succeeds and is then bisected in its logarithm.

    Args:
        epsilon: Budget: what is farther away does not count. None for none.
        weight: First 1/c.
        searches: Values of c.
        steps: Of L-BFGS, for each c.
        halvings: Of the way back at the end.
    """

    minimal = True

    def __init__(
        self, *, epsilon: float | None = None, weight: float = 0.01, searches: int = 8, steps: int = 20,
        halvings: int = 5,
    ) -> None:  # fmt: skip
        self.distance: Distance = DISTANCES["l2"]
        for name, value, least in (("searches", searches, 1), ("steps", steps, 1), ("halvings", halvings, 0)):
            whole(name, value, least)
        positive("weight", weight)
        self.epsilon = check_epsilon(epsilon, self.distance, True)
        self.weight, self.searches, self.steps = weight, searches, steps
        self.halvings = halvings

    def perturb(self, problem: Problem) -> Tensor:
        """Search c for each picture; the nearest version that fools is kept."""
        wanted = self._wanted(problem)
        best = problem.originals.clone()
        nearest = torch.full_like(problem.epsilon, float("inf"))
        low, high = torch.zeros_like(nearest), torch.full_like(nearest, float("inf"))
        weight = torch.full_like(nearest, self.weight)
        for search in range(self.searches):
            found = self._descend(problem, weight, wanted)
            met, lengths = problem.met(found), problem.lengths(found)
            better = met & (lengths < nearest)
            best[better], nearest[better] = found[better], lengths[better]
            low, high = torch.where(met, low, weight), torch.where(met, weight, high)
            between = torch.where(low > 0, (low * high).sqrt(), high / 10)
            weight = torch.where(torch.isinf(high), 10 * weight, between)
            problem.tell(self.name, search + 1, self.searches, torch.isfinite(nearest))
        return closer(problem, best, self.halvings)

    def _wanted(self, problem: Problem) -> Tensor:
        """The class l of each picture."""
        goal = problem.class_goal
        if goal.targets is not None:
            return goal.targets
        scores = problem.outputs(problem.originals)
        return scores.scatter(1, goal.labels[:, None], float("-inf")).argmax(1)

    def _descend(self, problem: Problem, weight: Tensor, wanted: Tensor) -> Tensor:
        shape = problem.originals.shape[1:]

        def value(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            part, pictures = problem[rows], points.view(-1, *shape)
            wished = wanted[rows]
            _, losses, gradient = part.gradient(
                pictures, lambda z: weight[rows] * F.cross_entropy(z, wished, reduction="none")
            )
            deltas = pictures - part.originals
            return losses + (deltas**2).sum((1, 2, 3)), (gradient + 2 * deltas).flatten(1)

        start = problem.originals.flatten(1)
        if problem.mask is None:
            low, high = torch.zeros_like(start), torch.ones_like(start)
        else:
            open_pixels = problem.mask.expand(-1, 3, -1, -1).flatten(1)
            low, high = torch.where(open_pixels, 0.0, start), torch.where(open_pixels, 1.0, start)
        return minimize(value, start, low, high, steps=self.steps).view_as(problem.originals)
