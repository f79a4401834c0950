"""Resizing."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..checks import UsageError, unknown
from . import switch
from .switch import Pair, operation


@operation("upsample", forward=("upsample_forward",), backward=("upsample_backward",))
def upsample(
    x: Tensor,
    scale: float | tuple[float, ...] | None = None,
    size: Pair | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """Resize images by a factor or to a size, with the arithmetic of `torch.nn.functional.interpolate`.

    Args:
        x: (N, C, H, W).
        scale: Factor, one number or (vertical, horizontal); exactly one of `scale` and `size`.
        size: Output size, one number or (height, width).
        mode: "nearest" or "bilinear".
        align_corners: For bilinear only: whether the corner pixels' centres coincide.
    """
    if mode not in ("nearest", "bilinear"):
        raise unknown("upsample mode", mode, ("nearest", "bilinear"))
    if mode == "nearest" and align_corners:
        raise UsageError("align_corners for bilinear only", "mode='nearest'", "leave align_corners out")
    if not switch.uses_triton(x):
        corners = bool(align_corners) if mode == "bilinear" else None
        return F.interpolate(x, size, scale, mode, corners)
    from ..kernels import upsample as family

    return family.upsample(x, scale, size, mode, bool(align_corners))
