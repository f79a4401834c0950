"""Normalization."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..checks import UsageError, unknown
from . import switch
from .activation import ACTIVATIONS
from .activation import activation as activate
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
    *,
    residual: Tensor | None = None,
    activation: str | None = None,
    slope: float = 0.01,
) -> Tensor:
    """Normalize every channel over batch and pixels, then scale, shift, add and activate it in the same pass.

    Ioffe and Szegedy 2015, algorithm 1; act(norm(x) * weight + bias + residual) is the end of a residual block (He et
    al. 2016). Nothing is remembered for the gradient but x, and the residual where there is an activation.

    Args:
        x: (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W), float32, float16 or bfloat16.
        weight: (C,) scale, or None for ones.
        bias: (C,) shift, or None for zeros.
        running_mean: (C,) float32, updated in place while training with weight `momentum`; may be None then.
        running_var: (C,) float32, likewise; takes the unbiased variance, while x is divided by the biased one.
        training: Normalize with the batch's own statistics instead of the running ones.
        momentum: Weight of the new batch in the running statistics.
        eps: Added to the variance.
        residual: A map of x's shape and dtype, or None.
        activation: One of `ACTIVATIONS`, or None.
        slope: See `ops.activation`.

    Returns:
        The shape and dtype of x.

    Raises:
        UsageError: An unknown activation; on the kernels' road also one value a channel while training, missing
            statistics, a residual that does not fit.
    """
    if activation is not None and activation not in ACTIVATIONS:
        raise unknown("activation", activation, ACTIVATIONS)
    if not switch.uses_triton(x):
        y = F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
        if residual is not None:
            y = y + residual
        return y if activation is None else activate(y, activation, slope)
    from ..kernels import norm, norm_backward

    del norm_backward  # imported because importing it registers the gradient
    return norm.batch_norm(
        x, weight, bias, running_mean, running_var, training, momentum, eps, residual, activation, slope
    )


@operation("lrn", forward=("lrn_forward",), backward=("lrn_backward",), limits="k > 0")
def local_response_norm(x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Divide every number by a power of its neighbours' squares across channels, as AlexNet does.

    Krizhevsky, Sutskever and Hinton 2012, section 3.3, with alpha divided by size as torch has it: the paper's n = 5,
    alpha = 1e-4, beta = 0.75, k = 2 is `size=5, alpha=5e-4, beta=0.75, k=2`.

    Args:
        x: (N, C, ...), float32, float16 or bfloat16.
        size: Channels in a window, its own included.
        alpha: Weight of the mean of squares.
        beta: The power.
        k: What the weighted mean is added to; above 0.

    Returns:
        The shape and dtype of x.
    """
    if size < 1 or not k > 0:
        raise UsageError("a window of at least 1 channel and k above 0", f"size={size}, k={k}", "pass positive numbers")
    if not switch.uses_triton(x):
        return F.local_response_norm(x, size, alpha, beta, k)
    from ..kernels import launch, lrn

    launch.check_map(x, min(max(x.dim() - 2, 1), 3))
    return lrn.apply(x, size, alpha, beta, k)
