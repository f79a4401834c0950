"""Which of AlexNet's layers matter? Take them out and train again.

Zeiler and Fergus 2014, table 3, and the lecture: without the two middle convolutions or without the two fully connected
layers little is lost; without both, much. Here AlexNet's plan at a sixth of its width, for pictures of 32 pixels.

    python removing_layers.py CIFAR

Seen (5,000 pictures, 12 epochs): test error 51.1 % with all layers, 49.9 % without convolutions 3 and 4, 48.8 % without
the two fully connected layers, 47.6 % without either, and 696,000, 628,000, 107,000 and 38,000 parameters. On so few
pictures even "without both" loses nothing: what the layers add, 1.3 M pictures have to teach.
"""

from __future__ import annotations

import torch
from experiment import arguments, curve, learn, plot, splits
from torch import nn

from striate.core.layers import Conv2d, Dropout, Linear, MaxPool2d, ReLU

VARIANTS = {
    "all": (True, True),
    "without convolutions 3 and 4": (False, True),
    "without the fully connected 6 and 7": (True, False),
    "without either": (False, False),
}


def network(middle: bool, connected: bool, classes: int) -> nn.Module:
    """Five convolutions and three linear layers, or fewer."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [Conv2d(3, 16, 5, padding=2), ReLU(), MaxPool2d(2)]
    layers += [Conv2d(16, 40, 5, padding=2), ReLU(), MaxPool2d(2)]
    if middle:
        layers += [Conv2d(40, 64, 3, padding=1), ReLU(), Conv2d(64, 64, 3, padding=1), ReLU()]
    layers += [Conv2d(64 if middle else 40, 40, 3, padding=1), ReLU(), MaxPool2d(2), nn.Flatten()]
    if connected:
        layers += [Dropout(), Linear(640, 512), ReLU(), Dropout(), Linear(512, 512), ReLU()]
    return nn.Sequential(*layers, Linear(512 if connected else 640, classes))


options = arguments(__doc__, pictures=10_000, epochs=20)
train, test = splits(options)
curves = {}
for name, (middle, connected) in VARIANTS.items():
    model = network(middle, connected, len(train.names))
    count = sum(p.numel() for p in model.parameters())
    history = learn(model, train, test, size=32, channels=3, epochs=options.epochs, learning_rate=1e-3)
    curves[name] = curve(history, "test_error")
    print(f"{name}: {count:,} parameters, test error {history.rows[-1]['test_error']:.3f}", flush=True)
plot(options.out / "removing_layers.png", curves, "epoch", "test error", "AlexNet's plan, taken apart")
