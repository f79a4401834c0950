"""Convolutions that see more for less: depthwise separable, and dilated."""

from __future__ import annotations

from torch import nn

from .conv import Conv2d


class SeparableConv2d(nn.Sequential):
    """A depthwise convolution, then a 1x1: (N, C, H, W) -> (N, K, H / stride, W / stride).

    A 3x3 takes C (9 + K) weights instead of 9 C K, about an eighth for large K (Howard et al. 2017, section 3.1).

    Args:
        in_channels: C.
        out_channels: K.
        kernel_size: Of the depthwise filters, odd.
        stride: Of the depthwise convolution.
        dilation: Likewise.
        bias: Of the 1x1; the depthwise convolution has none.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1, dilation: int = 1,
        bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        padding = dilation * (kernel_size - 1) // 2
        self.depthwise = Conv2d(
            in_channels, in_channels, kernel_size, stride, padding, dilation, groups=in_channels, bias=False
        )
        self.pointwise = Conv2d(in_channels, out_channels, 1, bias=bias)


def dilated_conv2d(
    in_channels: int, out_channels: int, dilation: int, kernel_size: int = 3, bias: bool = True
) -> Conv2d:
    """Return a convolution with holes that keeps the map's size (Yu and Koltun 2016): it sees dilation times as far.

    Args:
        in_channels: C.
        out_channels: K.
        dilation: Pixels between neighbouring taps.
        kernel_size: Odd.
        bias: Whether it has one.
    """
    padding = dilation * (kernel_size - 1) // 2
    return Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=bias)
