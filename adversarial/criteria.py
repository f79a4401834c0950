"""When an attack has succeeded: `Misclassified`, `Targeted`, `ConfidenceAtLeast`, joined by `&`."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ..core.checks import UsageError


class Criterion(ABC):
    """Judges scores; two criteria joined by `&` must both be met.

    Example:
        >>> Misclassified() & ConfidenceAtLeast(0.9)
        Misclassified() & ConfidenceAtLeast(0.9)
    """

    needs_target = False
    decides = False
    """Whether it asks for a class; `Attack.run` adds `Misclassified` or `Targeted` to one that does not."""

    @abstractmethod
    def met(self, scores: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
        """Tell which pictures satisfy it.

        Args:
            scores: Logits, or logarithms of probabilities, float (N, classes).
            labels: True classes, int64 (N,).
            targets: Wanted classes (N,), or None.

        Returns:
            bool (N,); a picture whose scores are not all numbers satisfies nothing.
        """

    def __and__(self, other: Criterion) -> Criterion:
        return _Both(self, other)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Misclassified(Criterion):
    """The likeliest class is another one than the true one."""

    decides = True

    def met(self, scores: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
        return (scores.argmax(1) != labels) & ~scores.isnan().any(1)


class Targeted(Criterion):
    """The likeliest class is the wanted one."""

    needs_target = True
    decides = True

    def met(self, scores: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
        assert targets is not None  # `Attack.run` asks for them where `needs_target` says so
        return (scores.argmax(1) == targets) & ~scores.isnan().any(1)


class ConfidenceAtLeast(Criterion):
    """The likeliest class has at least this probability.

    Args:
        probability: Above 0, up to 1.

    Raises:
        UsageError: Another one.
    """

    def __init__(self, probability: float) -> None:
        if not 0 < probability <= 1:
            raise UsageError("a probability above 0, up to 1", repr(probability), "pass 0.9, say")
        self.probability = probability

    def met(self, scores: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
        return scores.softmax(1).amax(1) >= self.probability

    def __repr__(self) -> str:
        return f"ConfidenceAtLeast({self.probability:g})"


class _Both(Criterion):
    """Two criteria at once."""

    def __init__(self, first: Criterion, second: Criterion) -> None:
        self.first, self.second = first, second
        self.needs_target = first.needs_target or second.needs_target
        self.decides = first.decides or second.decides

    def met(self, scores: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
        return torch.logical_and(self.first.met(scores, labels, targets), self.second.met(scores, labels, targets))

    def __repr__(self) -> str:
        return f"{self.first} & {self.second}"
