"""Inner product, as torch.nn has it, through `ops`."""

from __future__ import annotations

from torch import Tensor, nn

from .. import ops


class Linear(nn.Linear):
    """`torch.nn.Linear` through `ops.linear`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.linear(input, self.weight, self.bias)
