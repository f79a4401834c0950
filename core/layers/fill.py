"""How layers' weights start: Xavier, He, Gaussian, constant."""

from __future__ import annotations

import torch
from torch import nn

from ..checks import UsageError, unknown

FILLERS = ("xavier", "he", "gaussian", "constant")


@torch.no_grad()
def fill(
    module: nn.Module, filler: str = "he", *, std: float = 0.01, value: float = 0.0, bias: float = 0.0
) -> nn.Module:
    """Fill the weights of every convolution and linear layer in a module; returns the module.

    "xavier": uniform in +-sqrt(6 / (fan-in + fan-out)) (Glorot and Bengio 2010, equation 16). "he": Gaussian of
    standard deviation sqrt(2 / fan-in) (He et al. 2015, equation 10). "gaussian": of standard deviation `std`.
    "constant": `value`.

    Args:
        module: A layer or a network.
        filler: One of `FILLERS`.
        std: Of "gaussian".
        value: Of "constant".
        bias: What biases start with.

    Raises:
        UsageError: An unknown filler, or a negative std.
    """
    if filler not in FILLERS:
        raise unknown("filler", filler, FILLERS)
    if std < 0:
        raise UsageError("std of 0 or more", repr(std), "pass 0.01, say")
    for layer in module.modules():
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, nn.Parameter) or weight.dim() < 2:
            continue
        if filler == "xavier":
            nn.init.xavier_uniform_(weight)
        elif filler == "he":
            nn.init.kaiming_normal_(weight, nonlinearity="relu")
        elif filler == "gaussian":
            nn.init.normal_(weight, std=std)
        else:
            nn.init.constant_(weight, value)
        if isinstance(getattr(layer, "bias", None), nn.Parameter):
            nn.init.constant_(layer.bias, bias)  # type: ignore[arg-type]
    return module
