"""Resizing, as torch.nn has them, through `ops`."""

from __future__ import annotations

from torch import Tensor, nn

from .. import ops
from ..checks import UsageError


class Upsample(nn.Upsample):
    """`torch.nn.Upsample` through `ops.upsample`; modes nearest and bilinear; `forward(input, skip)` adds a map.

    Raises:
        UsageError: Another mode, or `recompute_scale_factor`.
    """

    def forward(self, input: Tensor, skip: Tensor | None = None) -> Tensor:
        if self.recompute_scale_factor:
            raise UsageError("Upsample without recompute_scale_factor", "True", "give the size instead")
        return ops.upsample(input, self.scale_factor, self.size, self.mode, self.align_corners, skip)
