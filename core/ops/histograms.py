"""Kernel matrices of histograms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import UsageError
from . import switch
from .switch import operation

LIMITS = "no gradient"
BLOCK = 256
"""Rows of `a` that the CPU takes at a time: 256 x 1,000 bins, 1 MiB, stay in its second cache."""


@operation("histograms", forward=("histogram_forward",), limits=LIMITS)
def chi2_kernel(a: Tensor, b: Tensor, gamma: float = 1.0) -> Tensor:
    """Compute exp(-gamma * sum of (a - b)^2 / (a + b)) for all pairs, the chi-squared kernel of Zhang et al. 2007.

    Args:
        a: (M, D) histograms, not negative; float32, float16 or bfloat16.
        b: (N, D), likewise.
        gamma: Above 0.

    Returns:
        (M, N), float32 (float64 for float64), as `sklearn.metrics.pairwise.chi2_kernel`.

    Raises:
        UsageError: Shapes or dtypes that do not fit, gamma not above 0; on a CPU tensor also a negative number (on a
            GPU that would wait for the device, and the result is what the formula gives).
    """
    if not gamma > 0:
        raise UsageError("gamma above 0", str(gamma), "pass a positive number, such as 1 over the mean distance")
    return _matrix(a, b, gamma, chi2=True)


@operation("histograms", forward=("histogram_forward",), limits=LIMITS)
def additive_chi2(a: Tensor, b: Tensor) -> Tensor:
    """Compute -sum of (a - b)^2 / (a + b) for all pairs, as `sklearn.metrics.pairwise.additive_chi2_kernel`.

    Arguments, result and errors as in `chi2_kernel`.
    """
    return _matrix(a, b, 0.0, chi2=True)


@operation("histograms", forward=("histogram_forward",), limits=LIMITS)
def histogram_intersection(a: Tensor, b: Tensor) -> Tensor:
    """Compute the sum of min(a, b) for all pairs (Swain and Ballard 1991).

    Arguments, result and errors as in `chi2_kernel`.
    """
    return _matrix(a, b, 0.0, chi2=False)


def _matrix(a: Tensor, b: Tensor, gamma: float, *, chi2: bool) -> Tensor:
    if a.dim() != 2 or b.dim() != 2 or a.shape[1] != b.shape[1] or a.dtype != b.dtype or a.device != b.device:
        got = f"{tuple(a.shape)} {a.dtype} on {a.device} and {tuple(b.shape)} {b.dtype} on {b.device}"
        raise UsageError("histograms (M, D) and (N, D) of one dtype on one device", got, "reshape, convert or move one")
    if a.device.type == "cpu" and ((a < 0).any() or (b < 0).any()):
        raise UsageError("histograms without negative numbers", "a number below 0", "count, or take absolute values")
    if torch.is_grad_enabled() and (a.requires_grad or b.requires_grad):
        raise UsageError("histograms that want no gradient", "requires_grad=True", "detach them")
    if switch.uses_triton(a):
        from ..kernels import histograms, launch

        launch.check_dtype(a)
        return histograms.matrix(a, b, gamma, chi2)
    if a.dtype != torch.float64:
        a, b = a.float(), b.float()
    a, b = a.contiguous(), b.contiguous()  # sums in one order, whatever the strides
    found = _rows(a, b, _chi2 if chi2 else _intersection)
    if not chi2:
        return found
    return found.neg_() if gamma == 0 else found.mul_(-gamma).exp_()


def _chi2(part: Tensor, row: Tensor, total: Tensor, away: Tensor) -> Tensor:
    """Return the distances of rows (m, D) from one row, with two tensors (m, D) to work in."""
    torch.add(part, row, out=total)
    torch.sub(part, row, out=away)
    return away.mul_(away).div_(total.clamp_(min=torch.finfo(total.dtype).tiny)).sum(1)


def _intersection(part: Tensor, row: Tensor, least: Tensor, _: Tensor) -> Tensor:
    return torch.minimum(part, row, out=least).sum(1)


def _rows(a: Tensor, b: Tensor, function: Callable[..., Tensor]) -> Tensor:
    """Return the function of all pairs, a block of rows of `a` and one row of `b` at a time, in memory used again."""
    found = a.new_zeros((a.shape[0], b.shape[0]))
    for block, part in zip(found.split(BLOCK), a.split(BLOCK), strict=True):
        work = torch.empty_like(part), torch.empty_like(part)
        for j, row in enumerate(b):
            block[:, j] = function(part, row, *work)
    return found
