"""Activations, as torch.nn has them, through `ops`."""

from __future__ import annotations

from torch import Tensor, nn

from .. import ops


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


class ReLU6(nn.ReLU6):
    """`torch.nn.ReLU6` through `ops.activation`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.activation(input, "relu6")
