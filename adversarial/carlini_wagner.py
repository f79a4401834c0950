"""Carlini and Wagner's L2 attack: distance and margin in one loss, in coordinates without a box."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ..core.checks import UsageError, positive, whole
from .attack import Attack
from .distances import DISTANCES, Distance
from .inputs import check_epsilon
from .problem import Problem

EDGE = 0.999
"""Pictures are drawn in by this share before atanh, which is infinite at the ends. Black and white pixels hardly move
from 1 - 1e-6, the authors' value: on MNIST, 6 searches of 200 steps, L2 falls from 1.53 to 0.95 (rate 0.01)."""
CHECKS = 10
"""A search is given up that has not come 0.01 % lower in a tenth of the steps, as the authors' code does."""


class CarliniWagner(Attack):
    """Minimize |x' - x|^2 + c max(margin(x') + confidence, 0) over w, x' = (tanh w + 1) / 2, with a search on c.

    Carlini and Wagner 2017, Towards evaluating the robustness of neural networks, section VI.A with objective f6; c is
    searched as in section V.B: tenfold until it succeeds, then by bisection; Adam takes the steps.

    Args:
        epsilon: Budget: what is farther away does not count. None for none.
        steps: Most steps for each c.
        searches: Values of c.
        learning_rate: Adam's; 0.05 needs fewer steps than the authors' 0.01.
        constant: First c.
        confidence: By how much the other score has to lead, in logits, where c is judged and pictures are kept. What
            rounding to 8 bits takes from the lead is not made up for: of the PNG only the criterion is promised.
    """

    minimal = True

    def __init__(
        self, *, epsilon: float | None = None, steps: int = 200, searches: int = 6, learning_rate: float = 0.05,
        constant: float = 0.1, confidence: float = 0.0,
    ) -> None:  # fmt: skip
        self.distance: Distance = DISTANCES["l2"]
        for name, value in (("steps", steps), ("searches", searches)):
            whole(name, value)
        for name, rate in (("learning_rate", learning_rate), ("constant", constant)):
            positive(name, rate)
        if not 0 <= confidence < float("inf"):
            raise UsageError("a confidence of 0 or more", repr(confidence), "pass the lead in logits, 0 for none")
        self.epsilon = check_epsilon(epsilon, self.distance, True)
        self.steps, self.searches, self.learning_rate = steps, searches, learning_rate
        self.constant, self.confidence = constant, confidence

    def perturb(self, problem: Problem) -> Tensor:
        """Search c for each picture; the nearest version that fools is kept."""
        best = problem.originals.clone()
        nearest = torch.full_like(problem.epsilon, float("inf"))
        low, high = torch.zeros_like(nearest), torch.full_like(nearest, float("inf"))
        constant = torch.full_like(nearest, self.constant)
        for search in range(self.searches):
            found, lengths = self._descend(problem, constant)
            better, met = lengths < nearest, torch.isfinite(lengths)
            best[better], nearest[better] = found[better], lengths[better]
            low, high = torch.where(met, low, constant), torch.where(met, constant, high)
            constant = torch.where(torch.isinf(high), 10 * constant, (low + high) / 2)
            problem.tell(self.name, search + 1, self.searches, torch.isfinite(nearest))
        return best

    def _descend(self, problem: Problem, constant: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest fooling pictures of one descent, and their distances, infinite where there is none."""
        best, nearest = problem.originals.clone(), torch.full_like(constant, float("inf"))
        rows, part = torch.arange(len(problem), device=constant.device), problem
        w = ((2 * problem.originals - 1) * EDGE).atanh()
        first, second, c = torch.zeros_like(w), torch.zeros_like(w), constant
        last, was = torch.full_like(constant, float("inf")), torch.zeros_like(constant, dtype=torch.bool)
        for step in range(1, self.steps + 1):
            pictures = part.boxed((w.tanh() + 1) / 2)
            outputs, losses, gradient = part.gradient(pictures, partial(self._hinge, part, c))
            deltas = pictures - part.originals
            lengths = part.distance.norm(deltas)
            reached = self._reached(part, outputs)
            met = reached & (lengths < nearest[rows])
            best[rows[met]], nearest[rows[met]] = pictures[met], lengths[met]
            slope = (gradient + 2 * deltas) * (1 - w.tanh() ** 2) / 2
            first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
            fresh = (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
            w = w - self.learning_rate * fresh
            if step % max(1, self.steps // CHECKS) == 0:
                now = losses + lengths**2
                going = (now <= 0.9999 * last) | (reached & ~was)  # the hinge rises to 0 where it is reached
                last, was = now[going], reached[going]
                rows, part, c = rows[going], part[going], c[going]
                w, first, second = w[going], first[going], second[going]
                if not len(rows):
                    break
        return best, nearest

    def _hinge(self, problem: Problem, constant: Tensor, outputs: Tensor) -> Tensor:
        """The margin until the goal is reached: a criterion of confidence asks for more than crossing the boundary."""
        lead = problem.class_goal.margin(outputs) + self.confidence
        return constant * torch.where(self._reached(problem, outputs.detach()), 0, lead)

    def _reached(self, problem: Problem, outputs: Tensor) -> Tensor:
        return problem.goal.met(outputs) & (problem.class_goal.margin(outputs) <= -self.confidence)
