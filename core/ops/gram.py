"""Gram matrices."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from ..checks import UsageError, unknown
from . import switch
from .switch import operation

DIVISORS = ("none", "pixels", "elements")


@operation("gram", forward=("gram_forward", "sum_parts"), backward=("gram_backward",), limits="first derivatives only")
def gram(features: Sequence[Tensor], divisor: str = "pixels", *, precision: str | None = None) -> list[Tensor]:
    """Compute the Gram matrices of several layers, the style of Gatys, Ecker and Bethge 2015 (equation 1).

    Args:
        features: Maps (N, C, H, W), of one dtype, each layer with its own sizes.
        divisor: What the sums of products are divided by: "none" (the paper puts it into the loss), "pixels" (H * W),
            or "elements" (C * H * W).
        precision: See `conv2d`.

    Returns:
        For each layer (N, C, C), float32 (float64 for float64 maps).

    Raises:
        UsageError: No features, an unknown divisor, maps that are not (N, C, H, W) or not alike.
    """
    if divisor not in DIVISORS:
        raise unknown("divisor", divisor, DIVISORS)
    if len(features) == 0 or any(f.dim() != 4 for f in features):
        got = [tuple(f.shape) for f in features]
        raise UsageError("at least one map (N, C, H, W)", f"shapes {got}", "add a layer or the missing dimension")
    first = {"none": 4, "pixels": 2, "elements": 1}[divisor]
    scales = [1.0 / max(1, prod(f.shape[first:])) for f in features]
    if switch.uses_triton(features[0]):
        from ..kernels import gram as family
        from ..kernels import launch

        return family.gram(features, scales, launch.precision(precision))
    found = []
    for maps, scale in zip(features, scales, strict=True):
        rows = maps.flatten(2)
        rows = rows if rows.dtype == torch.float64 else rows.float()
        found.append(rows @ rows.transpose(1, 2) * scale)
    return found
