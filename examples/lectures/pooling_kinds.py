"""Max, average or stochastic pooling: the same network, the same pictures.

Zeiler and Fergus 2013, table 1: average and max pooling reach a training error near 0 and a test error of 19 % on
CIFAR-10; stochastic pooling trains slower and tests at 15 %.

    python pooling_kinds.py CIFAR

Seen (5,000 pictures, 10 epochs): train and test error 9.1 and 36.5 % with max, 21.5 and 37.1 % with average, 19.3 and
36.9 % with stochastic pooling. Ten epochs are too few for stochastic pooling to win; that it overfits less shows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from experiment import arguments, curve, learn, plot, splits
from torch import nn

from striate.core.layers import AvgPool2d, BatchNorm2d, Conv2d, Linear, MaxPool2d, ReLU, StochasticPool2d


def network(pool: Callable[[], nn.Module], classes: int) -> nn.Module:
    """Three convolutions of 5x5, each followed by pooling over 2x2."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    before = 3
    for width in (32, 64, 64):
        layers += [Conv2d(before, width, 5, padding=2, bias=False), BatchNorm2d(width), ReLU(), pool()]
        before = width
    return nn.Sequential(*layers, nn.Flatten(), Linear(64 * 16, classes))


options = arguments(__doc__, pictures=5000, epochs=10)
train, test = splits(options)
curves = {}
for name, layer in (("max", MaxPool2d), ("average", AvgPool2d), ("stochastic", StochasticPool2d)):
    history = learn(
        network(partial(layer, 2), len(train.names)), train, test, size=32, channels=3,
        epochs=options.epochs, learning_rate=2e-3, weight_decay=0.01,
    )  # fmt: skip
    curves[f"{name}, train"], curves[f"{name}, test"] = curve(history, "train_error"), curve(history, "test_error")
    last = history.rows[-1]
    print(f"{name}: train error {last['train_error']:.3f}, test error {last['test_error']:.3f}")
plot(options.out / "pooling_kinds.png", curves, "epoch", "error", "Pooling by maximum, mean or chance")
