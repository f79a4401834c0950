"""PGD: many small steps inside the ball, with momentum, random starts and restarts."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.checks import UsageError, positive, whole
from .attack import Attack
from .distances import Distance, distance_named
from .inputs import own_epsilon
from .problem import Problem


class Pgd(Attack):
    """Projected gradient descent: x_(t+1) = P_ball(x_t + step direction(g_t)), from a random point of the ball.

    Madry et al. 2018, Towards deep learning models resistant to adversarial attacks, section 2.1. Without random start
    it is I-FGSM, the basic iterative method (Kurakin, Goodfellow and Bengio 2017, section 2.2). With momentum it is
    MI-FGSM (Dong et al. 2018, equations 6 and 7): g_(t+1) = momentum g_t + grad / mean|grad|.
    A picture stops at the first step that fools it, so its gradients are those that it needed.

    Args:
        distance: "linf", "l2" or "l1".
        epsilon: Budget; None is the distance's usual one, 8/255, 0.5 or 12.
        steps: Most steps.
        step_size: Length of a step as a share of the budget; None is 2.5 / steps (Madry's code), at most 1.
        momentum: Of the gradients; 0 for none.
        random_start: Begin at a random point of the ball.
        restarts: Begin so often; only pictures that are not fooled begin again.
        early_stop: Stop a picture once it is fooled; without, all steps are taken, and a fooled picture goes on to
            higher confidence.
    """

    def __init__(
        self,
        *,
        distance: str = "linf",
        epsilon: float | None = None,
        steps: int = 40,
        step_size: float | None = None,
        momentum: float = 0.0,
        random_start: bool = True,
        restarts: int = 1,
        early_stop: bool = True,
    ) -> None:
        self.distance: Distance = distance_named(distance, ("linf", "l2", "l1"))
        for name, value in (("steps", steps), ("restarts", restarts)):
            whole(name, value)
        if step_size is not None:
            positive("step_size", step_size)
        if restarts > 1 and not random_start:
            raise UsageError("a random start with restarts", "random_start=False", "leave one of the two out")
        if not isinstance(momentum, float | int) or not 0 <= momentum < float("inf"):
            raise UsageError("a momentum of 0 or more", repr(momentum), "pass 1.0, as MI-FGSM does, or 0")
        self.epsilon, self.steps = own_epsilon(epsilon, self.distance), steps
        self.step_size, self.momentum = step_size, momentum
        self.random_start, self.restarts, self.early_stop = random_start, restarts, early_stop

    def perturb(self, problem: Problem) -> Tensor:
        """Climb from each start; the first version that fools is kept, else the last."""
        best = problem.originals.clone()
        live = torch.arange(len(problem), device=best.device)
        for _ in range(self.restarts):
            part = problem[live]
            found, fooled = self._climb(part)
            best[live] = found
            live = live[~fooled]
            if not len(live):
                break
        return best

    def _climb(self, problem: Problem) -> tuple[Tensor, Tensor]:
        """Return pictures and which of them fool."""
        current = self._start(problem)
        found, fooled = current.clone(), torch.zeros(len(problem), dtype=torch.bool, device=current.device)
        rows, part, memory = problem.rows.new_tensor(range(len(problem))), problem, torch.zeros_like(current)
        share = min(1.0, 2.5 / self.steps) if self.step_size is None else self.step_size
        for step in range(self.steps):
            outputs, _, gradient = part.gradient(current, part.goal.loss)
            met = part.goal.met(outputs)
            fooled[rows] = met
            if self.early_stop and met.any():
                found[rows[met]] = current[met]
                rows, current, memory, gradient = rows[~met], current[~met], memory[~met], gradient[~met]
                part = part[~met]
            problem.tell(self.name, step, self.steps, fooled)
            if not len(rows):
                return found, fooled
            memory = self._remember(memory, gradient)
            direction = self.distance.direction(memory)
            current = part.project(current + share * part.epsilon[:, None, None, None] * direction)
        found[rows] = current
        fooled[rows] = part.met(current)
        problem.tell(self.name, self.steps, self.steps, fooled)
        return found, fooled

    def _start(self, problem: Problem) -> Tensor:
        if not self.random_start:
            return problem.originals
        shape, device = problem.originals.shape[1:], problem.originals.device
        uniform, normal = problem.draws.uniform(*shape, device=device), problem.draws.normal(*shape, device=device)
        radius = problem.draws.uniform(1, device=device)[:, 0]
        deltas = self.distance.random(uniform, problem.masked(normal), radius, problem.epsilon)
        return problem.project(problem.originals + deltas)

    def _remember(self, memory: Tensor, gradient: Tensor) -> Tensor:
        if not self.momentum:
            return gradient
        size = gradient.abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-12)
        return self.momentum * memory + gradient / size
