"""Losses of segmentation by name, and their sums: "cross_entropy+dice".

Each takes scores (N, K, H, W), class numbers uint8 (N, H, W) where 255 does not count, and weights (K,) of the classes
or None, and gives a scalar; without a pixel that counts it is 0, not NaN. None makes a one-hot map or computes in
float64, but for scores that are float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..core import ops
from ..core.checks import UsageError, unknown
from ..core.datasets.mask_files import IGNORE

SMOOTH = 1.0
"""Pixels that dice adds above and below: a class of five pixels does not swing the batch."""


def cross_entropy(scores: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of -w log p over the pixels that count, divided by their summed weights."""
    if not bool((target != IGNORE).any()):
        return 0 * scores.float().sum()
    # Autocast asks for a loss in float32 of scores in their own type: a copy of them and its gradient in float32 would
    # make 12 bytes a score of 4 in a training with mixed precision.
    half = scores.dtype in (torch.bfloat16, torch.float16)
    with torch.autocast(scores.device.type, scores.dtype if half else None, enabled=half):
        return ops.cross_entropy(scores, target, weight, ignore_index=IGNORE)


def focal(scores: Tensor, target: Tensor, weight: Tensor | None = None, *, gamma: float = 2.0) -> Tensor:
    """Cross-entropy times (1 - p)^gamma: pixels that are right already count less (Lin et al. 2017, equation 4)."""
    plain, own = _pixels(scores, target, weight)
    return (own * (1 - torch.exp(-plain)).clamp(min=0) ** gamma * plain).sum() / own.sum().clamp(min=1e-12)


def ohem(
    scores: Tensor, target: Tensor, weight: Tensor | None = None, *, threshold: float = 0.7, least: float = 1 / 16
) -> Tensor:
    """Cross-entropy of the hard pixels only (Shrivastava et al. 2016, by pixel as Wu et al. 2016, section 3.2).

    Args:
        scores: (N, K, H, W).
        target: uint8 (N, H, W).
        weight: (K,).
        threshold: A pixel is hard where its true class has a probability below this.
        least: Share of the pixels that is kept at least, the hardest.
    """
    plain, own = _pixels(scores, target, weight)
    if not len(plain):
        return plain.sum()
    count = max(1, round(least * len(plain)))
    limit = torch.topk(plain.detach(), count).values[-1].clamp(max=-math.log(threshold))
    kept = plain.detach() >= limit
    return (own * plain)[kept].sum() / own[kept].sum().clamp(min=1e-12)


def dice(scores: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """One minus soft dice, 2 sum(p t) / (sum p + sum t), over the batch, averaged over the classes that are in it.

    Source: Milletari et al. 2016, equation 1, one class at a time and without the squares.
    """
    classes, probabilities = scores.shape[1], _full(scores).softmax(1)
    inside, index = _split(target)
    own = probabilities.gather(1, index.unsqueeze(1)).squeeze(1)[inside]
    shared = own.new_zeros(classes).index_add(0, index[inside], own)
    truth = torch.bincount(index[inside], minlength=classes).to(own)
    total = torch.einsum("nkhw,nhw->k", probabilities, inside.to(own)) + truth
    return _over_classes(1 - (2 * shared + SMOOTH) / (total + SMOOTH), truth > 0, weight)


def lovasz(scores: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """The Lovasz extension of 1 - IoU, over the batch, averaged over the classes in it (Berman et al. 2018, eq. 11)."""
    inside, _ = _split(target)
    rows = _full(scores).softmax(1).movedim(1, -1)[inside]
    labels = target[inside]
    losses, present = [], []
    for number in range(scores.shape[1]):
        truth = labels == number
        present.append(truth.any())
        errors, order = (truth.to(rows) - rows[:, number]).abs().sort(descending=True)
        losses.append(errors @ _jaccard_steps(truth[order].to(rows)) if bool(present[-1]) else 0 * errors.sum())
    return _over_classes(torch.stack(losses), torch.stack(present), weight)


def _jaccard_steps(truth: Tensor) -> Tensor:
    """What each error, from the largest, adds to 1 - IoU (Berman et al. 2018, algorithm 1): (P,) of 0 and 1 -> (P,)."""
    total = truth.sum()
    jaccard = 1 - (total - truth.cumsum(0)) / (total + (1 - truth).cumsum(0))
    return torch.cat((jaccard[:1], jaccard[1:] - jaccard[:-1]))


LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "ohem": ohem,
    "dice": dice,
    "lovasz": lovasz,
}
"""Losses by name."""


def loss_names(text: str) -> tuple[str, ...]:
    """Split "cross_entropy+dice" into names of `LOSSES`.

    Raises:
        UsageError: An unknown name, or one that comes twice.
    """
    names = tuple(part.strip() for part in text.split("+"))
    for name in names:
        if name not in LOSSES:
            raise unknown("loss", name, LOSSES)
    if len(set(names)) < len(names):
        raise UsageError("each loss once", repr(text), "leave the second one out")
    return names


@dataclass
class SegmentationLoss:
    """The loss of one batch: "images" uint8 (N, 3, H, W), "masks" uint8 (N, H, W).

    A network in training gives scores at a part of the size of its pictures; each of them is compared with one pixel
    of the square that it stands for, drawn anew in each step, so that on average none is preferred.

    Attributes:
        loss: Names of `LOSSES` joined by "+".
        weights: (K,) weights of the classes, or None.
    """

    loss: str = "cross_entropy"
    weights: Tensor | None = None
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.names = loss_names(self.loss)

    def __call__(self, model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
        images, target = batch["images"].float() / 255, batch["masks"]
        scores = model(images.contiguous(memory_format=torch.channels_last))
        step = target.shape[1] // scores.shape[2]
        top, left = torch.randint(step, (2,)).tolist() if step > 1 else (0, 0)
        target = target[:, top::step, left::step].contiguous()
        weights = None if self.weights is None else self.weights.to(scores.device)
        with torch.autocast(scores.device.type, enabled=False):
            return {name: LOSSES[name](scores, target, weights) for name in self.names}


def _full(scores: Tensor) -> Tensor:
    """Half precision becomes float32: sums over 10^5 pixels lose everything in eight bits."""
    return scores if scores.dtype == torch.float64 else scores.float()


def _split(target: Tensor) -> tuple[Tensor, Tensor]:
    """Return which pixels count, bool, and the class numbers, int64, with 0 where none counts."""
    inside = target != IGNORE
    return inside, target.long() * inside


def _pixels(scores: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return cross-entropy and class weight of each pixel that counts, both (P,)."""
    inside, index = _split(target)
    full = _full(scores)
    plain = ops.cross_entropy(full, target, ignore_index=IGNORE, reduction="none")[inside]
    return plain, torch.ones_like(plain) if weight is None else weight.to(plain)[index[inside]]


def _over_classes(losses: Tensor, present: Tensor, weight: Tensor | None) -> Tensor:
    """Average (K,) over the classes that are there."""
    share = present.to(losses) * (1 if weight is None else weight.to(losses))
    return (losses * share).sum() / share.sum().clamp(min=1e-12)
