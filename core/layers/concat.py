"""Concatenation as a layer."""

from __future__ import annotations

from torch import Tensor, nn

from .. import ops


class Concat(nn.Module):
    """Put the channels of the maps it is called with side by side, through `ops.concat`: `Concat()(a, b)`."""

    def forward(self, *maps: Tensor) -> Tensor:
        return ops.concat(maps)
