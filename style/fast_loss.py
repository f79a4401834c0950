"""What a network that paints in one pass is trained on: `objective`'s parts, of a batch of paintings.

Johnson, Alahi and Fei-Fei 2016, equations 2 to 5, each part relative to its target as in `losses`: the figures of a
network and of a picture that was descended on with the same weights can be compared.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core import ops
from ..core.batches import Batch
from ..core.images import Source, load_image, resize, to_tensor
from .fast_network import FastNetwork
from .fast_strips import paint_in_strips
from .features import Features
from .losses import LEAST, grams, total_variation
from .objective import Grams, Weights
from .scales import fitted

SHORTEST = 64
"""Side of a picture that is measured: VGG's last maps have 4 x 4 of them."""


class FastLoss:
    """(network, batch) -> {"content", "style", "tv"}, weights included, means over the batch.

    Args:
        features: Whose maps are compared.
        weights: Of the parts.
        target: The style's Gram matrices over pixels.
        bfloat16: Compute the features in 16 bits; Gram matrices and differences are float32.
    """

    def __init__(self, features: Features, weights: Weights, target: Grams, *, bfloat16: bool = False) -> None:
        self.features, self.weights, self.target, self.bfloat16 = features, weights, target, bfloat16

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Paint a batch and measure the paintings."""
        return self.parts(batch["images"], network(batch["images"]))

    def parts(self, images: Tensor, painted: Tensor) -> dict[str, Tensor]:
        """Measure paintings (N, 3, H, W) of pictures of the same shape."""
        weights = self.weights
        with torch.no_grad():
            wanted = self._maps(images, [*weights.content_layers]) if weights.content else {}
        maps = self._maps(painted, weights.layers)
        found = {}
        if weights.content:
            total = sum(weights.content_layers.values())
            parts = [share / total * _relative(maps[n], wanted[n]) for n, share in weights.content_layers.items()]
            found["content"] = weights.content * torch.stack(parts).sum()
        if weights.style:
            found["style"] = weights.style * self._style(maps)
        if weights.tv:
            found["tv"] = weights.tv * total_variation(painted)
        return found

    def _style(self, maps: dict[str, Tensor]) -> Tensor:
        layers = self.weights.style_layers
        own = ops.gram([maps[name] for name in layers])
        parts = []
        for (name, share), gram in zip(layers.items(), own, strict=True):
            basis = self.features.turns.get(name)
            turned = gram if basis is None else basis.T @ gram @ basis
            parts.append(share / sum(layers.values()) * _relative(turned, self.target[name].to(gram.device)[None]))
        return torch.stack(parts).sum()

    def _maps(self, images: Tensor, names: list[str]) -> dict[str, Tensor]:
        if self.features.mean.device != images.device:
            self.features.to(images.device)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bfloat16):
            maps = self.features(images, names)
        return {name: found.float() for name, found in maps.items()}


@torch.no_grad()
def style_target(features: Features, weights: Weights, style: NDArray[np.uint8], side: int) -> Grams:
    """Return a style's Gram matrices over pixels, in the bases in which they are compared.

    Args:
        features: Of the loss.
        weights: Of the loss.
        style: uint8 (H, W, 3).
        side: The longer side that it is reduced to.
    """
    names, least = [*weights.style_layers], features.least_side(weights.layers)
    height, width = fitted(style.shape[0], style.shape[1], min(side, max(style.shape[:2])))
    maps = features(to_tensor(resize(style, (max(least, height), max(least, width)))), names)
    return {name: gram / maps[name][0, 0].numel() for name, gram in grams(maps, features.turns).items()}


def small(source: Source, side: int) -> Tensor:
    """Return a picture for measuring, (1, 3, H, W): no longer than a side, none so short that it has no maps."""
    image = load_image(source)
    height, width = fitted(image.shape[0], image.shape[1], min(side, max(image.shape[:2])))
    return to_tensor(resize(image, (max(SHORTEST, height), max(SHORTEST, width))))


@torch.no_grad()
def measure(network: nn.Module, loss: FastLoss, content: Tensor) -> tuple[dict[str, float], Tensor]:
    """Paint a picture (1, 3, H, W); return its figures and the painting.

    The figures are "loss" and its parts, weights included, and "style_before", the style's part of the picture itself.
    """
    content = content.to(next(network.parameters()).device)
    painted = paint_in_strips(cast(FastNetwork, network), content)
    parts = {name: float(value) for name, value in loss.parts(content, painted).items()}
    before = float(loss.parts(content, content).get("style", 0.0))
    return {"loss": sum(parts.values()), **parts, "style_before": before}, painted


def _relative(found: Tensor, target: Tensor) -> Tensor:
    """Return |found - target|^2 / |target|^2 of each of a batch, on average."""
    dims = tuple(range(1, target.dim()))
    return ((found - target).square().sum(dims) / target.square().sum(dims).clamp_min(LEAST)).mean()
