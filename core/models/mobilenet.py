"""MobileNet: depthwise and pointwise convolutions (Howard et al. 2017); inverted residuals (Sandler et al. 2018)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dropout, Linear, ReLU, ReLU6
from .start import start

# Table 1 of 2017: (channels, stride) of the separable convolutions.
SEPARABLE = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    *((512, 1),) * 5, (1024, 2), (1024, 1),
)  # fmt: skip
# Table 2 of 2018: expansion, channels, repeats, stride.
INVERTED = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class SamePadding(nn.Module):
    """Zeros around a map as TensorFlow's SAME puts them: the odd one below and to the right."""

    def __init__(self, window: int, stride: int) -> None:
        super().__init__()
        self.window, self.stride = window, stride

    def forward(self, x: Tensor) -> Tensor:
        """Pad (N, C, H, W) so that ceil(H / stride) windows fit."""
        totals = [max((-(-size // self.stride) - 1) * self.stride + self.window - size, 0) for size in x.shape[2:]]
        (down, along) = totals
        return F.pad(x, (along // 2, along - along // 2, down // 2, down - down // 2))


def separable(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """Depthwise 3x3 and pointwise 1x1, each with batch norm and ReLU: about an eighth of a 3x3's multiply-adds."""
    return nn.Sequential(
        *(Conv2d(before, before, 3, stride, 1, groups=before, bias=False), BatchNorm2d(before), ReLU()),
        *(Conv2d(before, after, 1, bias=False), BatchNorm2d(after), ReLU()),
    )


class MobileNet(nn.Module):
    """MobileNet of 2017: (N, C, 224, 224) -> (N, classes); 4.2 M parameters at width 1.

    Args:
        classes: Number of classes.
        in_channels: Of the pictures.
        width: Multiplier of all channels, alpha in the paper.
        dropout: Probability, before the last layer.
    """

    head = "fc"

    def __init__(self, classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.001) -> None:
        super().__init__()
        channels = int(32 * width)
        stem = [Conv2d(in_channels, channels, 3, 2, 1, bias=False), BatchNorm2d(channels), ReLU()]
        layers: list[nn.Module] = [nn.Sequential(*stem)]
        for after, stride in SEPARABLE:
            layers.append(separable(channels, int(after * width), stride))
            channels = int(after * width)
        self.features = nn.Sequential(*layers)
        self.maps = {f"block{n}": f"features.{n}" for n in range(len(layers))}
        self.avgpool, self.dropout, self.fc = AdaptiveAvgPool2d(1), Dropout(dropout), Linear(channels, classes)
        start(self)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the scores."""
        return self.fc(self.dropout(self.avgpool(self.features(images)).flatten(1)))


class InvertedResidual(nn.Module):
    """Expand by a 1x1, filter depthwise, project by a 1x1 without activation; the identity beside it where it fits."""

    def __init__(self, before: int, after: int, stride: int, expansion: int, folded: bool) -> None:
        super().__init__()
        inner = before * expansion
        layers = [] if expansion == 1 else [_conv(before, inner, 1, folded=folded)]
        layers.append(_conv(inner, inner, 3, stride, inner, folded=folded))
        last = _conv(inner, after, 1, folded=folded)
        self.conv = nn.Sequential(*layers, *list(last)[:-1])
        self.shortcut = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        """Return F(x) + x, or F(x)."""
        return x + self.conv(x) if self.shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    """MobileNetV2, named as torchvision's: (N, C, 224, 224) -> (N, classes); 3.5 M parameters.

    Args:
        classes: Number of classes.
        in_channels: Of the pictures.
        folded: Biases instead of batch norms and TensorFlow's SAME padding, for weights that come that way.
        dropout: Probability, before the last layer.
    """

    head = "classifier.1"

    def __init__(self, classes: int = 1000, in_channels: int = 3, folded: bool = False, dropout: float = 0.2) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(in_channels, 32, 3, 2, folded=folded)]
        before = 32
        for expansion, after, repeats, stride in INVERTED:
            for number in range(repeats):
                layers.append(InvertedResidual(before, after, 1 if number else stride, expansion, folded))
                before = after
        self.features = nn.Sequential(*layers, _conv(before, 1280, 1, folded=folded))
        self.maps = {f"block{n}": f"features.{n}" for n in range(len(self.features))}
        self.avgpool = AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(Dropout(dropout), Linear(1280, classes))
        start(self)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the scores."""
        return self.classifier(self.avgpool(self.features(images)).flatten(1))


def _conv(
    before: int, after: int, window: int, stride: int = 1, groups: int = 1, *, folded: bool = False
) -> nn.Sequential:
    """Convolution, batch norm, ReLU6; folded: padding, convolution with bias, ReLU6."""
    if folded:
        padding = [SamePadding(window, stride)] if window > 1 else []
        return nn.Sequential(*padding, Conv2d(before, after, window, stride, groups=groups), ReLU6())
    conv = Conv2d(before, after, window, stride, window // 2, groups=groups, bias=False)
    return nn.Sequential(conv, BatchNorm2d(after), ReLU6())
