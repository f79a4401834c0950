"""Resizing."""

from __future__ import annotations

import math

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
    skip: Tensor | None = None,
) -> Tensor:
    """Resize images by a factor or to a size, with the arithmetic of `torch.nn.functional.interpolate`.

    With a skip, y = resize(x) + skip in one pass, as pyramids (Lin et al. 2017) and FCN (Long et al. 2015) add maps.

    Args:
        x: (N, C, H, W).
        scale: Factor, one number or (vertical, horizontal); exactly one of `scale` and `size`.
        size: Output size, one number or (height, width).
        mode: "nearest" or "bilinear".
        align_corners: For bilinear only: whether the corner pixels' centres coincide.
        skip: (N, C, OH, OW), added to the result; of x's dtype, and not broadcast.

    Raises:
        UsageError: An unknown mode, both or neither of scale and size, a skip of another shape, dtype or device.
    """
    if mode not in ("nearest", "bilinear"):
        raise unknown("upsample mode", mode, ("nearest", "bilinear"))
    if mode == "nearest" and align_corners:
        raise UsageError("align_corners for bilinear only", "mode='nearest'", "leave align_corners out")
    if skip is not None and (scale is None) != (size is None):
        _check_skip(x, scale, size, skip)
    if not switch.uses_triton(x):
        corners = bool(align_corners) if mode == "bilinear" else None
        out = F.interpolate(x, size, scale, mode, corners)
        return out if skip is None else out + skip
    from ..kernels import upsample as family

    return family.upsample(x, scale, size, mode, bool(align_corners), skip)


def _check_skip(x: Tensor, scale: float | tuple[float, ...] | None, size: Pair | None, skip: Tensor) -> None:
    if size is None:
        factors = (scale, scale) if isinstance(scale, int | float) else tuple(scale or ())
        target = tuple(math.floor(length * factor) for length, factor in zip(x.shape[2:], factors, strict=True))
    else:
        target = (size, size) if isinstance(size, int) else tuple(size)
    shape = (*x.shape[:2], *target)
    if skip.shape != shape or skip.dtype != x.dtype or skip.device != x.device:
        raise UsageError(
            f"a skip of shape {shape}, {x.dtype} on {x.device}",
            f"{tuple(skip.shape)}, {skip.dtype} on {skip.device}",
            "resize to the size of the skip, or convert it",
        )
