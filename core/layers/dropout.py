"""Dropout layers, as torch.nn has them, through `ops`."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .. import ops


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` through `ops.dropout`; writes a new tensor."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.dropout(input, self.p, self.training)


class Dropout2d(nn.Dropout2d):
    """`torch.nn.Dropout2d` through `ops.dropout2d`; writes a new tensor."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.dropout2d(input, self.p, self.training)


class DropConnectLinear(nn.Linear):
    """`torch.nn.Linear` whose weights are dropped while training; see `ops.drop_connect`.

    Args:
        in_features: C.
        out_features: K.
        p: Probability that a weight is dropped.
        keywords: Those of `torch.nn.Linear`, whose state_dict it has.
    """

    def __init__(self, in_features: int, out_features: int, p: float = 0.5, **keywords: Any) -> None:
        super().__init__(in_features, out_features, **keywords)
        self.p = p

    def forward(self, input: Tensor) -> Tensor:
        return ops.linear(input, ops.drop_connect(self.weight, self.p, self.training), self.bias)
