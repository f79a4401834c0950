"""Universal: one perturbation for many pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.checks import ImageError, ModelError, UsageError, fraction, whole
from ..core.images import Source, load_image
from .attack import Attack
from .deepfool import DeepFool
from .distances import Distance, distance_named
from .eight_bits import stepped, whole_levels
from .inputs import own_epsilon
from .problem import Problem


class Universal(Attack):
    """One perturbation v that fools the model on most pictures: v <- P(v + the shortest way out of x_i + v), for all i.

    Moosavi-Dezfooli, Fawzi, Fawzi and Frossard 2017, Universal adversarial perturbations, algorithm 1; the shortest way
    is DeepFool's. It stops when `share` of the pictures are fooled, or after `passes`. Differs from it in going over
    the pictures a few at a time, whose ways are added before v is projected; and in rounding v once to whole levels of
    1/255 inside the ball, so that saved pictures differ by one and the same v wherever they do not meet 0 or 1.
    Pictures of a run share v: all of one size, and as many as stand in one batch (256). `transform` adds it to others.

    Args:
        distance: "linf" or "l2".
        epsilon: Budget; None is the distance's usual one, 8/255 or 0.5.
        passes: Over all pictures, most of them.
        share: Of the pictures to be fooled.
        batch_size: Pictures whose ways are added.
        steps: Of DeepFool.

    Attributes:
        perturbation_: v of the last run, float32 (3, H, W) on the CPU, in whole levels of 1/255; of its last budget,
            size and batch where it had several.
    """

    stretches = (1.0,)
    perturbation_: Tensor

    def __init__(
        self, *, distance: str = "linf", epsilon: float | None = None, passes: int = 10, share: float = 0.9,
        batch_size: int = 4, steps: int = 10,
    ) -> None:  # fmt: skip
        self.distance: Distance = distance_named(distance, ("linf", "l2"))
        fraction("share", share)
        for name, value in (("passes", passes), ("batch_size", batch_size), ("steps", steps)):
            whole(name, value)
        self.epsilon, self.passes, self.share = own_epsilon(epsilon, self.distance), passes, share
        self.batch_size, self.steps = batch_size, steps

    def perturb(self, problem: Problem) -> Tensor:
        """Find v, keep it as `perturbation_`, and add it to every picture."""
        if problem.class_goal.targets is not None:
            raise UsageError("no target for a universal perturbation", "one", "leave target out, or choose pgd")
        v, most = torch.zeros_like(problem.originals[:1]), -1.0
        best, way = v, DeepFool(steps=self.steps, halvings=0, candidates=min(10, len(problem.victim.names)))
        for number in range(self.passes + 1):
            steps = whole_levels(self.distance, v, problem.epsilon[:1])
            fooled = problem.met(problem.boxed(stepped(problem.originals, steps)))
            if float(fooled.float().mean()) > most:
                best, most = steps, float(fooled.float().mean())
            problem.tell(self.name, number, self.passes, fooled)
            if most >= self.share or number == self.passes:
                break
            for rows in (~fooled).nonzero()[:, 0].split(self.batch_size):
                v = self._further(problem[rows], v, way)
        self.perturbation_ = (best[0] / 255).cpu()
        return problem.boxed(stepped(problem.originals, best))

    @overload
    def transform(self, images: list[Source]) -> list[NDArray[np.uint8]]: ...

    @overload
    def transform(self, images: Source) -> NDArray[np.uint8]: ...

    def transform(self, images: Source | list[Source]) -> NDArray[np.uint8] | list[NDArray[np.uint8]]:
        """Add `perturbation_` to pictures, such as it was not made from, and clip them: new ones, uint8 (H, W, 3).

        Args:
            images: A picture or a list, of the perturbation's size; see `core.images.load_image`.

        Raises:
            ModelError: No run yet.
            ImageError: A picture of another size, or one that cannot be read.

        Example:
            >>> attack = Universal()
            >>> attack.perturbation_ = torch.full((3, 2, 2), 8 / 255)
            >>> attack.transform(np.full((2, 2, 3), 250, np.uint8))[0, 0].tolist()
            [255, 255, 255]
        """
        if not hasattr(self, "perturbation_"):
            raise ModelError("a perturbation", "an attack that was not run", "call run with pictures to make it from")
        moved = [self._moved(load_image(one)) for one in (images if isinstance(images, list) else [images])]
        return moved if isinstance(images, list) else moved[0]

    def _moved(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        steps = (self.perturbation_ * 255).round().permute(1, 2, 0).numpy().astype(np.int64)
        if image.shape != steps.shape:
            size, got = ("{1} x {0}".format(*shape) for shape in (steps.shape, image.shape))
            raise ImageError(f"a picture of {size} pixels, as the perturbation", got, "resize it first")
        return (image + steps).clip(0, 255).astype(np.uint8)

    def _further(self, part: Problem, v: Tensor, way: DeepFool) -> Tensor:
        """Add the ways out of some pictures that v does not fool yet."""
        moved = part.project(part.originals + v)
        left = ~part.met(moved)
        if not left.any():
            return v
        there = replace(part[left], originals=moved[left], epsilon=torch.full_like(part.epsilon[left], float("inf")))
        added = v + (way.perturb(there) - moved[left]).sum(0, keepdim=True)
        return self.distance.project(added, part.epsilon[:1])
