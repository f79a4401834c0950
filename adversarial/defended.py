"""Defences that change pictures before a model sees them, and the attack that goes through them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.checks import ModelError, UsageError
from ..core.images import encode_image, load_image, to_image, to_tensor
from .victims import victim

Defence = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Picture uint8 (H, W, 3) -> picture of the same size."""


class Defended:
    """A model behind a defence that picks one of several transformations by chance; it answers with their mean.

    Gradients are the expectation over the transformations (EOT, Athalye, Engstrom, Ilyas and Kwok 2018, equation 2),
    each passed backwards as if it were the identity (BPDA, Athalye, Carlini and Wagner 2018, section 4.1). So the
    defence is attacked as one who knows it would, and what is left of it is not due to hidden gradients.

    Args:
        model: One that gives gradients; see `Attack.run`.
        defences: At least one; see `jpeg`, `blur` and `bit_depth`.

    Raises:
        ModelError: A model without gradients. UsageError: No defence.
    """

    gives = "gradients"

    def __init__(self, model: Any, defences: Sequence[Defence]) -> None:
        self.victim, self.defences = victim(model), tuple(defences)
        if self.victim.gives != "gradients":
            fix = "attack it by decisions, behind BlackBox"
            raise ModelError("a model that gives gradients", f"one that gives {self.victim.gives}", fix)
        if not self.defences:
            raise UsageError("at least one defence", "none", "pass [jpeg(75)], say")
        self.names, self.device = self.victim.names, self.victim.device

    def scores(self, pictures: Tensor) -> Tensor:
        """Return the mean logits over the transformations, differentiable as if each were the identity."""
        images = [to_image(one) for one in pictures]
        rows = []
        for defence in self.defences:
            changed = to_tensor([defence(image) for image in images]).to(pictures.device)
            rows.append(self.victim.scores(pictures + (changed - pictures).detach()))
        return torch.stack(rows).mean(0)

    def seen(self, height: int, width: int) -> Tensor | None:
        """Return which pixels the model below sees, bool (1, 1, H, W); None for all.

        A defence may carry a change over their edge, by a few pixels; it starts inside all the same.
        """
        return self.victim.seen(height, width)

    def probabilities(self, pictures: Sequence[Any]) -> NDArray[np.float32]:
        """Return the mean probabilities of the model itself."""
        images = [load_image(one) for one in pictures]
        answers = [self.victim.probabilities([defence(image) for image in images]) for defence in self.defences]
        return np.mean(answers, axis=0, dtype=np.float32)

    def predict_proba(self, pictures: list[Any]) -> NDArray[np.float32]:
        """As `probabilities`, so that it is a model like others."""
        return self.probabilities(pictures)

    def check(self, pictures: list[NDArray[np.uint8]], answers: NDArray[np.float32]) -> None:
        """Compare the wrapper below with its model, on defended pictures."""
        changed = [self.defences[0](image) for image in pictures]
        self.victim.check(changed, self.victim.probabilities(changed))


def jpeg(quality: int) -> Defence:
    """Save as JPEG and load again (Dziugaite, Ghahramani and Roy 2016)."""
    if not 1 <= quality <= 100:
        raise UsageError("a quality from 1 to 100", repr(quality), "pass 75, say")
    return lambda image: load_image(encode_image(image, "jpeg", quality=quality))


def blur(sigma: float) -> Defence:
    """Blur with a Gaussian of that standard deviation, in pixels."""
    if not 0 < sigma < float("inf"):
        raise UsageError("a sigma above 0", repr(sigma), "pass 1.0, say")
    return lambda image: np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.uint8)


def bit_depth(bits: int) -> Defence:
    """Keep so many bits of each value (feature squeezing: Xu, Evans and Qi 2018, section III.A)."""
    if not 1 <= bits <= 8:
        raise UsageError("1 to 8 bits", repr(bits), "pass 4, say")
    levels = 2**bits - 1
    return lambda image: np.rint(np.rint(image / 255 * levels) / levels * 255).astype(np.uint8)
