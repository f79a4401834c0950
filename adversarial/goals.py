"""What an attack follows: a goal says how far a picture is from fooling the model, and when it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from .criteria import Criterion

DENSE = Callable[[Any], Tensor]


class Goal(Protocol):
    """Judges what a network puts out about a batch of pictures."""

    def __getitem__(self, rows: Tensor) -> Self:
        """Return the goal of some of the pictures."""

    def loss(self, outputs: Any) -> Tensor:
        """Return what the attack makes larger, float (N,)."""

    def met(self, outputs: Any) -> Tensor:
        """Tell which pictures have reached it, bool (N,)."""


@dataclass(frozen=True)
class ClassGoal:
    """A criterion for classifiers.

    Attributes:
        criterion: When an attack has succeeded.
        labels: True classes, int64 (N,).
        targets: Wanted classes, or None.
    """

    criterion: Criterion
    labels: Tensor
    targets: Tensor | None = None

    def __getitem__(self, rows: Tensor) -> ClassGoal:
        targets = None if self.targets is None else self.targets[rows]
        return ClassGoal(self.criterion, self.labels[rows], targets)

    def met(self, outputs: Tensor) -> Tensor:
        """Tell which rows satisfy the criterion."""
        return self.criterion.met(outputs, self.labels, self.targets)

    def loss(self, outputs: Tensor) -> Tensor:
        """Return the cross entropy with the true class, or minus that with the wanted one."""
        if self.targets is None:
            return F.cross_entropy(outputs, self.labels, reduction="none")
        return -F.cross_entropy(outputs, self.targets, reduction="none")

    def margin(self, outputs: Tensor) -> Tensor:
        """Return how far the model's decision is from the wished one, (N,), below 0 once it is there.

        Carlini and Wagner 2017, section V.A, f6: the largest other score minus the wanted one; untargeted, the true
        one minus the largest other.
        """
        wanted = self.labels if self.targets is None else self.targets
        own = outputs.gather(1, wanted[:, None])[:, 0]
        hidden = F.one_hot(wanted, outputs.shape[1]).to(torch.bool)
        other = outputs.masked_fill(hidden, float("-inf")).amax(1)
        return own - other if self.targets is None else other - own

    def dlr(self, outputs: Tensor) -> Tensor:
        """Return the difference of logits ratio, (N,): Croce and Hein 2020, equations 6 and 7.

        -(z_y - max_(i != y) z_i) / (z_(1) - z_(3)), or with a target t -(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2);
        scores in descending order are z_(1), z_(2), ... Differs from it where a network has fewer than 3 classes, with
        a target fewer than 4: numerator and denominator are then the same up to the sign, the ratio is constant and its
        gradient 0, so the difference alone is returned.
        """
        if outputs.shape[1] < (3 if self.targets is None else 4):
            return -self.margin(outputs)
        ordered = outputs.sort(1, descending=True).values
        own = outputs.gather(1, self.labels[:, None])[:, 0]
        if self.targets is None:
            top_is_own = outputs.argmax(1) == self.labels
            other = torch.where(top_is_own, ordered[:, 1], ordered[:, 0])
            return -(own - other) / (ordered[:, 0] - ordered[:, 2] + 1e-12)
        wanted = outputs.gather(1, self.targets[:, None])[:, 0]
        return -(own - wanted) / (ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2 + 1e-12)


@dataclass(frozen=True)
class MapGoal:
    """A goal for networks that put out maps, such as detectors and segmenters.

    Attributes:
        of_maps: What the network puts out -> the loss to make larger (N,); see `maps`.
        reached: What the network puts out -> bool (N,).
    """

    of_maps: DENSE
    reached: DENSE

    def __getitem__(self, rows: Tensor) -> MapGoal:
        return self

    def loss(self, outputs: Any) -> Tensor:
        return self.of_maps(outputs)

    def met(self, outputs: Any) -> Tensor:
        return self.reached(outputs)
