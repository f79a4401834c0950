"""The detection network: a small Darknet, a pyramid by addition, one head per scale.

Anchor-free, as FCOS (Tian et al. 2019): every cell of every map predicts a class and the distances from its centre to
the four sides of the box, each distance as a distribution over `bins` (Li et al. 2020, Generalized Focal Loss).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..core.checks import unknown
from ..core.layers import Conv2d, Upsample
from ..core.models.blocks import ConvBnAct
from ..core.models.darknet import Darknet
from .boxes import xyxy_from_distances

STRIDES = (8, 16, 32)
BINS = 16
"""Bins of a distance: 0 to 15 strides, so a box of up to 30 strides (960 pixels at stride 32) can be told."""


class Size(NamedTuple):
    """Channels and residuals of the five stages, and the width of the heads."""

    channels: tuple[int, int, int, int, int]
    residuals: tuple[int, int, int, int, int]
    head: int


SIZES = {
    "n": Size((16, 32, 64, 128, 160), (0, 0, 1, 1, 1), 64),
    "s": Size((24, 48, 96, 160, 224), (0, 0, 2, 2, 1), 80),
}
"""By name: "n" has 2.4 M parameters, "s" 5.6 M."""


class RawMap(NamedTuple):
    """What one scale predicts: `distances` (N, 4 * BINS, h, w) and `classes` (N, number of classes, h, w), logits."""

    distances: Tensor
    classes: Tensor


class Neck(nn.Module):
    """Top-down then bottom-up pyramid (Lin et al. 2017; Liu et al. 2018), merged by addition.

    Differs from PANet, which concatenates in the way down: adding keeps every convolution a 3x3 of equal width, and
    copies nothing; on one CPU core a concatenating neck took a fifth longer for each multiply-add.
    """

    def __init__(self, c3: int, c4: int, c5: int) -> None:
        super().__init__()
        self.up = Upsample(scale_factor=2, mode="nearest")
        self.lateral5 = ConvBnAct(c5, c4, kernel_size=1)
        self.lateral4 = ConvBnAct(c4, c3, kernel_size=1)
        self.top_down4 = ConvBnAct(c4, c4)
        self.top_down3 = ConvBnAct(c3, c3)
        self.down3 = ConvBnAct(c3, c4, stride=2)
        self.down4 = ConvBnAct(c4, c5, stride=2)
        self.bottom_up4 = ConvBnAct(c4, c4)
        self.bottom_up5 = ConvBnAct(c5, c5)

    def forward(self, c3: Tensor, c4: Tensor, c5: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mix the maps of strides 8, 16, 32; shapes stay."""
        p4 = self.top_down4(c4 + self.up(self.lateral5(c5)))
        p3 = self.top_down3(c3 + self.up(self.lateral4(p4)))
        p4 = self.bottom_up4(p4 + self.down3(p3))
        p5 = self.bottom_up5(c5 + self.down4(p4))
        return p3, p4, p5


class Head(nn.Module):
    """One shared 3x3, then a branch of its own for classes and for distances (YOLOX's decoupling, one layer each)."""

    def __init__(self, in_channels: int, hidden: int, num_classes: int, stride: int) -> None:
        super().__init__()
        self.shared = ConvBnAct(in_channels, hidden)
        self.class_branch = ConvBnAct(hidden, hidden // 2)
        self.distance_branch = ConvBnAct(hidden, hidden)
        self.classes = Conv2d(hidden // 2, num_classes, 1)
        self.distances = Conv2d(hidden, 4 * BINS, 1)
        # Start as if objects were as rare as they are (Lin et al. 2017, Focal Loss, 3.3): five in a 640-pixel picture.
        nn.init.constant_(self.classes.bias, math.log(5 / (640 / stride) ** 2))  # type: ignore[arg-type]
        nn.init.ones_(self.distances.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> RawMap:
        """Predict from one map."""
        x = self.shared(x)
        return RawMap(self.distances(self.distance_branch(x)), self.classes(self.class_branch(x)))


class YoloNet(nn.Module):
    """The whole network: float (N, 3, H, W) in [0, 1], H and W multiples of 32 -> one `RawMap` for each stride.

    The first convolution and its batch norm take up the mean and scale of the pictures, so none is subtracted.

    Args:
        num_classes: Number of classes.
        size: A key of `SIZES`.

    Raises:
        UsageError: An unknown size.
    """

    def __init__(self, num_classes: int, size: str = "n") -> None:
        super().__init__()
        if size not in SIZES:
            raise unknown("size", size, SIZES)
        channels, residuals, head = SIZES[size]
        self.backbone = Darknet(channels, residuals)
        self.neck = Neck(*channels[2:])
        self.heads = nn.ModuleList(
            Head(width, head, num_classes, stride) for width, stride in zip(channels[2:], STRIDES, strict=True)
        )

    def forward(self, images: Tensor) -> list[RawMap]:
        """Predict from a batch of pictures."""
        maps = self.backbone(images)
        merged = self.neck(maps["stage3"], maps["stage4"], maps["stage5"])
        return [head(x) for head, x in zip(self.heads, merged, strict=True)]


def anchor_points(maps: list[RawMap]) -> tuple[Tensor, Tensor]:
    """Return the centres of all cells in canvas pixels, float (A, 2) as x, y, and their strides (A, 1)."""
    points, strides = [], []
    for (distances, _), stride in zip(maps, STRIDES, strict=True):
        height, width = distances.shape[-2:]
        device = distances.device
        y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
        centres = (torch.stack((x, y), dim=-1).reshape(-1, 2).float() + 0.5) * stride
        points.append(centres)
        strides.append(torch.full((len(centres), 1), float(stride), device=device))
    return torch.cat(points), torch.cat(strides)


def flatten_maps(maps: list[RawMap]) -> tuple[Tensor, Tensor]:
    """Join all scales: distances (N, A, 4, BINS) and classes (N, A, number of classes), both float32 logits."""
    distances = torch.cat([m.distances.flatten(2) for m in maps], dim=2).float().transpose(1, 2)
    classes = torch.cat([m.classes.flatten(2) for m in maps], dim=2).float().transpose(1, 2)
    return distances.unflatten(2, (4, BINS)), classes


def expected_boxes(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    """Boxes (..., A, 4) in canvas pixels from centres (A, 2), strides (A, 1) and distance logits (..., A, 4, BINS).

    A distance is the mean of its distribution over the bins (Li et al. 2020, eq. 4), in strides.
    """
    bins = torch.arange(BINS, dtype=torch.float32, device=distances.device)
    # A column, not a vector: OpenCV DNN refuses a product with one-dimensional operands in an exported file.
    return xyxy_from_distances(points, (distances.softmax(-1) @ bins[:, None]).squeeze(-1) * strides)
