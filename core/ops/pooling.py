"""Pooling."""

from __future__ import annotations

import torch
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


Size = int | tuple[int | None, int | None] | None  # one number or (height, width); None keeps the image's


@operation("adaptive_pool", forward=("adaptive_means", "sum_parts"), backward=("adaptive_means", "sum_parts"))
def adaptive_avg_pool2d(x: Tensor, size: Size) -> Tensor:
    """Take the means of size[0] x size[1] bins that divide the image; size 1 is global average pooling.

    Bin i of OH holds the rows floor(i * H / OH) to ceil((i + 1) * H / OH), as in torch; bins may overlap.

    Args:
        x: (N, C, H, W).
        size: Output size, one number or (height, width); None for the image's.

    Raises:
        UsageError: A size below 1.
    """
    if not switch.uses_triton(x):
        return F.adaptive_avg_pool2d(x, size)
    from ..kernels import adaptive_pool

    return adaptive_pool.adaptive_avg_pool2d(x, size)


@operation("adaptive_pool", forward=("adaptive_maxima",), backward=("adaptive_maxima_backward",))
def adaptive_max_pool2d(x: Tensor, size: Size, return_indices: bool = False) -> Tensor | tuple[Tensor, Tensor]:
    """Take the maxima of the bins of `adaptive_avg_pool2d`; ties go to the first, NaN wins.

    Args:
        x: (N, C, H, W).
        size: Output size, one number or (height, width); None for the image's.
        return_indices: Also return where the maxima are, h * W + w in int64.

    Raises:
        UsageError: A size below 1.
    """
    if not switch.uses_triton(x):
        out = F.adaptive_max_pool2d_with_indices(x, size)
        return out if return_indices else out[0]
    from ..kernels import adaptive_pool

    y, places = adaptive_pool.adaptive_max_pool2d(x, size)
    return (y, places.long()) if return_indices else y


@operation(
    "stochastic_pool",
    forward=("stochastic_pool_forward",),
    backward=("pool_backward", "stochastic_pool_forward", "stochastic_pool_mean_backward"),
)
def stochastic_pool2d(
    x: Tensor, kernel: Pair, stride: Pair | None = None, padding: Pair = 0, training: bool = True
) -> Tensor:
    """Draw one number of every window with probability in proportion to it (Zeiler and Fergus 2013).

    Negative numbers and padding count as 0. A window without a positive number gives 0 and takes no gradient; NaN or
    infinity in a window gives NaN. `torch.manual_seed` repeats a draw; torch's road and the kernels draw differently
    from the same seed.

    Args:
        x: (N, C, H, W), as a rule behind a ReLU.
        kernel: Window, one number or (height, width).
        stride: Step between windows, `kernel` if None.
        padding: Rows and columns of zeros around the image, at most half the window.
        training: False takes the mean that the probabilities weight, sum of a^2 / sum of a, instead of a draw.

    Raises:
        UsageError: On the Triton road, a window, stride or padding out of range.
    """
    if not switch.uses_triton(x):
        return _stochastic_pool2d(x, kernel, stride, padding, training)
    from ..kernels import stochastic_pool

    return stochastic_pool.stochastic_pool2d(x, kernel, stride, padding, training)


def _stochastic_pool2d(x: Tensor, kernel: Pair, stride: Pair | None, padding: Pair, training: bool) -> Tensor:
    """Torch's road: windows side by side, (N, C, R * S, OH * OW)."""
    (n, c), (r, s) = x.shape[:2], torch.nn.modules.utils._pair(kernel)
    out = F.avg_pool2d(x.detach(), kernel, stride, padding).shape
    windows = F.unfold(x, kernel, 1, padding, kernel if stride is None else stride).view(n, c, r * s, out[2] * out[3])
    a = windows.relu()
    total = a.sum(2, keepdim=True)
    if not training:
        return (a * (a / total.masked_fill(total == 0, 1))).sum(2).view(out)
    goal = torch.rand_like(total) * total
    taps = torch.arange(1, r * s + 1, device=x.device)[:, None]
    place = (((a > 0) & (a.cumsum(2) - a <= goal)) * taps).amax(2, keepdim=True)
    drawn = a.gather(2, (place - 1).clamp(min=0)).where(place > 0, 0)
    return drawn.where(total.isfinite(), torch.nan).view(out)
