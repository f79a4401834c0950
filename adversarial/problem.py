"""A batch of pictures under attack: what may be asked, where pictures may go, what it has cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..core.checks import ModelError
from ..core.images import to_image
from .distances import Distance
from .draws import Draws
from .goals import ClassGoal, Goal
from .parts import at_once
from .victims import Victim, log_scores


@dataclass(frozen=True)
class Step:
    """Where an attack stands; passed to `on_step`.

    Attributes:
        attack: Its name.
        step: Steps done.
        steps: Most there will be.
        fooled: Pictures of this batch that have reached their goal.
        count: Pictures in the batch.
    """

    attack: str
    step: int
    steps: int
    fooled: int
    count: int


@dataclass
class Cost:
    """What was asked about each picture, int64 (N,): `queries` of the model, `gradients` through it."""

    queries: Tensor
    gradients: Tensor


@dataclass(frozen=True)
class Problem:
    """Pictures to change, indexed like an array: `problem[rows]` is the problem of those pictures.

    Attributes:
        victim: Who is attacked.
        originals: Pictures of one size, float (N, 3, H, W) in [0, 1], on the victim's device.
        goal: What they should become.
        distance: In which they stay near.
        epsilon: Largest distance, (N,); infinite where there is none.
        mask: bool (N, 1, H, W), True where a picture may change; None everywhere.
        draws: Random numbers of each picture.
        cost: Shared by all parts of a problem.
        rows: Places of these pictures in it.
        on_step: Called with a `Step`.
    """

    victim: Victim
    originals: Tensor
    goal: Goal
    distance: Distance
    epsilon: Tensor
    mask: Tensor | None
    draws: Draws
    cost: Cost
    rows: Tensor
    on_step: Callable[[Step], None] | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls, victim: Victim, originals: Tensor, goal: Goal, distance: Distance, epsilon: float | None = None,
        *, mask: Tensor | None = None, seed: int = 0, on_step: Callable[[Step], None] | None = None,
    ) -> Problem:  # fmt: skip
        """Make a problem of pictures float (N, 3, H, W)."""
        count, device = len(originals), originals.device
        zeros = torch.zeros(count, dtype=torch.int64, device=device)
        radius = torch.full((count,), float("inf") if epsilon is None else epsilon, device=device)
        rows = torch.arange(count, device=device)
        draws = Draws.of(originals, seed)
        return cls(
            victim, originals, goal, distance, radius, mask, draws, Cost(zeros, zeros.clone()), rows, on_step
        )  # fmt: skip

    def within(self, epsilon: float | None, seed: int | None = None) -> Problem:
        """Return the same problem with another budget and its own count of costs, begun at this one's.

        Args:
            epsilon: None for no budget.
            seed: Starts the random numbers anew; None goes on with them.
        """
        radius = torch.full_like(self.epsilon, float("inf") if epsilon is None else epsilon)
        cost = Cost(self.cost.queries.clone(), self.cost.gradients.clone())
        draws = self.draws if seed is None else Draws.of(self.originals, seed)
        return replace(self, epsilon=radius, cost=cost, draws=draws)

    def __len__(self) -> int:
        return len(self.originals)

    def __getitem__(self, rows: Tensor) -> Problem:
        """Return the problem of some pictures, int64 or bool `rows`; costs are counted where they were."""
        if rows.dtype == torch.bool:
            rows = rows.nonzero()[:, 0]
        return replace(
            self,
            originals=self.originals[rows],
            goal=self.goal[rows],
            epsilon=self.epsilon[rows],
            mask=None if self.mask is None else self.mask[rows],
            draws=self.draws[rows.tolist()],
            rows=self.rows[rows],
        )

    @property
    def class_goal(self) -> ClassGoal:
        """The goal, of an attack on a classifier.

        Raises:
            ModelError: The goal is one of maps.
        """
        if not isinstance(self.goal, ClassGoal):
            raise ModelError("a classifier", "a network that puts out maps", "use Fgsm or Pgd, which follow any loss")
        return self.goal

    @torch.no_grad()
    def outputs(self, pictures: Tensor) -> Any:
        """Ask the victim about one version of each picture, (N, 3, H, W)."""
        self.cost.queries[self.rows] += 1
        return self.victim.scores(pictures)

    @torch.no_grad()
    def met_by_each(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Ask about K versions of each picture of a classifier, (N, K, 3, H, W).

        Returns:
            Scores (N, K, classes) and which reach the goal, bool (N, K).
        """
        count, versions = pictures.shape[:2]
        self.cost.queries[self.rows] += versions
        flat = [self.victim.scores(part) for part in pictures.flatten(0, 1).split(at_once(pictures.shape[2:]))]
        scores = torch.cat(flat) if flat else pictures.new_zeros(0, len(self.victim.names))
        rows = torch.arange(count, device=pictures.device).repeat_interleave(versions)
        return scores.view(count, versions, -1), self.goal[rows].met(scores).view(count, versions)

    def met(self, pictures: Tensor) -> Tensor:
        """Ask which versions reach the goal, bool (N,)."""
        return self.goal.met(self.outputs(pictures))

    def confirmed(self, pictures: Tensor) -> Tensor:
        """Ask the model itself, not the wrapper, which pictures of 8 bits reach the goal, bool (N,).

        Right at a boundary the two differ: the model may compute in bfloat16.
        """
        self.cost.queries[self.rows] += 1
        answers = self.victim.probabilities([to_image(one) for one in pictures])
        return self.goal.met(log_scores(answers).to(pictures.device))

    def gradient(self, pictures: Tensor, loss: Callable[[Any], Tensor]) -> tuple[Any, Tensor, Tensor]:
        """Return outputs, loss (N,) and its gradient (N, 3, H, W), which is zero outside the mask.

        A `ClassGoal`'s own losses (`goal.loss`, `goal.dlr`) are recorded where the victim allows it.

        Raises:
            ModelError: A gradient that is not finite.
        """
        self.cost.queries[self.rows] += 1
        self.cost.gradients[self.rows] += 1
        recorded = getattr(self.victim, "recorded", None)
        if recorded is not None and recorded.takes(pictures, loss):
            outputs, losses, gradient = recorded(pictures, loss)
            return outputs, losses, self._finite(gradient)
        with torch.enable_grad():
            x = pictures.detach().requires_grad_(True)
            outputs = self.victim.scores(x)
            losses = loss(outputs)
            (gradient,) = torch.autograd.grad(losses.sum(), x)
        return detached(outputs), losses.detach(), self._finite(gradient)

    def gradients(self, pictures: Tensor, values: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return outputs, K values (N, K) and their gradients (N, K, 3, H, W); one forward pass, K backward.

        Raises:
            ModelError: A gradient that is not finite.
        """
        with torch.enable_grad():
            x = pictures.detach().requires_grad_(True)
            outputs = self.victim.scores(x)
            found = values(outputs)
            count = found.shape[1]
            rows = [torch.autograd.grad(found[:, k].sum(), x, retain_graph=k + 1 < count)[0] for k in range(count)]
        self.cost.queries[self.rows] += 1
        self.cost.gradients[self.rows] += count
        gradients = torch.stack([self._finite(row) for row in rows], 1)
        return outputs.detach(), found.detach(), gradients

    def _finite(self, gradient: Tensor) -> Tensor:
        if not torch.isfinite(gradient).all():
            raise ModelError("finite gradients", "NaN or infinity", "check the network's weights and its normalization")
        return self.masked(gradient)

    def masked(self, deltas: Tensor) -> Tensor:
        """Return differences with zeros where pictures may not change."""
        return deltas if self.mask is None else deltas * self.mask

    def boxed(self, pictures: Tensor) -> Tensor:
        """Return pictures in [0, 1] that differ from the originals inside the mask only."""
        inside = pictures.clamp(0, 1)
        return inside if self.mask is None else torch.where(self.mask, inside, self.originals)

    def project(self, pictures: Tensor) -> Tensor:
        """Return pictures inside the ball, in [0, 1], changed inside the mask only."""
        if torch.isinf(self.epsilon).all():
            return self.boxed(pictures)
        deltas = self.distance.project(self.masked(pictures - self.originals), self.epsilon)
        return self.boxed(self.originals + deltas)

    def lengths(self, pictures: Tensor) -> Tensor:
        """Return the distances from the originals, (N,)."""
        return self.distance.between(pictures, self.originals)

    def tell(self, attack: str, step: int, steps: int, fooled: Tensor | int) -> None:
        """Call `on_step`."""
        if self.on_step is not None:
            count = int(fooled.sum()) if isinstance(fooled, Tensor) else fooled
            self.on_step(Step(attack, step, steps, count, len(self)))


def detached(outputs: Any) -> Any:
    """Return outputs, in any nesting, without their graph."""
    return tree_map(lambda t: t.detach() if isinstance(t, Tensor) else t, outputs)
