"""What a painting is measured by: content, style and smoothness, each a number without a unit.

    content   |F - C|^2 / |C|^2                      F, C: maps of the painting and of the content
    style     |G - A|^2 / |A|^2                      G, A: Gram matrices of the painting and of the style
    tv        mean (x[i+1, j] - x[i, j])^2 + mean (x[i, j+1] - x[i, j])^2

Differs from Gatys, Ecker and Bethge 2015 (equations 1, 3 and 4) because those grow with the maps' size, channels and
strength: a weight means another thing at each size and layer. Relative to the target it means the same everywhere; at
the start from grey noise each layer's style is near 1. Neighbours of natural pictures differ by about as much at every
size (Ruderman 1994), so that `tv` needs no scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..core import ops

LEAST = 1e-8
"""Below this a target counts as nothing; it keeps the loss of a black picture finite."""


def grams(
    maps: Mapping[str, Tensor], bases: Mapping[str, Tensor], masks: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Compute sums over pixels of products of channels, in the bases in which they are compared.

    Args:
        maps: (1, C, H, W) by layer.
        bases: (C, C) by layer, or none.
        masks: (1, 1, H, W) by layer, in [0, 1]: how much a pixel counts (Gatys et al. 2017, equation 4).

    Returns:
        (C, C) by layer, not divided by anything.
    """
    names = [*maps]
    rows = [maps[name] if masks is None else maps[name] * masks[name].sqrt() for name in names]
    if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
        with ops.kernels("torch"):  # our kernel's table of addresses cannot be recorded
            found = ops.gram(rows, "none")
    else:
        found = ops.gram(rows, "none")
    return {name: _turned(gram[0], bases.get(name)) for name, gram in zip(names, found, strict=True)}


def relative(found: Tensor, target: Tensor) -> Tensor:
    """Return |found - target|^2 / |target|^2."""
    return (found - target).square().sum() / target.square().sum().clamp_min(LEAST)


def total_variation(images: Tensor) -> Tensor:
    """Return the mean squared difference of neighbours, down and to the right."""
    down, right = images.diff(dim=2), images.diff(dim=3)
    return down.square().sum() / max(1, down.numel()) + right.square().sum() / max(1, right.numel())


def mixed(targets: Sequence[Mapping[str, Tensor]], weights: Sequence[float]) -> dict[str, Tensor]:
    """Return the weighted mean of several styles' Gram matrices."""
    total = sum(weights)
    return {
        name: torch.stack([target[name] * (weight / total) for target, weight in zip(targets, weights, strict=True)])
        .sum(0) for name in targets[0]
    }  # fmt: skip


def _turned(gram: Tensor, basis: Tensor | None) -> Tensor:
    return gram if basis is None else basis.T @ gram @ basis
