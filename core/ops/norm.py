"""Normalization."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from . import switch
from .switch import operation


@operation(
    "norm",
    forward=("batch_statistics", "merge_statistics", "batch_apply", "running_update"),
    backward=("batch_gradient_sums", "batch_input_gradient", "sum_parts"),
)
def batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize every channel over batch and pixels, then scale and shift it (Ioffe and Szegedy 2015, algorithm 1).

    Args:
        x: (N, C, H, W), float32, float16 or bfloat16.
        weight: (C,) scale, or None for ones.
        bias: (C,) shift, or None for zeros.
        running_mean: (C,) float32, updated in place while training with weight `momentum`; may be None then.
        running_var: (C,) float32, likewise; takes the unbiased variance, while x is divided by the biased one.
        training: Normalize with the batch's own statistics instead of the running ones.
        momentum: Weight of the new batch in the running statistics.
        eps: Added to the variance.

    Returns:
        (N, C, H, W), dtype of x.
    """
    if not switch.uses_triton(x):
        return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    from ..kernels import norm, norm_backward

    del norm_backward  # imported because importing it registers the gradient
    return norm.batch_norm(x, weight, bias, running_mean, running_var, training, momentum, eps)
