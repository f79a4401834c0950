"""Inner product."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..checks import UsageError
from . import switch
from .conv import INPUT, LIMITS, PICTURES, WEIGHT, conv2d
from .switch import operation


@operation("conv2d", forward=PICTURES, backward=(*INPUT, *WEIGHT), limits=LIMITS)
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, precision: str | None = None) -> Tensor:
    """Multiply rows by a matrix, as `torch.nn.functional.linear`; the kernels see a 1x1 convolution of 1x1 maps.

    Args:
        x: (..., C), float32, float16 or bfloat16.
        weight: (K, C), dtype of x.
        bias: (K,) or None.
        precision: See `conv2d`.

    Returns:
        (..., K), dtype of x.
    """
    if not switch.uses_triton(x):
        return F.linear(x, weight, bias)
    if weight.dim() != 2 or x.dim() == 0 or x.shape[-1] != weight.shape[1]:
        features = weight.shape[-1] if weight.dim() else 0
        raise UsageError(
            f"{features} features in the last dimension", f"shape {tuple(x.shape)}", "reshape x or the weight (K, C)"
        )
    rows = x.reshape(-1, x.shape[-1], 1, 1)
    y = conv2d(rows, weight[:, :, None, None], bias, precision=precision)
    return y.reshape(*x.shape[:-1], weight.shape[0])
