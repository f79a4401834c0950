"""Pooling."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from . import switch
from .switch import Pair, operation


@operation("pooling", forward=("max_pool_forward",), backward=("pool_backward",))
def max_pool2d(
    x: Tensor,
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Take the maximum of every window; ties go to the first, NaN wins, padding is minus infinity.

    Args:
        x: (N, C, H, W).
        kernel: Window, one number or (height, width).
        stride: Step between windows, `kernel` if None.
        padding: Rows and columns of minus infinity around the image, at most half the window.
        dilation: Step between a window's elements.
        ceil_mode: Keep windows that only partly fit.
    """
    if not switch.uses_triton(x):
        return F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
    from ..kernels import pooling

    return pooling.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)


@operation("pooling", forward=("avg_pool_forward",), backward=("pool_backward",))
def avg_pool2d(
    x: Tensor,
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    count_include_pad: bool = True,
    ceil_mode: bool = False,
    divisor_override: int | None = None,
) -> Tensor:
    """Take the mean of every window; `count_include_pad` says whether the padding's zeros count in the divisor."""
    if not switch.uses_triton(x):
        return F.avg_pool2d(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)
    from ..kernels import pooling

    return pooling.avg_pool2d(x, kernel, stride, padding, count_include_pad, ceil_mode, divisor_override)
