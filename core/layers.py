"""Layers with torch.nn's constructors, parameters and state_dict, and the roads of `ops`.

Each subclasses its torch.nn namesake and replaces only the computation, so `ours.load_state_dict(theirs.state_dict())`
works in both directions, `isinstance(layer, nn.Conv2d)` holds, and torch's initializers and tools know them.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from . import ops
from .checks import UsageError


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d` through `ops.conv2d`; all padding modes."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.padding_mode == "zeros":
            return ops.conv2d(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)
        padded = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
        return ops.conv2d(padded, weight, bias, self.stride, 0, self.dilation, self.groups)


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` through `ops.batch_norm`; `momentum=None` averages over all batches seen."""

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        by_batch = self.training or (self.running_mean is None and self.running_var is None)
        update = not self.training or self.track_running_stats
        return ops.batch_norm(
            input,
            self.weight,
            self.bias,
            self.running_mean if update else None,
            self.running_var if update else None,
            by_batch,
            momentum,
            self.eps,
        )


class ReLU(nn.ReLU):
    """`torch.nn.ReLU` through `ops.activation`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.activation(input, "relu", inplace=self.inplace)


class LeakyReLU(nn.LeakyReLU):
    """`torch.nn.LeakyReLU` through `ops.activation`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.activation(input, "leaky_relu", self.negative_slope, inplace=self.inplace)


class SiLU(nn.SiLU):
    """`torch.nn.SiLU` (swish) through `ops.activation`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.activation(input, "silu", inplace=self.inplace)


class Sigmoid(nn.Sigmoid):
    """`torch.nn.Sigmoid` through `ops.activation`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.activation(input, "sigmoid")


class Tanh(nn.Tanh):
    """`torch.nn.Tanh` through `ops.activation`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.activation(input, "tanh")


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


class Upsample(nn.Upsample):
    """`torch.nn.Upsample` through `ops.upsample`; modes nearest and bilinear.

    Raises:
        UsageError: Another mode, or `recompute_scale_factor`.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.recompute_scale_factor:
            raise UsageError("Upsample without recompute_scale_factor", "True", "give the size instead")
        return ops.upsample(input, self.scale_factor, self.size, self.mode, self.align_corners)
