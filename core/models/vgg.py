"""VGG-11, 13, 16 and 19 (Simonyan and Zisserman 2015, table 1, columns A, B, D and E), with or without batch norm."""

from __future__ import annotations

from torch import Tensor, nn

from ..checks import unknown
from ..layers import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dropout, Linear, MaxPool2d, ReLU
from .start import start

WIDTHS = (64, 128, 256, 512, 512)
CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class Vgg(nn.Module):
    """(N, C, 224, 224) -> (N, classes); VGG-16 has 138.4 M parameters. Named and numbered as torchvision's.

    Args:
        depth: 11, 13, 16 or 19 layers with weights.
        classes: Number of classes.
        in_channels: Of the pictures.
        norm: Batch norm after every convolution.
        dropout: Probability, after the first two linear layers.

    Attributes:
        maps: "conv1_1" and "relu1_1", before and after an activation, to "pool5".
    """

    head = "classifier.6"

    def __init__(
        self, depth: int = 16, classes: int = 1000, in_channels: int = 3, norm: bool = False, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if depth not in CONVOLUTIONS:
            raise unknown("depth", str(depth), map(str, CONVOLUTIONS))
        layers: list[nn.Module] = []
        self.maps: dict[str, str] = {}
        for block, (width, count) in enumerate(zip(WIDTHS, CONVOLUTIONS[depth], strict=True), 1):
            for number in range(1, count + 1):
                self.maps[f"conv{block}_{number}"] = f"features.{len(layers)}"
                layers += [Conv2d(in_channels, width, 3, padding=1), *([BatchNorm2d(width)] if norm else []), ReLU()]
                self.maps[f"relu{block}_{number}"] = f"features.{len(layers) - 1}"
                in_channels = width
            self.maps[f"pool{block}"] = f"features.{len(layers)}"
            layers.append(MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            *(Linear(512 * 49, 4096), ReLU(), Dropout(dropout)),
            *(Linear(4096, 4096), ReLU(), Dropout(dropout)),
            Linear(4096, classes),
        )
        start(self)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the scores."""
        return self.classifier(self.avgpool(self.features(images)).flatten(1))
