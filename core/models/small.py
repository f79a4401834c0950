"""A network for small pictures, and the two simplest classifiers there are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..checks import UsageError
from ..layers import AdaptiveMaxPool2d, BatchNorm2d, Conv2d, Dropout, Linear, MaxPool2d, ReLU, SiLU

# Scores are divided by it (Jordan 2024): the largest of 256 features that a map holds make them so long that the rates
# of 0.3 to 1, which the convolutions want, let the last layer diverge (measured: 2.3 = no learning after four epochs).
TEMPERATURE = 9


# Added to each direction's variance before it is brought to 1. Jordan's 5e-4 is for pictures as they were taken: JPEG
# leaves 1e-4 in the finest colours, which would be amplified 40 times. On 6,000 JPEGs of CIFAR-10, 8 epochs, test
# accuracy is 69.1 % with 5e-4, 71.2 % with 0.01, 72.6 % with 0.03, 72.2 % with 0.1.
LEAST_VARIANCE = 0.03


class SmallNet(nn.Module):
    """Whitening, then groups of two or three 3x3 convolutions that halve the map: (N, C, H, W) -> (N, classes).

    After Jordan 2024, 94 % on CIFAR-10 in 3.29 seconds on a single GPU, section 3, whose network has the widths of the
    default: 2.0 M parameters. Differs from it in SiLU for GELU, in trained batch norm scales, and in the largest value
    over the whole last map instead of over 3x3, so that pictures may have any size.

    Args:
        classes: Number of classes.
        in_channels: Of the pictures.
        widths: Channels of the groups; each group halves the map.
        dropout: Probability, before the last layer.
        depth: Convolutions of a group, 2 or 3.

    Raises:
        UsageError: Another depth.
    """

    head = "fc"

    def __init__(
        self,
        classes: int = 10,
        in_channels: int = 3,
        widths: Sequence[int] = (64, 256, 256),
        dropout: float = 0.0,
        depth: int = 2,
    ) -> None:
        super().__init__()
        if depth not in (2, 3):
            raise UsageError("a depth of 2 or 3 convolutions in a group", repr(depth), "choose one of them")
        self.whiten, self.act = Conv2d(in_channels, 8 * in_channels, 2), SiLU()
        self.whiten.weight.requires_grad_(False)
        before = 8 * in_channels
        for number, width in enumerate(widths, 1):
            setattr(self, f"group{number}", Group(before, width, depth))
            before = width
        self.groups = len(widths)
        self.maps = {f"group{number}": f"group{number}" for number in range(1, self.groups + 1)}
        self.pool, self.drop, self.fc = AdaptiveMaxPool2d(1), Dropout(dropout), Linear(before, classes)

    @torch.no_grad()
    def start(self, images: Tensor) -> None:
        """Set the first filters to the eigenvectors of 2x2 patches, scaled to about variance 1, and their negatives.

        Args:
            images: Normalized pictures (N, C, H, W), some thousand.
        """
        patches = images.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).reshape(-1, images.shape[1] * 4)
        values, vectors = torch.linalg.eigh(patches.double().T.cov())
        scaled = vectors / (values.clamp(min=0) + LEAST_VARIANCE).sqrt()
        filters = scaled.T.flip(0).view(-1, images.shape[1], 2, 2).to(self.whiten.weight)
        self.whiten.weight.copy_(torch.cat((filters, -filters)))

    def forward(self, images: Tensor) -> Tensor:
        """Compute the scores."""
        x = self.act(self.whiten(images))
        for number in range(1, self.groups + 1):
            x = getattr(self, f"group{number}")(x)
        return self.fc(self.drop(self.pool(x).flatten(1))) / TEMPERATURE


class Group(nn.Module):
    """Convolution, 2x2 pooling, norm, SiLU, then another or a residual of two: (N, in, H, W) -> (N, out, H/2, W/2).

    Pooling before the norm leaves it a quarter of the numbers to read.

    Args:
        in_channels: Before.
        out_channels: After.
        depth: Convolutions, 2, or 3 of which the last two are passed by, as in Jordan's network of 96 %.
    """

    def __init__(self, in_channels: int, out_channels: int, depth: int = 2) -> None:
        super().__init__()
        self.conv1 = _identity(Conv2d(in_channels, out_channels, 3, padding=1, bias=False))
        self.pool, self.norm1, self.act1 = MaxPool2d(2), BatchNorm2d(out_channels), SiLU()
        self.conv2 = _identity(Conv2d(out_channels, out_channels, 3, padding=1, bias=False))
        self.norm2, self.act2 = BatchNorm2d(out_channels), SiLU()
        self.deep = depth == 3
        if self.deep:
            self.conv3 = _identity(Conv2d(out_channels, out_channels, 3, padding=1, bias=False))
            self.norm3, self.act3 = BatchNorm2d(out_channels), SiLU()

    def forward(self, x: Tensor) -> Tensor:
        """Compute the maps."""
        before = self.act1(self.norm1(self.pool(self.conv1(x))))
        x = self.act2(self.norm2(self.conv2(before)))
        return self.act3(self.norm3(self.conv3(x)) + before) if self.deep else x


def _identity(conv: Conv2d) -> Conv2d:
    """Let as many filters as there are channels pass their channel through (Jordan 2024, section 3.2)."""
    nn.init.dirac_(conv.weight[: conv.in_channels].detach())
    return conv


class Mlp(nn.Module):
    """Fully connected layers with ReLU between them: (N, C, H, W) -> (N, classes).

    Args:
        classes: Number of classes.
        in_channels: Of the pictures.
        image_size: Side of the square pictures.
        hidden: Widths between; none makes it the linear classifier, whose weights are templates (`templates`).
        dropout: Probability, before each layer but the first.
    """

    def __init__(
        self,
        classes: int = 10,
        in_channels: int = 1,
        image_size: int = 28,
        hidden: Sequence[int] = (256, 128),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_channels, self.image_size = in_channels, image_size
        widths = [in_channels * image_size**2, *hidden, classes]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths[:-1]):
            layers += [Linear(before, after), ReLU(), Dropout(dropout)]
        self.layers = nn.Sequential(*layers, Linear(widths[-2], classes))
        self.head = f"layers.{len(layers)}"

    def forward(self, images: Tensor) -> Tensor:
        """Compute the scores."""
        return self.layers(images.flatten(1))

    def templates(self) -> Tensor:
        """Return what each unit of the first layer looks for, as pictures (units, C, image_size, image_size)."""
        first = self.layers[0]
        assert isinstance(first, Linear)
        return first.weight.detach().view(-1, self.in_channels, self.image_size, self.image_size)
