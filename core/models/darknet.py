"""A small Darknet: stride-2 convolutions with residuals between them.

After Darknet-53 (Redmon and Farhadi 2018, YOLOv3, table 1). Differs from it because it is meant for a laptop: five
stages of 16 to 160 channels instead of 64 to 1024, residuals of two 3x3 (see `blocks.Residual`), SiLU, and pooling over
a spatial pyramid at the end in place of the deeper stages' reach.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .blocks import ConvBnAct, Residual, SpatialPyramidPooling


class Darknet(nn.Module):
    """Feature maps at strides 2, 4, 8, 16 and 32.

    Args:
        channels: Channels of the five stages.
        residuals: Residuals in each of the five stages.

    Attributes:
        strides: {"stage1": 2, ... "stage5": 32}.
        channels: Channels under the same names.
    """

    def __init__(
        self, channels: Sequence[int] = (16, 32, 64, 128, 160), residuals: Sequence[int] = (0, 0, 1, 1, 1)
    ) -> None:
        super().__init__()
        names = [f"stage{i}" for i in range(1, 6)]
        self.strides = {name: 2 ** (i + 1) for i, name in enumerate(names)}
        self.channels = dict(zip(names, channels, strict=True))
        before = 3
        for name, width, depth in zip(names, channels, residuals, strict=True):
            stage: list[nn.Module] = [ConvBnAct(before, width, stride=2), *(Residual(width) for _ in range(depth))]
            if name == "stage5":
                stage.append(SpatialPyramidPooling(width))
            setattr(self, name, nn.Sequential(*stage))
            before = width

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the maps of all stages.

        Args:
            images: float (N, 3, H, W) in [0, 1], H and W multiples of 32.

        Returns:
            {"stage1": (N, C1, H/2, W/2), ..., "stage5": (N, C5, H/32, W/32)}.
        """
        maps = {}
        for name in self.strides:
            images = getattr(self, name)(images)
            maps[name] = images
        return maps
