"""The loss of one batch of `ClassPictures`: augmentation on the device, mixing, cross-entropy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from . import ops
from .augment_batch import BatchAugmentation, augment_batch, mix_batch
from .checks import UsageError
from .counter_random import uniforms


class Adversary(Protocol):
    """Changes pictures so as to fool the network that learns from them; `adversarial.AdversarialTraining` is one."""

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        cross_entropy: Callable[[Tensor, Tensor], Tensor],
        epoch: int,
    ) -> dict[str, Tensor]:
        """Return the terms of the loss of pictures (N, C, H, W) in [0, 1] with labels (N,); epochs count from 0."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return what must be the same when a training is resumed, as plain data."""
        ...


@dataclass
class ClassLoss:
    """Augments a batch and compares the network's scores with the labels.

    Attributes:
        augmentation: How pictures are changed; a function of (seed, epoch, picture).
        image_size: Side of the square that the network sees.
        classes: Number of classes.
        seed: Seed of the augmentation.
        smoothing: Label smoothing.
        weights: (classes,) weights, or None.
        l1: Strength of the sum of absolute weights.
        adversary: Changes the pictures after the augmentation, and says what is to be learnt from them; or None.

    Raises:
        UsageError: An adversary together with mixed pictures, which have no one label to lead away from.
    """

    augmentation: BatchAugmentation
    image_size: int
    classes: int
    seed: int = 0
    smoothing: float = 0.0
    weights: Tensor | None = None
    l1: float = 0.0
    adversary: Adversary | None = None

    def __post_init__(self) -> None:
        if self.adversary is not None and (self.augmentation.mixup or self.augmentation.cutmix):
            got, fix = "an adversary with mixup or cutmix", "drop one of them: a mixed picture has no one label"
            raise UsageError("an adversary, or mixed pictures", got, fix)

    def __call__(self, model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
        images, labels = self._changed(batch), batch["labels"]
        weights = None if self.weights is None else self.weights.to(images.device)
        if self.adversary is not None:

            def cross_entropy(scores: Tensor, truth: Tensor) -> Tensor:
                return self._cross_entropy(scores, truth, weights)

            terms = self.adversary(model, images, labels, cross_entropy, batch["epoch"])
        else:
            terms = {"class": self._class_loss(model, images, labels, weights, batch)}
        if self.l1:
            terms["l1"] = self.l1 * torch.stack([p.abs().sum() for p in model.parameters() if p.ndim > 1]).sum()
        return terms

    def _class_loss(
        self, model: nn.Module, images: Tensor, labels: Tensor, weights: Tensor | None, batch: dict[str, Any]
    ) -> Tensor:
        if self.augmentation.mixup or self.augmentation.cutmix:
            key = uniforms(self.seed, -1 - batch["epoch"], batch["indices"][:1].cpu().numpy(), 1)
            generator = torch.Generator().manual_seed(int(key[0, 0] * 2**24))
            shares = torch.nn.functional.one_hot(labels, self.classes).float()
            images, shares = mix_batch(images, shares, self.augmentation, generator)
            scores = model(images)
            scores = (scores[0] if isinstance(scores, tuple) else scores).float()
            return torch.nn.functional.cross_entropy(scores, shares, weights, label_smoothing=self.smoothing)
        scores = model(images)
        more = scores[1:] if isinstance(scores, tuple) else ()
        loss = self._cross_entropy(scores[0] if more else scores, labels, weights)
        for early in more:  # GoogLeNet's classifiers in the middle count 0.3 (Szegedy et al. 2015, section 5)
            loss = loss + 0.3 * self._cross_entropy(early, labels, weights)
        return loss

    def _cross_entropy(self, scores: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        return ops.cross_entropy(scores.float(), labels, weights, label_smoothing=self.smoothing)

    def _changed(self, batch: dict[str, Any]) -> Tensor:
        images = batch["images"].float() / 255
        size = (self.image_size, self.image_size)
        rows = uniforms(self.seed, batch["epoch"], batch["indices"].cpu().numpy(), self.augmentation.numbers(*size))
        numbers = torch.from_numpy(np.ascontiguousarray(rows)).to(images.device)
        changed = augment_batch(images, numbers, self.augmentation, size)
        return changed.contiguous(memory_format=torch.channels_last)
