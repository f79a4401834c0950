"""RoI align and RoI pooling, with torchvision's constructors, through `ops`."""

from __future__ import annotations

from torch import Tensor, nn

from .. import ops
from ..ops.roi import Boxes
from ..ops.switch import Pair


class RoIAlign(nn.Module):
    """`ops.roi_align` with its options kept: (N, C, H, W), boxes -> (K, C, OH, OW)."""

    def __init__(
        self, output_size: Pair, spatial_scale: float = 1.0, sampling_ratio: int = -1, aligned: bool = False
    ) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale
        self.sampling_ratio, self.aligned = sampling_ratio, aligned

    def forward(self, input: Tensor, boxes: Boxes) -> Tensor:
        """Average samples over the bins of the boxes."""
        return ops.roi_align(
            input, boxes, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned
        )  # fmt: skip


class RoIPool(nn.Module):
    """`ops.roi_pool` with its options kept: (N, C, H, W), boxes -> (K, C, OH, OW)."""

    def __init__(self, output_size: Pair, spatial_scale: float = 1.0) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale

    def forward(self, input: Tensor, boxes: Boxes) -> Tensor:
        """Take the maxima over the bins of the boxes."""
        return ops.roi_pool(input, boxes, self.output_size, self.spatial_scale)
