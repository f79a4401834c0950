"""LeNet-5: exactly as in 1998 (LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document
recognition), and as it is built today.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import ops
from ..layers import Conv2d, Dropout, Linear, MaxPool2d, ReLU

# Table I: which of S2's six maps each of C3's sixteen reads.
TABLE_I = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5),
)  # fmt: skip

# The output's targets: a 7 x 12 drawing of each digit, in the manner of figure 3; rows of seven pixels, top to bottom.
DIGITS = (
    "0000000 0011100 0100010 1000001 1000001 1000001 1000001 1000001 0100010 0011100 0000000 0000000",
    "0000000 0001000 0011000 0101000 0001000 0001000 0001000 0001000 0001000 0111110 0000000 0000000",
    "0000000 0111100 1000010 0000010 0000010 0000100 0011000 0100000 1000000 1111110 0000000 0000000",
    "0000000 1111110 0000100 0001000 0011100 0000010 0000001 0000001 1000010 0111100 0000000 0000000",
    "0000000 0000110 0001010 0010010 0100010 1000010 1111111 0000010 0000010 0000010 0000000 0000000",
    "0000000 1111111 1000000 1000000 1111100 0000010 0000001 0000001 1000010 0111100 0000000 0000000",
    "0000000 0011110 0100000 1000000 1011100 1100010 1000001 1000001 0100010 0011100 0000000 0000000",
    "0000000 1111111 0000001 0000010 0000100 0001000 0001000 0010000 0010000 0010000 0000000 0000000",
    "0000000 0011100 0100010 0100010 0011100 0100010 1000001 1000001 0100010 0011100 0000000 0000000",
    "0000000 0011100 0100010 1000001 1000001 0100011 0011101 0000001 0000010 0111100 0000000 0000000",
)
CODE = 84


class Squash(nn.Module):
    """1.7159 tanh(2 x / 3) (appendix A): +1 and -1, the targets, lie where its curvature is greatest."""

    def forward(self, x: Tensor) -> Tensor:
        """Squash every number."""
        return 1.7159 * ops.activation(x * (2 / 3), "tanh")


class Subsampling(nn.Module):
    """Add each 2 x 2 block, times a coefficient, plus a bias, both trained: (N, C, H, W) -> (N, C, H/2, W/2)."""

    kernel_size = stride = 2

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), 0.25))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Add, scale and shift."""
        return ops.avg_pool2d(x, 2, divisor_override=1) * self.weight[:, None, None] + self.bias[:, None, None]


class TableConv2d(nn.Module):
    """A 5 x 5 convolution whose maps read only some of the maps before: (N, 6, H, W) -> (N, 16, H-4, W-4).

    Args:
        table: For each map, which maps it reads; 60 connections have 1,500 weights, and 16 biases.
    """

    def __init__(self, table: tuple[tuple[int, ...], ...] = TABLE_I, kernel_size: int = 5) -> None:
        super().__init__()
        pairs = [(to, source) for to, sources in enumerate(table) for source in sources]
        self.kernel_size = kernel_size
        self.shape = (len(table), 1 + max(source for _, source in pairs), kernel_size, kernel_size)
        self.pairs: Tensor
        self.register_buffer("pairs", torch.tensor(pairs).T.contiguous(), persistent=False)
        fan_in = torch.tensor([len(table[to]) * kernel_size**2 for to, _ in pairs])
        self.weight = nn.Parameter(_paper_uniform((len(pairs), kernel_size, kernel_size), fan_in[:, None, None]))
        self.bias = nn.Parameter(torch.zeros(len(table)))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with the connected filters; the others are zeros."""
        to, source = self.pairs
        filters = self.weight.new_zeros(self.shape).index_put((to, source), self.weight)
        return ops.conv2d(x, filters, self.bias)


class RadialBasis(nn.Module):
    """Scores from squared distances to fixed codes of -1 and 1 (equation 7), negated so that the nearest is highest.

    Args:
        classes: Ten classes get the drawings of the digits; any other number gets random codes, as error-correcting
            output codes are (Dietterich and Bakiri 1995).
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.codes: Tensor
        self.register_buffer("codes", _codes(classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return -|x - code|^2, (N, classes)."""
        return -(x[:, None, :] - self.codes[None]).square().sum(2)


class LeNet5(nn.Module):
    """LeNet-5 as in 1998: (N, 1, 32, 32) -> scores (N, classes); 60,000 parameters.

    C1 156, S2 12, C3 1,516 by table I, S4 32, C5 48,120, F6 10,164 parameters, and fixed radial basis functions. Their
    negated distances are the scores: cross-entropy over them is the paper's equation 9 with its constant j at infinity.

    Args:
        classes: Number of classes.
        in_channels: Of the pictures.
    """

    head = "output"
    maps: ClassVar[dict[str, str]] = {
        "c1": "squash1",
        "s2": "squash2",
        "c3": "squash3",
        "s4": "squash4",
        "c5": "squash5",
    }

    def __init__(self, classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.c1 = _paper_start(Conv2d(in_channels, 6, 5))
        self.s2 = Subsampling(6)
        self.c3 = TableConv2d()
        self.s4 = Subsampling(16)
        self.c5 = _paper_start(Conv2d(16, 120, 5))
        self.f6 = _paper_start(Linear(120, CODE))
        self.output = RadialBasis(classes)
        self.squash1, self.squash2, self.squash3, self.squash4, self.squash5, self.squash6 = (
            Squash() for _ in range(6)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Compute the scores of pictures whose background is -0.1 and ink 1.175, as the paper normalizes them."""
        x = self.squash2(self.s2(self.squash1(self.c1(images))))
        x = self.squash4(self.s4(self.squash3(self.c3(x))))
        x = self.squash5(self.c5(x)).flatten(1)
        return self.output(self.squash6(self.f6(x)))


class LeNet(nn.Module):
    """LeNet-5 of today: all maps connected, ReLU, max pooling, linear scores: (N, C, 28, 28) -> (N, classes).

    Args:
        classes: Number of classes.
        in_channels: Of the pictures.
        dropout: Probability, before the last two layers.
    """

    head = "fc3"
    maps: ClassVar[dict[str, str]] = {name: name for name in ("relu1", "pool1", "relu2", "pool2", "relu3", "relu4")}

    def __init__(self, classes: int = 10, in_channels: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv1, self.relu1, self.pool1 = Conv2d(in_channels, 6, 5, padding=2), ReLU(), MaxPool2d(2)
        self.conv2, self.relu2, self.pool2 = Conv2d(6, 16, 5), ReLU(), MaxPool2d(2)
        self.fc1, self.relu3, self.drop1 = Linear(400, 120), ReLU(), Dropout(dropout)
        self.fc2, self.relu4, self.drop2 = Linear(120, 84), ReLU(), Dropout(dropout)
        self.fc3 = Linear(84, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the scores."""
        x = self.pool1(self.relu1(self.conv1(images)))
        x = self.pool2(self.relu2(self.conv2(x))).flatten(1)
        x = self.drop1(self.relu3(self.fc1(x)))
        return self.fc3(self.drop2(self.relu4(self.fc2(x))))


def _paper_uniform(shape: tuple[int, ...], fan_in: Tensor) -> Tensor:
    """Weights uniform in +-2.4 / fan-in (appendix A)."""
    return (2 * torch.rand(shape) - 1) * 2.4 / fan_in


def _paper_start(layer: Any) -> Any:
    with torch.no_grad():
        layer.weight.copy_(_paper_uniform(tuple(layer.weight.shape), torch.tensor(layer.weight[0].numel())))
        assert layer.bias is not None
        layer.bias.zero_()
    return layer


def _codes(classes: int) -> Tensor:
    if classes == len(DIGITS):
        return torch.tensor([[2.0 * int(pixel) - 1 for pixel in rows.replace(" ", "")] for rows in DIGITS])
    drawn = torch.rand(classes, CODE, generator=torch.Generator().manual_seed(1998))
    return torch.where(drawn < 0.5, -1.0, 1.0)
