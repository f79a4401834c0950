"""How a deep network begins."""

from __future__ import annotations

from torch import nn

from ..layers import Linear, fill


def start(network: nn.Module) -> None:
    """Fill convolutions as He et al. 2015 do and linear layers with small Gaussian numbers, as VGG's authors.

    With torch's own start the signal dies: two pictures' scores differ by 2e-7 after VGG-16, 8e-9 after SqueezeNet.
    """
    fill(network, "he")
    for module in network.modules():
        if isinstance(module, Linear):
            fill(module, "gaussian", std=0.01)
