"""Deeper is worse, unless there are shortcuts: plain and residual networks of two depths.

He et al. 2016, figure 6: on CIFAR-10 a plain network of 56 layers has a higher training error than one of 20; with
shortcuts the deeper one is better.

    python plain_or_residual.py CIFAR

With --pictures 2500 --epochs 10, a quarter of the paper's channels, training and test error: plain 20 layers 0.565 and
0.638, plain 56 layers 0.819 and 0.821; residual 20 layers 0.294 and 0.517, residual 56 layers 0.771 and 0.774. Depth
hurts the plain network, and shortcuts help at either depth; that the deeper residual network is the better one does
not show in a training this short.
"""

from __future__ import annotations

import torch
from experiment import arguments, curve, learn, plot, splits
from torch import Tensor, nn

from striate.core.layers import BatchNorm2d, Conv2d, Linear, ReLU

WIDTHS = (8, 16, 32)


class Block(nn.Module):
    """Two 3x3 convolutions, with or without the identity beside them (option A: no weights in the shortcut)."""

    def __init__(self, before: int, width: int, plain: bool) -> None:
        super().__init__()
        self.stride, self.plain, self.more = 1 if before == width else 2, plain, width - before
        self.conv1 = Conv2d(before, width, 3, self.stride, 1, bias=False)
        self.conv2 = Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm1, self.norm2, self.relu = BatchNorm2d(width), BatchNorm2d(width), ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        if not self.plain:
            y = y + nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return self.relu(y)


def network(depth: int, plain: bool, classes: int) -> nn.Module:
    """6 n + 2 layers of weights (section 4.2), a quarter of the paper's channels."""
    torch.manual_seed(0)
    before, layers = WIDTHS[0], [Conv2d(3, WIDTHS[0], 3, padding=1, bias=False), BatchNorm2d(WIDTHS[0]), ReLU()]
    for width in WIDTHS:
        for _ in range((depth - 2) // 6):
            layers.append(Block(before, width, plain))
            before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(before, classes))


options = arguments(__doc__, pictures=5000, epochs=15)
train, test = splits(options)
curves = {}
for plain in (True, False):
    for depth in (20, 56):
        name = f"{'plain' if plain else 'residual'} {depth}"
        history = learn(
            network(depth, plain, len(train.names)), train, test, size=32, channels=3, epochs=options.epochs,
            optimizer="sgd", learning_rate=0.1, weight_decay=1e-4,
        )  # fmt: skip
        curves[name] = curve(history, "train_error")
        last = history.rows[-1]
        print(f"{name}: train error {last['train_error']:.3f}, test error {last['test_error']:.3f}", flush=True)
plot(options.out / "plain_or_residual.png", curves, "epoch", "training error", "Depth with and without shortcuts")
