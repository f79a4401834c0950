"""Defences that change pictures before a model sees them, and the attack that goes through them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..core.checks import ModelError, UsageError, unknown
from ..core.images import encode_image, load_image, to_image, to_tensor
from .geometry import mirrored
from .victims import victim

Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Picture uint8 (H, W, 3) -> picture of the same size; any such function is a defence, attacked as the identity."""


@dataclass(frozen=True)
class Defence:
    """A change of pictures that says how it is to be differentiated.

    Attributes:
        name: As the command line writes it, such as "jpeg:75".
        change: What it does, uint8 (H, W, 3) -> uint8 (H, W, 3).
        smooth: The same without its rounding, float (N, 3, H, W) -> (N, 3, H, W), where it can be differentiated;
            None where only the identity can stand for it.
    """

    name: str
    change: Change
    smooth: Callable[[Tensor], Tensor] | None = None

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the changed picture."""
        return self.change(image)


class Defended:
    """A model behind a defence that picks one of several transformations by chance; it answers with their mean.

    Gradients are the expectation over the transformations (EOT, Athalye, Engstrom, Ilyas and Kwok 2018, equation 2).
    Backwards each is what its `smooth` says, the rounding left out, or the identity where it has none (BPDA, Athalye,
    Carlini and Wagner 2018, section 4.1); forwards it is always the defence itself. So the defence is attacked as one
    who knows it would; whether what it withstands is still due to hidden gradients, `check_gradients` asks.

    Args:
        model: One that gives gradients; see `Attack.run`.
        defences: At least one; see `jpeg`, `blur` and `bit_depth`.

    Raises:
        ModelError: A model without gradients. UsageError: No defence.
    """

    gives = "gradients"

    def __init__(self, model: Any, defences: Sequence[Change]) -> None:
        self.victim, self.defences = victim(model), tuple(defences)
        if self.victim.gives != "gradients":
            fix = "attack it by decisions, behind BlackBox"
            raise ModelError("a model that gives gradients", f"one that gives {self.victim.gives}", fix)
        if not self.defences:
            raise UsageError("at least one defence", "none", "pass [jpeg(75)], say")
        self.names, self.device = self.victim.names, self.victim.device

    def scores(self, pictures: Tensor) -> Tensor:
        """Return logarithms of the mean probabilities over the transformations, differentiable as the class says."""
        images = [to_image(one) for one in pictures]
        rows = []
        for defence in self.defences:
            changed = to_tensor([defence(image) for image in images]).to(pictures.device)
            smooth = getattr(defence, "smooth", None)
            slope = pictures if smooth is None else smooth(pictures)
            rows.append(self.victim.scores(slope + (changed - slope).detach()).log_softmax(1))
        return torch.stack(rows).logsumexp(0) - math.log(len(rows))

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
        for defence in self.defences:
            changed = [defence(image) for image in pictures]
            self.victim.check(changed, self.victim.probabilities(changed))


def jpeg(quality: int) -> Defence:
    """Save as JPEG and load again (Dziugaite, Ghahramani and Roy 2016); 1 to 100.

    Raises:
        UsageError: Another quality.
    """
    if not 1 <= quality <= 100:
        raise UsageError("a quality from 1 to 100", repr(quality), "pass 75, say")
    return Defence(f"jpeg:{quality}", lambda image: load_image(encode_image(image, "jpeg", quality=quality)))


def blur(sigma: float) -> Defence:
    """Blur with a Gaussian of that standard deviation, in pixels, mirrored at the edges; its gradient is its own.

    Raises:
        UsageError: No finite number above 0.
    """
    if not 0 < sigma < float("inf"):
        raise UsageError("a sigma above 0", repr(sigma), "pass 1.0, say")
    side = round(6 * sigma + 1) | 1  # what OpenCV takes for 8 bits
    kernel = torch.from_numpy(cv2.getGaussianKernel(side, sigma))[:, 0]

    def change(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101), np.uint8)

    return Defence(f"blur:{sigma:g}", change, lambda pictures: _blurred(pictures, kernel))


def bit_depth(bits: int) -> Defence:
    """Keep so many bits of each value, 1 to 8 (feature squeezing: Xu, Evans and Qi 2018, section III.A).

    Raises:
        UsageError: Another number.
    """
    if not 1 <= bits <= 8:
        raise UsageError("1 to 8 bits", repr(bits), "pass 4, say")
    levels = 2**bits - 1
    return Defence(f"bits:{bits}", lambda image: np.rint(np.rint(image / 255 * levels) / levels * 255).astype(np.uint8))


DEFENCES: dict[str, tuple[Callable[[Any], Defence], type]] = {
    "jpeg": (jpeg, int),
    "blur": (blur, float),
    "bits": (bit_depth, int),
}
"""By the name that the command line knows: what makes it, of a number of which type."""


def defence_named(words: str) -> Defence:
    """Return what words such as "jpeg:75", "blur:1.5" or "bits:3" stand for.

    Raises:
        UsageError: An unknown defence, no number, or one out of range.
    """
    name, _, value = words.partition(":")
    if name not in DEFENCES:
        raise unknown("defence", name, DEFENCES)
    make, kind = DEFENCES[name]
    try:
        strength = kind(value)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise UsageError(f"{name} with {wanted}", repr(words), "write jpeg:75, blur:1.5 or bits:3") from None
    return make(strength)


def _blurred(pictures: Tensor, kernel: Tensor) -> Tensor:
    """Convolve pictures (N, C, H, W) along both axes with a kernel (K,), mirrored at the edges as OpenCV mirrors."""
    pad, weights = len(kernel) // 2, kernel.to(pictures)
    rows, columns = (mirrored(length, pad, pad).to(pictures.device) for length in pictures.shape[2:])
    planes = pictures[:, :, rows][:, :, :, columns].flatten(0, 1)[:, None]
    blurred = F.conv2d(F.conv2d(planes, weights[None, None, :, None]), weights[None, None, None])
    return blurred.view(pictures.shape)
