"""Dropout, of numbers, of channels and of weights."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..checks import UsageError
from . import switch
from .switch import operation

KERNELS = ("dropout_forward",)


@operation("dropout", forward=KERNELS, backward=KERNELS)
def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Set numbers to zero with probability p and divide the others by 1 - p (Srivastava et al. 2014).

    `torch.manual_seed` repeats a mask; torch's road and the kernels draw different ones from the same seed.

    Args:
        x: Any shape, float32, float16 or bfloat16.
        p: Probability in [0, 1]; 1 gives zeros.
        training: False returns x as it is.
    """
    return _drop(x, p, training, channels=False)


@operation("dropout", forward=KERNELS, backward=KERNELS)
def dropout2d(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Set whole channels (image by image) to zero with probability p and divide the others by 1 - p.

    Tompson et al. 2015: the pixels of a channel are too much alike for dropping some of them to matter.

    Args:
        x: (N, C, H, W).
        p: Probability in [0, 1].
        training: False returns x as it is.
    """
    if x.dim() != 4:
        raise UsageError("a tensor (N, C, H, W)", f"shape {tuple(x.shape)}", "add or remove dimensions")
    return _drop(x, p, training, channels=True)


@operation("dropout", forward=KERNELS, backward=KERNELS)
def drop_connect(weight: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Drop weights instead of activations (Wan et al. 2013), one mask for the whole batch.

    Differs from the paper, which draws a mask for each example and samples a Gaussian at test time: one mask keeps the
    layer a single matrix product, and with weights divided by 1 - p the mean of the outputs is the layer's at test.

    Args:
        weight: Any shape.
        p: Probability in [0, 1].
        training: False returns the weight as it is.
    """
    return _drop(weight, p, training, channels=False)


def _drop(x: Tensor, p: float, training: bool, *, channels: bool) -> Tensor:
    if not 0 <= p <= 1:
        raise UsageError("a probability from 0 to 1", f"p = {p}", "pass the share to drop")
    if not training or p == 0:
        return x
    if not switch.uses_triton(x):
        return F.dropout2d(x, p) if channels else F.dropout(x, p)
    from ..kernels import dropout as family

    return family.dropout(x, p, channels)
