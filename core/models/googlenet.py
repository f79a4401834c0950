"""GoogLeNet (Szegedy et al. 2015, table 1), with batch norm, named as torchvision's."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from ..layers import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dropout, Linear, MaxPool2d, ReLU
from .start import start

# Module: channels before; then #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj.
TABLE = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
        self.bn, self.relu = BatchNorm2d(out_channels, eps=0.001), ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, normalize, activate."""
        return self.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Four branches side by side (figure 2b): (N, C, H, W) -> (N, sum of the branches, H, W)."""

    def __init__(self, before: int, one: int, to3: int, three: int, to5: int, five: int, pool: int, large: int) -> None:
        super().__init__()
        self.branch1 = ConvNorm(before, one, 1)
        self.branch2 = nn.Sequential(ConvNorm(before, to3, 1), ConvNorm(to3, three, 3))
        self.branch3 = nn.Sequential(ConvNorm(before, to5, 1), ConvNorm(to5, five, large))
        self.branch4 = nn.Sequential(MaxPool2d(3, 1, 1, ceil_mode=True), ConvNorm(before, pool, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Join the branches."""
        return torch.cat((self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)), 1)


class Auxiliary(nn.Module):
    """A classifier in the middle of the network that brings gradient to its lower half (section 5)."""

    def __init__(self, channels: int, classes: int, dropout: float = 0.7) -> None:
        super().__init__()
        self.pool, self.conv = AdaptiveAvgPool2d(4), ConvNorm(channels, 128, 1)
        self.fc1, self.relu, self.dropout = Linear(2048, 1024), ReLU(), Dropout(dropout)
        self.fc2 = Linear(1024, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the scores."""
        x = self.conv(self.pool(x)).flatten(1)
        return self.fc2(self.dropout(self.relu(self.fc1(x))))


class GoogLeNet(nn.Module):
    """(N, C, 224, 224) -> (N, classes); 6.6 M parameters, 13.0 M with the auxiliary classifiers.

    Args:
        classes: Number of classes.
        in_channels: Of the pictures.
        auxiliary: In training mode return (scores, scores at 4a, scores at 4d); their losses count 0.3 each.
        large: Window of the "5x5" branch: 3 as in torchvision and its weights, 5 as in the paper.
        dropout: Probability, before the last layer.
    """

    head = "fc"
    maps: ClassVar[dict[str, str]] = {f"inception{name}": f"inception{name}" for name in TABLE}

    def __init__(
        self, classes: int = 1000, in_channels: int = 3, auxiliary: bool = False, large: int = 3, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.conv1, self.maxpool1 = ConvNorm(in_channels, 64, 7, 2), MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.conv3 = ConvNorm(64, 64, 1), ConvNorm(64, 192, 3)
        self.maxpool2, self.maxpool3 = MaxPool2d(3, 2, ceil_mode=True), MaxPool2d(3, 2, ceil_mode=True)
        self.maxpool4 = MaxPool2d(2, 2, ceil_mode=True)
        for name, widths in TABLE.items():
            setattr(self, f"inception{name}", Inception(*widths, large))
        self.auxiliary = auxiliary
        if auxiliary:
            self.aux1, self.aux2 = Auxiliary(512, classes), Auxiliary(528, classes)
        self.avgpool, self.dropout, self.fc = AdaptiveAvgPool2d(1), Dropout(dropout), Linear(1024, classes)
        start(self)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Compute the scores."""
        x = self.maxpool2(self.conv3(self.conv2(self.maxpool1(self.conv1(images)))))
        seen = {}
        for name in TABLE:
            pool = {"4a": self.maxpool3, "5a": self.maxpool4}.get(name)
            x = seen[name] = getattr(self, f"inception{name}")(x if pool is None else pool(x))
        scores = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return (scores, self.aux1(seen["4a"]), self.aux2(seen["4d"])) if self.auxiliary and self.training else scores
