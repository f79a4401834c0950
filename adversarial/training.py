"""Learning from pictures that were changed to fool the network: `AdversarialTraining`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.checks import TrainingError, UsageError, unknown

METHODS = ("pgd", "trades")


@dataclass(frozen=True)
class AdversarialTraining:
    """Perturbs each batch within a ball of the largest norm, and learns from what comes out.

    "pgd" minimises the cross-entropy of the perturbed pictures (Madry et al. 2018, equation 2.1); with one step of 1.25
    epsilon from a random start it is the fast training of Wong, Rice and Kolter 2020, algorithm 3. "trades" minimises
    the cross-entropy of the pictures as they are, plus `beta` times the divergence of the perturbed ones' probabilities
    from theirs, and perturbs so as to raise that divergence (Zhang et al. 2019, equation 5 and algorithm 1).

    The perturbation is sought with the network in eval mode, as TRADES does: batch norm then neither sees the half-made
    pictures nor lets one picture's gradient reach another.

    Attributes:
        epsilon: Largest change of a value, in (0, 1].
        steps: Of the search.
        step_size: Of each step; None is 2.5 epsilon / steps, and 1.25 epsilon for a single one.
        method: "pgd" or "trades".
        beta: Weight of the divergence, of "trades" alone.

    Raises:
        UsageError: A number out of range, or an unknown method.

    Example:
        >>> AdversarialTraining(epsilon=0.3, steps=10).step_size_
        0.075
    """

    epsilon: float
    steps: int = 10
    step_size: float | None = None
    method: str = "pgd"
    beta: float = 6.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown("method", self.method, METHODS)
        if not 0 < self.epsilon <= 1:
            fix = "pictures are in [0, 1]: pass epsilon=8 / 255, say"
            raise UsageError("epsilon above 0, up to 1", repr(self.epsilon), fix)
        if not isinstance(self.steps, int) or self.steps < 1:
            raise UsageError("a whole number of steps, 1 or more", repr(self.steps), "pass steps=10, say")
        for name in ("step_size", "beta"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"a {name} above 0", repr(value), f"leave {name} out")

    @property
    def step_size_(self) -> float:
        """The length of a step."""
        return self.step_size or self.epsilon * (1.25 if self.steps == 1 else 2.5 / self.steps)

    def settings(self) -> dict[str, Any]:
        """Return the numbers as plain data."""
        return asdict(self)

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, cross_entropy: Callable[[Tensor, Tensor], Tensor]
    ) -> dict[str, Tensor]:
        """Return the terms of the loss of pictures (N, C, H, W) in [0, 1] with labels (N,).

        Raises:
            TrainingError: Gradients that are not numbers.
        """
        if self.method == "pgd":
            return {"robust": cross_entropy(scores_of(model, self.perturb(model, images, labels)), labels)}
        perturbed = self.perturb(model, images, labels)
        clean, robust = scores_of(model, torch.cat((images, perturbed))).chunk(2)
        return {"class": cross_entropy(clean, labels), "divergence": self.beta * divergence(robust, clean)}

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return pictures within epsilon of `images` on which the network does worse; its gradients stay untouched.

        Raises:
            TrainingError: Gradients that are not numbers.
        """
        plain = getattr(model, "module", model)  # of several processes: no bucket waits for these gradients
        with evaluating(plain), torch.enable_grad():
            clean = None if self.method == "pgd" else scores_of(plain, images).detach()
            found = (images + self.epsilon * (2 * torch.rand_like(images) - 1)).clamp_(0, 1)
            for _ in range(self.steps):
                found.requires_grad_(True)
                scores = scores_of(plain, found)
                loss = F.cross_entropy(scores, labels) if clean is None else divergence(scores, clean)
                (gradient,) = torch.autograd.grad(loss, found)
                if not torch.isfinite(gradient).all():
                    fix = "lower the learning rate, or train with precision='fp32'"
                    raise TrainingError("finite gradients of the pictures", "some that are not", fix)
                with torch.no_grad():
                    moved = found + self.step_size_ * gradient.sign()
                    found = torch.minimum(torch.maximum(moved, images - self.epsilon), images + self.epsilon)
                    found = found.clamp_(0, 1)
        return found.detach()


def scores_of(model: nn.Module, images: Tensor) -> Tensor:
    """Return the scores float32 (N, classes), of a network with several outputs the last classifier's."""
    scores = model(images)
    return (scores[0] if isinstance(scores, tuple) else scores).float()


def divergence(scores: Tensor, clean: Tensor) -> Tensor:
    """Return KL(softmax(clean) || softmax(scores)), the mean over pictures."""
    return F.kl_div(F.log_softmax(scores, 1), F.log_softmax(clean, 1), reduction="batchmean", log_target=True)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a network in eval mode, then every layer in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
