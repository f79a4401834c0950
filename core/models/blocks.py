"""Building blocks shared by the networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..layers import BatchNorm2d, Conv2d, MaxPool2d, SiLU


class ConvBnAct(nn.Sequential):
    """Convolution without bias, batch norm, SiLU: (N, in, H, W) -> (N, out, ceil(H/stride), ceil(W/stride)).

    The children are called `conv`, `norm` and `act`; `core.optimize` folds the three into one convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
        # Momentum 0.03: with batches of 8 to 16 pictures torch's 0.1 leaves running statistics that follow the last
        # thirty pictures only.
        self.norm = BatchNorm2d(out_channels, eps=1e-3, momentum=0.03)
        self.act = SiLU()


class Residual(nn.Module):
    """x + ConvBnAct(ConvBnAct(x)), two 3x3 convolutions of equal width: (N, C, H, W) -> (N, C, H, W).

    Darknet-53's residual (Redmon and Farhadi 2018, table 1) with 3x3 in place of its 1x1 squeeze: at 32 to 160
    channels a 3x3 runs at 85-100 % of a CPU core's peak, a 1x1 on the same map at 35-60 %.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvBnAct(channels, channels)
        self.second = ConvBnAct(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Add the block's output to its input."""
        return x + self.second(self.first(x))


class SpatialPyramidPooling(nn.Module):
    """Max pooling over 5, 9 and 13 pixels beside the map itself, mixed by a 1x1: (N, C, H, W) -> (N, C, H, W).

    He et al. 2014 as YOLOv3-SPP uses it; three 5x5 poolings in a row see the same 5, 9 and 13 windows at a third of
    the comparisons.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 2
        self.reduce = ConvBnAct(channels, hidden, kernel_size=1)
        self.pool = MaxPool2d(5, stride=1, padding=2)
        self.mix = ConvBnAct(4 * hidden, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Pool three times in a row and mix."""
        x = self.reduce(x)
        five = self.pool(x)
        nine = self.pool(five)
        return self.mix(torch.cat((x, five, nine, self.pool(nine)), dim=1))
