"""Elementwise non-linearities."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import unknown
from . import switch
from .switch import operation

# Names of ops.activation; `slope` reaches only leaky_relu (its negative slope) and elu (its alpha).
ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "hardtanh": F.hardtanh,
    "elu": F.elu,
    "gelu": F.gelu,
    "mish": F.mish,
}
SLOPED = ("leaky_relu", "elu")


@operation("activation", forward=("activation_forward",), backward=("activation_backward",))
def activation(x: Tensor, name: str, slope: float = 0.01, *, inplace: bool = False) -> Tensor:
    """Apply an elementwise non-linearity; NaN goes in, NaN comes out.

    Args:
        x: Any shape, float32, float16 or bfloat16.
        name: One of `ACTIVATIONS`.
        slope: The negative slope of leaky_relu, alpha of elu; the others do not read it.
        inplace: Lets torch's road reuse x's memory for relu, leaky_relu and silu; the kernels write a new tensor.
    """
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    if not switch.uses_triton(x):
        options = {"inplace": True} if inplace and name in ("relu", "leaky_relu", "silu") else {}
        return ACTIVATIONS[name](x, slope, **options) if name in SLOPED else ACTIVATIONS[name](x, **options)
    from ..kernels import activation as family

    return family.activation(x, name, slope)
