"""Pooling layers, as torch.nn has them, through `ops`."""

from __future__ import annotations

from torch import Tensor, nn

from .. import ops
from ..checks import UsageError


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
