"""DenseNet (Huang, Liu, van der Maaten and Weinberger 2017, table 1), named as torchvision's."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from ..layers import AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, Conv2d, Linear, MaxPool2d, ReLU
from .start import start

BLOCKS = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}


class DenseLayer(nn.Module):
    """Norm, ReLU, 1x1, norm, ReLU, 3x3 on all maps before: gives `growth` more channels."""

    def __init__(self, before: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.relu1, self.conv1 = BatchNorm2d(before), ReLU(), Conv2d(before, 4 * growth, 1, bias=False)
        self.norm2, self.relu2 = BatchNorm2d(4 * growth), ReLU()
        self.conv2 = Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Join the new channels to the old."""
        new = self.conv2(self.relu2(self.norm2(self.conv1(self.relu1(self.norm1(x))))))
        return torch.cat((x, new), 1)


class DenseNet(nn.Module):
    """(N, C, 224, 224) -> (N, classes); DenseNet-121 has 8.0 M parameters.

    Args:
        depth: 121, 169 or 201.
        classes: Number of classes.
        in_channels: Of the pictures.
        growth: Channels that each layer adds.
    """

    head = "classifier"

    def __init__(self, depth: int = 121, classes: int = 1000, in_channels: int = 3, growth: int = 32) -> None:
        super().__init__()
        channels = 2 * growth
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=Conv2d(in_channels, channels, 7, 2, 3, bias=False),
            norm0=BatchNorm2d(channels),
            relu0=ReLU(),
            pool0=MaxPool2d(3, 2, 1),
        )
        for block, count in enumerate(BLOCKS[depth], 1):
            dense: OrderedDict[str, nn.Module] = OrderedDict()
            for number in range(1, count + 1):
                dense[f"denselayer{number}"] = DenseLayer(channels, growth)
                channels += growth
            layers[f"denseblock{block}"] = nn.Sequential(dense)
            if block < len(BLOCKS[depth]):
                layers[f"transition{block}"] = _transition(channels)
                channels //= 2
        layers["norm5"], layers["relu5"] = BatchNorm2d(channels), ReLU()
        self.features = nn.Sequential(layers)
        self.maps = {f"denseblock{block}": f"features.denseblock{block}" for block in range(1, 5)}
        self.avgpool, self.classifier = AdaptiveAvgPool2d(1), Linear(channels, classes)
        start(self)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the scores."""
        return self.classifier(self.avgpool(self.features(images)).flatten(1))


def _transition(channels: int) -> nn.Sequential:
    """Norm, ReLU, 1x1 to half the channels, average pooling."""
    conv = Conv2d(channels, channels // 2, 1, bias=False)
    return nn.Sequential(OrderedDict(norm=BatchNorm2d(channels), relu=ReLU(), conv=conv, pool=AvgPool2d(2)))
