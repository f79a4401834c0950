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
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..core import ops

LEAST = 1e-8
"""Below this a target counts as nothing; it keeps the loss of a black picture finite."""


PART = 8192
"""Pixels that are summed at once: of a million in one float32 sum, 8 equal channels were off by 1 %, 16 by 8e-5."""


def grams(
    maps: Mapping[str, Tensor], bases: Mapping[str, Tensor], masks: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Compute sums over pixels of products of channels, in the bases in which they are compared.

    Args:
        maps: (1, C, H, W) by layer.
        bases: (C, C) by layer, or none.
        masks: (1, 1, H, W) by layer, in [0, 1]: how much a pixel counts (Gatys et al. 2017, equation 4).

    Returns:
        (C, C) by layer, not divided by anything; by our kernel on a GPU, by torch in a CUDA graph.
    """
    names = [*maps]
    rows = [maps[name] if masks is None else maps[name] * masks[name].sqrt() for name in names]
    found = ops.gram(rows, "none") if _kernel(rows[0]) else [_Sums.apply(maps) for maps in rows]
    return {name: _turned(gram, bases.get(name)) for name, gram in zip(names, found, strict=True)}


def _kernel(maps: Tensor) -> bool:
    """Whether our kernel sums: not while a CUDA graph is recorded, since its table of layers comes from the host."""
    if not ops.switch.uses_triton(maps):
        return False
    return not (maps.is_cuda and torch.cuda.is_current_stream_capturing())


class _Sums(torch.autograd.Function):
    """Sums of products over the pixels as they lie in memory, channels last.

    By hand, since torch's gradient of `rows.T @ rows` is two products, one of them turned, which every layer below then
    reads across: a step at 256 pixels took 92 ms so, and 77 ms this way (one core of an EPYC, "vgg-distilled").
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        """(1, C, H, W) -> (C, C) in float32, or float64 for float64 maps."""
        ctx.save_for_backward(maps)
        wide = torch.promote_types(maps.dtype, torch.float32)
        parts = (part.to(wide) for part in _rows(maps).split(PART))
        return torch.stack([part.T @ part for part in parts]).sum(0)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """(C, C) -> (1, C, H, W) in the maps' dtype."""
        (maps,) = ctx.saved_tensors
        one, channels, height, width = maps.shape
        found = _rows(maps) @ (gradient + gradient.T).to(maps.dtype)
        return found.view(one, height, width, channels).permute(0, 3, 1, 2)


def _rows(maps: Tensor) -> Tensor:
    """Return (H * W, C), a view of maps that are channels_last."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def relative(found: Tensor, target: Tensor) -> Tensor:
    """Return |found - target|^2 / |target|^2."""
    return (found - target).square().sum() / target.square().sum().clamp_min(LEAST)


def squares(maps: Tensor) -> Tensor:
    """Return the sum of squares, in float32 for maps of half its width."""
    return maps.square().sum(dtype=torch.promote_types(maps.dtype, torch.float32))


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
