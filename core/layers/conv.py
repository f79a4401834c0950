"""Convolutions, as torch.nn has them, through `ops`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from .. import ops


def _convolve(layer: Any, function: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Pad as the layer says, then convolve."""
    padding = layer.padding
    if layer.padding_mode != "zeros":
        x, padding = F.pad(x, layer._reversed_padding_repeated_twice, mode=layer.padding_mode), 0
    return function(x, weight, bias, layer.stride, padding, layer.dilation, layer.groups)


class Conv1d(nn.Conv1d):
    """`torch.nn.Conv1d` through `ops.conv1d`; all padding modes."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _convolve(self, ops.conv1d, input, weight, bias)


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d` through `ops.conv2d`; all padding modes."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _convolve(self, ops.conv2d, input, weight, bias)


class Conv3d(nn.Conv3d):
    """`torch.nn.Conv3d` through `ops.conv3d`; all padding modes."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _convolve(self, ops.conv3d, input, weight, bias)


def _transpose(layer: Any, function: Callable[..., Tensor], x: Tensor, output_size: list[int] | None) -> Tensor:
    """Choose the output padding that gives the wanted size, then convolve."""
    dims = layer.weight.dim() - 2
    extra = layer._output_padding(
        x, output_size, layer.stride, layer.padding, layer.kernel_size, dims, layer.dilation
    )  # fmt: skip
    return function(x, layer.weight, layer.bias, layer.stride, layer.padding, extra, layer.groups, layer.dilation)


class ConvTranspose1d(nn.ConvTranspose1d):
    """`torch.nn.ConvTranspose1d` through `ops.conv_transpose1d`."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        return _transpose(self, ops.conv_transpose1d, input, output_size)


class ConvTranspose2d(nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` through `ops.conv_transpose2d`."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        return _transpose(self, ops.conv_transpose2d, input, output_size)


class ConvTranspose3d(nn.ConvTranspose3d):
    """`torch.nn.ConvTranspose3d` through `ops.conv_transpose3d`."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        return _transpose(self, ops.conv_transpose3d, input, output_size)
