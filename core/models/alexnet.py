"""AlexNet: as torchvision has it (one tower), and as in 2012 (two groups, local response normalization)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from ..layers import AdaptiveAvgPool2d, Conv2d, Dropout, Linear, LocalResponseNorm, MaxPool2d, ReLU


class AlexNet(nn.Module):
    """One tower (Krizhevsky 2014, One weird trick): (N, C, 224, 224) -> (N, classes); 61.1 M parameters.

    Args:
        classes: Number of classes.
        in_channels: Of the pictures.
        dropout: Probability, before the first two linear layers.
    """

    head = "classifier.6"
    maps: ClassVar[dict[str, str]] = {f"relu{i}": f"features.{n}" for i, n in enumerate((1, 4, 7, 9, 11), 1)}

    def __init__(self, classes: int = 1000, in_channels: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(Conv2d(in_channels, 64, 11, 4, 2), ReLU(), MaxPool2d(3, 2)),
            *(Conv2d(64, 192, 5, padding=2), ReLU(), MaxPool2d(3, 2)),
            *(Conv2d(192, 384, 3, padding=1), ReLU()),
            *(Conv2d(384, 256, 3, padding=1), ReLU()),
            *(Conv2d(256, 256, 3, padding=1), ReLU(), MaxPool2d(3, 2)),
        )
        self.avgpool = AdaptiveAvgPool2d(6)
        self.classifier = _classifier(256 * 36, classes, dropout)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the scores."""
        return self.classifier(self.avgpool(self.features(images)).flatten(1))


class AlexNet2012(nn.Module):
    """The network of Krizhevsky, Sutskever and Hinton 2012, figure 2: (N, C, 227, 227) -> (N, classes); 61.0 M.

    The two GPUs' towers are the two groups of the second, fourth and fifth convolution. Normalization follows section
    3.3, k = 2, n = 5, alpha = 1e-4 (torch divides alpha by n), beta = 0.75. The paper's text says 224, its sizes 227.

    Args:
        classes: Number of classes.
        in_channels: Of the pictures.
        dropout: Probability, before the first two linear layers.
    """

    head = "classifier.6"
    maps: ClassVar[dict[str, str]] = {f"relu{i}": f"features.{n}" for i, n in enumerate((1, 5, 9, 11, 13), 1)}

    def __init__(self, classes: int = 1000, in_channels: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(Conv2d(in_channels, 96, 11, 4), ReLU(), _response_norm(), MaxPool2d(3, 2)),
            *(Conv2d(96, 256, 5, padding=2, groups=2), ReLU(), _response_norm(), MaxPool2d(3, 2)),
            *(Conv2d(256, 384, 3, padding=1), ReLU()),
            *(Conv2d(384, 384, 3, padding=1, groups=2), ReLU()),
            *(Conv2d(384, 256, 3, padding=1, groups=2), ReLU(), MaxPool2d(3, 2)),
        )
        self.classifier = _classifier(256 * 36, classes, dropout)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the scores."""
        return self.classifier(self.features(images).flatten(1))


def _response_norm() -> LocalResponseNorm:
    return LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def _classifier(features: int, classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        *(Dropout(dropout), Linear(features, 4096), ReLU()),
        *(Dropout(dropout), Linear(4096, 4096), ReLU()),
        Linear(4096, classes),
    )
