"""Pooling layers, as torch.nn has them, through `ops`."""

from __future__ import annotations

from torch import Tensor, nn

from .. import ops
from ..checks import UsageError
from ..ops.switch import Pair


class MaxPool2d(nn.MaxPool2d):
    """`torch.nn.MaxPool2d` through `ops.max_pool2d`; indices are not returned.

    Raises:
        UsageError: `return_indices=True`.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.return_indices:
            raise UsageError(
                "MaxPool2d without return_indices", "return_indices=True", "use torch.nn.MaxPool2d for the indices"
            )
        return ops.max_pool2d(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class AvgPool2d(nn.AvgPool2d):
    """`torch.nn.AvgPool2d` through `ops.avg_pool2d`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.count_include_pad,
            self.ceil_mode,
            self.divisor_override,
        )


class AdaptiveAvgPool2d(nn.AdaptiveAvgPool2d):
    """`torch.nn.AdaptiveAvgPool2d` through `ops.adaptive_avg_pool2d`; output size 1 is global average pooling."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveMaxPool2d(nn.AdaptiveMaxPool2d):
    """`torch.nn.AdaptiveMaxPool2d` through `ops.adaptive_max_pool2d`."""

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return ops.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class StochasticPool2d(nn.Module):
    """Stochastic pooling (Zeiler and Fergus 2013) through `ops.stochastic_pool2d`: a draw in training, the weighted
    mean otherwise.

    Args:
        kernel_size: Window, one number or (height, width).
        stride: Step between windows, `kernel_size` if None.
        padding: Rows and columns of zeros around the image.
    """

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding

    def forward(self, input: Tensor) -> Tensor:
        return ops.stochastic_pool2d(input, self.kernel_size, self.stride, self.padding, self.training)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
