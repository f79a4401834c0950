"""FGSM: one step along the sign of the gradient."""

from __future__ import annotations

from torch import Tensor

from .attack import Attack
from .distances import Distance, distance_named
from .inputs import own_epsilon
from .problem import Problem


class Fgsm(Attack):
    """The fast gradient sign method: x' = clip(x + epsilon sign(grad_x L(x, y))).

    Goodfellow, Shlens and Szegedy 2015, Explaining and harnessing adversarial examples, section 4; L is the cross
    entropy, with a target minus that of the target. In L2 the step is epsilon grad / |grad| (the fast gradient method
    of foolbox and Miyato et al. 2016).

    Args:
        distance: "linf", "l2" or "l1".
        epsilon: Length of the step, and budget; None is the distance's usual one, 8/255, 0.5 or 12.
    """

    stretches = (1.0,)

    def __init__(self, *, distance: str = "linf", epsilon: float | None = None) -> None:
        self.distance: Distance = distance_named(distance, ("linf", "l2", "l1"))
        self.epsilon = own_epsilon(epsilon, self.distance)

    def perturb(self, problem: Problem) -> Tensor:
        """Take the step."""
        _, _, gradient = problem.gradient(problem.originals, problem.goal.loss)
        step = self.distance.direction(gradient) * problem.epsilon[:, None, None, None]
        return problem.project(problem.originals + step)
