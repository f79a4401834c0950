"""Losses as layers, and the layers that turn scores into probabilities, as torch.nn has them, through `ops`."""

from __future__ import annotations

from torch import Tensor, nn

from .. import ops
from ..checks import UsageError


class CrossEntropyLoss(nn.CrossEntropyLoss):
    """`torch.nn.CrossEntropyLoss` through `ops.cross_entropy`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.cross_entropy(input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)


def _dimension(dim: int | None) -> int:
    if dim is None:
        raise UsageError("the dimension of the classes", "dim=None", "pass dim=1, which torch would guess")
    return dim


class Softmax(nn.Softmax):
    """`torch.nn.Softmax` through `ops.softmax`.

    Raises:
        UsageError: No `dim`, when called.
    """

    def forward(self, input: Tensor) -> Tensor:
        return ops.softmax(input, _dimension(self.dim))


class LogSoftmax(nn.LogSoftmax):
    """`torch.nn.LogSoftmax` through `ops.log_softmax`.

    Raises:
        UsageError: No `dim`, when called.
    """

    def forward(self, input: Tensor) -> Tensor:
        return ops.log_softmax(input, _dimension(self.dim))
