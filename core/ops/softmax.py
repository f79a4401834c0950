"""Softmax over the channels, and its logarithm."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from . import switch
from .switch import operation

LIMITS = "dim 1 of (N, C, H, W) or the last dimension"


@operation("softmax", forward=("softmax_forward",), backward=("softmax_backward",), limits=LIMITS)
def softmax(x: Tensor, dim: int = 1, dtype: torch.dtype | None = None) -> Tensor:
    """Turn scores into probabilities that are positive and sum to 1 along `dim`.

    Scores may be minus infinity (probability 0). A row of minus infinity alone, or with NaN or plus infinity, gives
    NaN. Memory that training keeps: the result.

    Args:
        x: (N, C) or (N, C, H, W), or any shape with `dim` its last.
        dim: The classes' dimension. The Triton road takes 1 of four dimensions, and the last one.
        dtype: Of the result; x's if None, float32 under autocast.

    Raises:
        UsageError: Another dimension or dtype, on the Triton road.

    Example:
        >>> softmax(torch.tensor([[0.0, 0.0, -float("inf")]]))
        tensor([[0.5000, 0.5000, 0.0000]])
    """
    if not switch.uses_triton(x):
        return F.softmax(x, dim, dtype=dtype)
    from ..kernels import softmax as family

    return family.softmax(x, dim, dtype, log=False)


@operation("softmax", forward=("softmax_forward",), backward=("softmax_backward",), limits=LIMITS)
def log_softmax(x: Tensor, dim: int = 1, dtype: torch.dtype | None = None) -> Tensor:
    """Take the logarithm of `softmax(x, dim)` without its loss of digits; arguments and errors are the same."""
    if not switch.uses_triton(x):
        return F.log_softmax(x, dim, dtype=dtype)
    from ..kernels import softmax as family

    return family.softmax(x, dim, dtype, log=True)
