"""Convolution."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from . import switch
from .switch import Pair, operation


@operation(
    "conv",
    forward=("conv_forward", "depthwise_forward"),
    backward=(
        "conv_input_gradient",
        "conv_weight_gradient",
        "depthwise_input_gradient",
        "depthwise_weight_gradient",
        "column_sums",
        "sum_parts",
    ),
    limits="fewer than 2^31 weights",
)
def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
    *,
    precision: str | None = None,
) -> Tensor:
    """Cross-correlate images with filters, as `torch.nn.functional.conv2d`.

    Args:
        x: (N, C, H, W), float32, float16 or bfloat16.
        weight: (K, C / groups, R, S), dtype of x (under autocast both are cast).
        bias: (K,) or None.
        stride: Step between outputs, one number or (vertical, horizontal).
        padding: Zeros around the image, one number, a pair, "valid" or "same".
        dilation: Step between the filter's taps.
        groups: Channels are split into that many independent convolutions; `groups == C` is depthwise.
        precision: How the kernels multiply float32: "ieee", "tf32", "tf32x3", or None to follow
            `torch.backends.cudnn.allow_tf32`. Torch's CPU road is always exact.

    Returns:
        (N, K, OH, OW), dtype of x.

    Raises:
        UsageError: Sizes, dtypes or devices that do not fit the kernels (on torch's road, torch's own errors).
    """
    if not switch.uses_triton(x):
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    from ..kernels import conv2d as general
    from ..kernels import conv2d_backward, depthwise, geometry, launch

    del conv2d_backward  # imported because importing it registers the gradients
    x, weight, bias, window = geometry.filter_window(x, weight, bias, stride, padding, dilation, groups)
    family = depthwise if weight.shape[1] == 1 and groups > 1 else general
    return family.conv2d(x, weight, bias, *window, groups, launch.precision(precision))
