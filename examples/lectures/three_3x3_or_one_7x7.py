"""Three 3x3 convolutions or one 7x7: the same view, fewer weights, more nonlinearity.

Simonyan and Zisserman 2015, section 2.3: a stack of three 3x3 sees 7x7 pixels with 27 C^2 weights against 49 C^2, and
has three rectifications instead of one.

    python three_3x3_or_one_7x7.py CIFAR

Seen (5,000 pictures, 10 epochs): both see 7 pixels; three 3x3 have 48,618 parameters and 36.4 % test error, one 7x7 has
56,298 and 40.5 %. They cost 21.5 M products against 8.0 M, because only the first of them works on three channels.
"""

from __future__ import annotations

import torch
from experiment import arguments, curve, learn, plot, splits
from torch import nn

from striate.core.layers import BatchNorm2d, Conv2d, Linear, MaxPool2d, ReLU
from striate.core.models import summarize

WIDTH = 32


def block(windows: tuple[int, ...], before: int) -> list[nn.Module]:
    """Convolutions of these windows, then pooling."""
    layers: list[nn.Module] = []
    for window in windows:
        layers += [Conv2d(before, WIDTH, window, padding=window // 2, bias=False), BatchNorm2d(WIDTH), ReLU()]
        before = WIDTH
    return [*layers, MaxPool2d(4)]


def network(windows: tuple[int, ...], classes: int) -> nn.Module:
    """Two such blocks and a linear layer."""
    torch.manual_seed(0)
    return nn.Sequential(*block(windows, 3), *block(windows, WIDTH), nn.Flatten(), Linear(4 * WIDTH, classes))


options = arguments(__doc__, pictures=5000, epochs=10)
train, test = splits(options)
curves = {}
for name, windows in (("three 3x3", (3, 3, 3)), ("one 7x7", (7,))):
    model = network(windows, len(train.names))
    table = summarize(model, (3, 32, 32))
    view = max(row.receptive_field for row in table.rows if row.kind == "Conv2d" and row.stride == 1)
    history = learn(model, train, test, size=32, channels=3, epochs=options.epochs, learning_rate=2e-3)
    curves[name] = curve(history, "test_error")
    print(
        f"{name}: sees {view} pixels, {table.parameters:,} parameters, {table.multiply_adds / 1e6:.1f} M products, "
        f"test error {history.rows[-1]['test_error']:.3f}"
    )
plot(options.out / "three_3x3_or_one_7x7.png", curves, "epoch", "test error", "One view, two ways")
