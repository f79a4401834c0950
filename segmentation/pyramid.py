"""A small strong network: residual stages, a pyramid of poolings, and a way up by addition."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor, nn

from ..core.checks import unknown
from ..core.layers import Conv2d, Upsample
from ..core.models.blocks import ConvBnAct, Residual, SpatialPyramidPooling


class Size(NamedTuple):
    """Channels of the stem and the four stages, their residuals, and channels on the way up at 1/16, 1/8 and 1/4."""

    channels: tuple[int, int, int, int, int]
    residuals: tuple[int, int, int, int]
    decoder: tuple[int, int, int]


SIZES = {
    "n": Size((16, 24, 48, 80, 112), (0, 1, 1, 1), (48, 40, 32)),
    "s": Size((24, 48, 80, 160, 256), (1, 1, 2, 1), (96, 80, 48)),
}
"""By name: "n" has 0.6 M parameters, "s" 3.2 M (1.9 billion multiply-adds at 352 x 480)."""


class Step(nn.Module):
    """One step up: twice the size, plus the map of that size on the way down, mixed by a 3x3."""

    def __init__(self, below: int, beside: int, out: int) -> None:
        super().__init__()
        self.reduce = nn.Identity() if below == out else Conv2d(below, out, 1)
        self.lateral = Conv2d(beside, out, 1)
        self.up = Upsample(scale_factor=2, mode="bilinear")
        self.mix = ConvBnAct(out, out)

    def forward(self, below: Tensor, beside: Tensor) -> Tensor:
        """Join (N, below, h, w) and (N, beside, 2h, 2w) to (N, out, 2h, 2w)."""
        return self.mix(self.up(self.reduce(below), self.lateral(beside)))


class Pyramid(nn.Module):
    """(N, C, H, W), H and W multiples of 32 -> scores (N, classes, H / scale, W / scale), scale 4 or, if fine, 2.

    A residual network to stride 32, spatial pyramid pooling for context (windows, not the whole map: what a pixel sees
    is bounded, so that tiles and whole pictures agree), then a ladder by addition (Lin et al. 2017; Orsic et al. 2019,
    SwiftNet). Differs from U-Net, which concatenates: adding keeps the convolutions at 1/4 at 48 channels.

    Args:
        classes: Number of classes.
        in_channels: Of the pictures.
        size: A key of `SIZES`.
        fine: One more step of the ladder, to 1/2, for what is two or three pixels wide.

    Raises:
        UsageError: An unknown size.
    """

    head = "classes"
    stride = 32
    least = 32

    def __init__(self, classes: int, in_channels: int = 3, size: str = "s", fine: bool = False) -> None:
        super().__init__()
        if size not in SIZES:
            raise unknown("size", size, SIZES)
        channels, residuals, decoder = SIZES[size]
        self.stem = ConvBnAct(in_channels, channels[0], stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(ConvBnAct(before, after, stride=2), *(Residual(after) for _ in range(count)))
            for before, after, count in zip(channels, channels[1:], residuals, strict=False)
        )
        self.context = SpatialPyramidPooling(channels[4])
        self.scale = 2 if fine else 4
        rungs = (channels[4], *decoder, channels[0])[: 5 if fine else 4]
        self.steps = nn.ModuleList(
            Step(below, beside, out) for below, beside, out in zip(rungs, channels[3::-1], rungs[1:], strict=False)
        )
        self.classes = Conv2d(rungs[-1], classes, 1)
        nn.init.constant_(self.classes.bias, -math.log(classes))  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Compute the scores."""
        x = self.stem(images)
        maps = [x]
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        x = self.context(x)
        for step, beside in zip(self.steps, maps[3::-1], strict=False):
            x = step(x, beside)
        return self.classes(x)
