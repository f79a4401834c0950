"""Spatial transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import ops
from .linear import Linear


class SpatialTransformer(nn.Module):
    """Let the network choose where it looks (Jaderberg et al. 2015): (N, C, H, W) -> (N, C, OH, OW).

    A localization network reads the map; a linear layer makes six numbers of what it says, an affine transformation by
    which the map is read again. It begins as the identity: its weights are zeros.

    Args:
        localization: (N, C, H, W) -> (N, features), or any shape with as many numbers for each image.
        features: Numbers that the localization network gives for an image.
        size: (OH, OW), or None for the input's.
        align_corners: See `ops.affine_grid`.
    """

    def __init__(
        self,
        localization: nn.Module,
        features: int,
        size: tuple[int, int] | None = None,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.localization, self.size, self.align_corners = localization, size, align_corners
        self.affine = Linear(features, 6)
        nn.init.zeros_(self.affine.weight)
        with torch.no_grad():
            self.affine.bias.copy_(torch.eye(2, 3).flatten())

    def forward(self, x: Tensor) -> Tensor:
        """Read the map where the localization network says."""
        theta = self.affine(self.localization(x).flatten(1)).view(-1, 2, 3)
        height, width = self.size or (x.shape[2], x.shape[3])
        grid = ops.affine_grid(theta, (x.shape[0], x.shape[1], height, width), self.align_corners)
        return ops.grid_sample(x, grid, align_corners=self.align_corners)
