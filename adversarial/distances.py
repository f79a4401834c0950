"""How far two pictures are apart: L0, L1, L2 and Linf, each with its ball, its steepest direction, its random point.

Pictures are float (N, 3, H, W) in [0, 1]; a distance is a number for each picture, in those units.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from ..core.checks import UsageError, unknown

TINY = 1e-12
SLACK = 1e-5
"""Of a radius in units of 1/255, for budgets such as 8/255 that floats hold to 1e-7 only."""


class Distance(ABC):
    """A norm of the difference of two pictures.

    Attributes:
        name: "l0", "l1", "l2" or "linf".
        usual: The budget where none is asked for.
    """

    name: ClassVar[str]
    usual: ClassVar[float]

    def between(self, pictures: Tensor, originals: Tensor) -> Tensor:
        """Return the distance of each pair, float (N,)."""
        return self.norm(pictures - originals)

    @abstractmethod
    def norm(self, deltas: Tensor) -> Tensor:
        """Return the norm of each difference, float (N,)."""

    @abstractmethod
    def project(self, deltas: Tensor, epsilon: Tensor) -> Tensor:
        """Return the nearest differences inside the balls of radius `epsilon` (N,)."""

    def direction(self, gradients: Tensor) -> Tensor:
        """Return the differences of norm 1 along which a linear function grows fastest."""
        raise UsageError("a distance with a steepest direction (l1, l2, linf)", self.name, "choose one of those")

    def random(self, uniform: Tensor, normal: Tensor, radius: Tensor, epsilon: Tensor) -> Tensor:
        """Return differences inside the balls of radius `epsilon` (N,).

        Args:
            uniform: Numbers in [0, 1), of the differences' shape.
            normal: Standard normal ones of that shape, with zeros where nothing may change.
            radius: Numbers in [0, 1) for the lengths, (N,).
            epsilon: Radii of the balls, (N,).
        """
        raise UsageError("a distance with a random start (l1, l2, linf)", self.name, "pass random_start=False")

    def levels(self, epsilon: float) -> float:
        """Return the radius to search in, for pictures of 8 bits: in Linf the whole levels of 1/255 that are in it.

        What an attack finds between two levels is lost in rounding: with 8.9/255 as radius, changes of 8.9 levels fool,
        and the 8 that may be saved do not.
        """
        return epsilon

    def __repr__(self) -> str:
        return self.name


class Linf(Distance):
    """The largest change of a value."""

    name = "linf"
    usual = 8 / 255

    def norm(self, deltas: Tensor) -> Tensor:
        return deltas.abs().flatten(1).amax(1)

    def project(self, deltas: Tensor, epsilon: Tensor) -> Tensor:
        radius = _wide(epsilon)
        return deltas.clamp(-radius, radius)

    def direction(self, gradients: Tensor) -> Tensor:
        return gradients.sign()

    def random(self, uniform: Tensor, normal: Tensor, radius: Tensor, epsilon: Tensor) -> Tensor:
        return (2 * uniform - 1) * _wide(epsilon)

    def levels(self, epsilon: float) -> float:
        return math.floor(epsilon * 255 + SLACK) / 255


class L2(Distance):
    """The root of the sum of squares."""

    name = "l2"
    usual = 0.5

    def norm(self, deltas: Tensor) -> Tensor:
        return deltas.flatten(1).norm(dim=1)

    def project(self, deltas: Tensor, epsilon: Tensor) -> Tensor:
        return deltas * _wide((epsilon / self.norm(deltas).clamp(min=TINY)).clamp(max=1))

    def direction(self, gradients: Tensor) -> Tensor:
        return gradients / _wide(self.norm(gradients).clamp(min=TINY))

    def random(self, uniform: Tensor, normal: Tensor, radius: Tensor, epsilon: Tensor) -> Tensor:
        """Return points spread evenly over the ball: a direction, and a radius whose power D is uniform."""
        return self.direction(normal) * _wide(radius ** (1 / normal[0].numel()) * epsilon)


class L1(Distance):
    """The sum of all changes."""

    name = "l1"
    usual = 12.0
    steepest = 0.01
    """Share of the values that a step moves: Tramer and Boneh 2019, section 3.2 (SLIDE), q = 99 %."""

    def norm(self, deltas: Tensor) -> Tensor:
        return deltas.abs().flatten(1).sum(1)

    def project(self, deltas: Tensor, epsilon: Tensor) -> Tensor:
        """Project as Duchi et al. 2008, figure 1: soft thresholding by what makes the sum right."""
        flat = deltas.flatten(1).abs()
        ordered = flat.sort(1, descending=True).values
        ranks = torch.arange(1, flat.shape[1] + 1, device=flat.device)
        over = (ordered.cumsum(1) - epsilon[:, None]) / ranks
        last = (ordered > over).sum(1, keepdim=True).clamp(min=1) - 1
        threshold = over.gather(1, last).clamp(min=0)
        return ((flat - threshold).clamp(min=0) * deltas.flatten(1).sign()).view_as(deltas)

    def direction(self, gradients: Tensor) -> Tensor:
        flat = gradients.flatten(1)
        count = max(1, round(self.steepest * flat.shape[1]))
        places = flat.abs().topk(count, 1).indices
        return torch.zeros_like(flat).scatter(1, places, flat.gather(1, places).sign() / count).view_as(gradients)

    def random(self, uniform: Tensor, normal: Tensor, radius: Tensor, epsilon: Tensor) -> Tensor:
        """Return points whose L1 norm is uniform up to epsilon, with exponential magnitudes."""
        drawn = -uniform.clamp(min=TINY).log() * normal.sign()
        return drawn * _wide(radius * epsilon / self.norm(drawn).clamp(min=TINY))


class L0(Distance):
    """The number of pixels that changed; the three values of a pixel count once."""

    name = "l0"
    usual = 10.0

    def norm(self, deltas: Tensor) -> Tensor:
        return (deltas != 0).any(1).flatten(1).sum(1).to(deltas.dtype)

    def project(self, deltas: Tensor, epsilon: Tensor) -> Tensor:
        """Keep the pixels that changed most."""
        size = deltas.abs().sum(1).flatten(1)
        ranks = size.argsort(1, descending=True).argsort(1)
        return deltas * (ranks < epsilon.floor()[:, None]).view(len(deltas), 1, *deltas.shape[2:])


DISTANCES: dict[str, Distance] = {one.name: one for one in (L0(), L1(), L2(), Linf())}
"""By name."""


def distance_named(name: str | Distance, known: tuple[str, ...] = tuple(DISTANCES)) -> Distance:
    """Return a distance by name.

    Raises:
        UsageError: A name that is not among `known`.
    """
    if isinstance(name, Distance):
        name = name.name
    if name not in known:
        raise unknown("distance", name, known)
    return DISTANCES[name]


def _wide(numbers: Tensor) -> Tensor:
    return numbers[:, None, None, None]
