"""SqueezeNet 1.0 and 1.1 (Iandola et al. 2016), named as torchvision's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..checks import unknown
from ..layers import AdaptiveAvgPool2d, Conv2d, Dropout, MaxPool2d, ReLU
from .start import start

# Fire modules as (squeeze, expand), None for a pooling; before them the stem (channels, window).
VERSIONS = {
    "1.0": ((96, 7), (None, 16, 16, 32, None, 32, 48, 48, 64, None, 64)),
    "1.1": ((64, 3), (None, 16, 16, None, 32, 32, None, 48, 48, 64, 64)),
}


class Fire(nn.Module):
    """Squeeze by a 1x1, expand by a 1x1 and a 3x3 side by side (figure 1): (N, C, H, W) -> (N, 8 squeeze, H, W)."""

    def __init__(self, before: int, squeeze: int) -> None:
        super().__init__()
        self.squeeze, self.squeeze_activation = Conv2d(before, squeeze, 1), ReLU()
        self.expand1x1, self.expand1x1_activation = Conv2d(squeeze, 4 * squeeze, 1), ReLU()
        self.expand3x3, self.expand3x3_activation = Conv2d(squeeze, 4 * squeeze, 3, padding=1), ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Squeeze, expand, join."""
        x = self.squeeze_activation(self.squeeze(x))
        one, three = self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))
        return torch.cat((one, three), 1)


class SqueezeNet(nn.Module):
    """(N, C, 224, 224) -> (N, classes); 1.24 M parameters.

    Args:
        version: "1.0" or "1.1", which takes 2.4 times fewer multiply-adds.
        classes: Number of classes.
        in_channels: Of the pictures.
        dropout: Probability, before the last layer.
    """

    head = "classifier.1"

    def __init__(self, version: str = "1.1", classes: int = 1000, in_channels: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        if version not in VERSIONS:
            raise unknown("version", version, VERSIONS)
        (channels, window), plan = VERSIONS[version]
        layers: list[nn.Module] = [Conv2d(in_channels, channels, window, 2), ReLU()]
        self.maps: dict[str, str] = {"relu1": "features.1"}
        for squeeze in plan:
            if squeeze is not None:
                self.maps[f"fire{sum(isinstance(layer, Fire) for layer in layers) + 2}"] = f"features.{len(layers)}"
            layers.append(MaxPool2d(3, 2, ceil_mode=True) if squeeze is None else Fire(channels, squeeze))
            channels = channels if squeeze is None else 8 * squeeze
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(Dropout(dropout), Conv2d(channels, classes, 1), ReLU(), AdaptiveAvgPool2d(1))
        start(self)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the scores."""
        return self.classifier(self.features(images)).flatten(1)
