"""Learning from pictures that were changed to fool the network: `AdversarialTraining`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from ..core.checks import TrainingError, UsageError, positive, unknown, whole

METHODS = ("pgd", "trades")
TRADES_START = 0.001
"""Standard deviation of the noise from which TRADES starts: at the picture itself the divergence has no gradient."""


@dataclass(frozen=True)
class AdversarialTraining:
    """Perturbs each batch within a ball of the largest norm, and learns from what comes out.

    "pgd" minimises the cross-entropy of the perturbed pictures (Madry et al. 2018, equation 2.1), which are sought from
    a random start; with one step of 1.25 epsilon it is the fast training of Wong, Rice and Kolter 2020, algorithm 3.
    "trades" minimises the cross-entropy of the pictures as they are, plus `beta` times the divergence of the perturbed
    ones' probabilities from theirs, and perturbs so as to raise that divergence, from x + 0.001 N(0, I) (Zhang et al.
    2019, equation 5 and algorithm 1). Both kinds pass through the network apart, as in the authors' code (yaodongyu/
    TRADES): batch norm takes the pictures' mean and variance from the pictures, the perturbed ones' from those.

    The perturbation is sought with the network in eval mode, as TRADES does: batch norm then neither sees the half-made
    pictures nor lets one picture's gradient reach another.

    Attributes:
        epsilon: Largest change of a value, in (0, 1].
        steps: Of the search.
        step_size: Of each step; None is 2.5 epsilon / steps, and 1.25 epsilon for a single one.
        method: "pgd" or "trades".
        beta: Weight of the divergence, of "trades" alone.
        ramp_epochs: Epochs before the first with the whole epsilon; in the k-th it is k / (ramp_epochs + 1) of it, and
            steps as much shorter. A network that starts at 0.3 on digits may say one class for all of them for epochs.
            Losses and accuracies of these epochs are of an easier task: take the last weights, not the best.

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
    ramp_epochs: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown("method", self.method, METHODS)
        if not isinstance(self.epsilon, Real) or not 0 < self.epsilon <= 1:
            fix = "pictures are in [0, 1]: pass epsilon=8 / 255, say"
            raise UsageError("epsilon above 0, up to 1", repr(self.epsilon), fix)
        whole("steps", self.steps)
        whole("ramp_epochs", self.ramp_epochs, least=0)
        for name in ("step_size", "beta"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))

    @property
    def step_size_(self) -> float:
        """The length of a step."""
        return self.step_size or self.epsilon * (1.25 if self.steps == 1 else 2.5 / self.steps)

    def settings(self) -> dict[str, Any]:
        """Return the numbers as plain data."""
        return asdict(self)

    def at_epoch(self, epoch: int) -> AdversarialTraining:
        """Return what holds in an epoch, counted from 0: before the end of the ramp a smaller epsilon and step."""
        if epoch >= self.ramp_epochs:
            return self
        share = (epoch + 1) / (self.ramp_epochs + 1)
        return replace(self, epsilon=share * self.epsilon, step_size=share * self.step_size_, ramp_epochs=0)

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        cross_entropy: Callable[[Tensor, Tensor], Tensor],
        epoch: int = 0,
    ) -> dict[str, Tensor]:
        """Return the terms of the loss of pictures (N, C, H, W) in [0, 1] with labels (N,).

        Args:
            model: Gives scores (N, classes), or several of which the first count.
            images: What is perturbed.
            labels: Class ids.
            cross_entropy: Of scores and labels.
            epoch: From 0; see `ramp_epochs`.

        Raises:
            TrainingError: Gradients that are not numbers.
        """
        perturbed = self.at_epoch(epoch).perturb(model, images, labels)
        if self.method == "pgd":
            return {"robust": cross_entropy(scores_of(model, perturbed), labels)}
        # Of several processes the second pass goes past their wrapper, which would copy batch norm's buffers once more;
        # the gradients of both passes are summed before they are exchanged (two processes: equal to the last bit).
        clean, robust = scores_of(model, images), scores_of(_unwrapped(model), perturbed)
        return {"class": cross_entropy(clean, labels), "divergence": self.beta * divergence(robust, clean)}

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return pictures within epsilon of `images` on which the network does worse; its gradients stay untouched.

        Raises:
            TrainingError: Gradients that are not numbers.
        """
        plain = _unwrapped(model)  # of several processes: no bucket waits for these gradients
        lowest, highest = (images - self.epsilon).clamp_(0, 1), (images + self.epsilon).clamp_(0, 1)
        finite = []  # looked at once, behind the steps: each look would wait for a GPU
        with evaluating(plain):
            clean, found = self._start(plain, images)
            for _ in range(self.steps):
                with torch.enable_grad():
                    scores = scores_of(plain, found.requires_grad_(True))
                    loss = F.cross_entropy(scores, labels) if clean is None else divergence(scores, clean)
                    (gradient,) = torch.autograd.grad(loss, found)  # of the pictures alone: no weight's is computed
                with torch.no_grad():
                    finite.append(torch.isfinite(gradient).all())
                    found = found + self.step_size_ * gradient.sign_()
                    found = torch.minimum(torch.maximum(found, lowest, out=found), highest, out=found)
        if not torch.stack(finite).all():
            fix = "lower the learning rate, or train with precision='fp32'"
            raise TrainingError("finite gradients of the pictures", "some that are not", fix)
        return found.detach()

    @torch.no_grad()
    def _start(self, model: nn.Module, images: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return the scores to move away from, None for the labels; and where the search begins."""
        if self.method == "pgd":
            return None, (images + self.epsilon * (2 * torch.rand_like(images) - 1)).clamp_(0, 1)
        return scores_of(model, images), (images + TRADES_START * torch.randn_like(images)).clamp_(0, 1)


def adversary_named(words: str) -> AdversarialTraining:
    """Return what words such as "pgd,epsilon=0.3,steps=10" or "trades,epsilon=8/255,beta=4" stand for.

    Args:
        words: A method, and after commas fields of `AdversarialTraining` with their values; epsilon has to be there.

    Raises:
        UsageError: An unknown method or field, a value that is no number or out of range, or no epsilon.
    """
    method, *given = words.split(",")
    if method not in METHODS:
        raise unknown("adversary", method, METHODS)
    known = [field.name for field in fields(AdversarialTraining) if field.name != "method"]
    values: dict[str, Any] = {}
    for text in given:
        name, _, value = text.partition("=")
        if name not in known:
            raise unknown("field of an adversary", name, known)
        try:
            values[name] = int(value) if name in ("steps", "ramp_epochs") else float(Fraction(value))
        except (ValueError, ZeroDivisionError, OverflowError):
            raise UsageError(f"a number for {name}", repr(value), f"write {method},epsilon=8/255,steps=10") from None
    if "epsilon" not in values:
        raise UsageError("an adversary with an epsilon", repr(words), f"write {method},epsilon=8/255")
    return AdversarialTraining(method=method, **values)


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the network that several processes share, or the network itself."""
    return model.module if isinstance(model, DistributedDataParallel) else model


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
