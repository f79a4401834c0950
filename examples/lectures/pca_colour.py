"""Does PCA colour augmentation help? The same network with and without it.

Krizhevsky et al. 2012, section 4.1: adding multiples of the principal components of the colours reduces the top-1 error
on ImageNet by over 1 %.

    python pca_colour.py CIFAR

Seen (5,000 pictures, 12 epochs): 31.4 % test error without, 30.2 % with PCA colour: about what the paper says, from one
run each, whose own spread is of that size.
"""

from __future__ import annotations

import torch
from experiment import arguments, curve, learn, plot, splits

from striate.core.augment_batch import BatchAugmentation
from striate.core.models import build

options = arguments(__doc__, pictures=5000, epochs=12)
train, test = splits(options)
curves = {}
for name, strength in (("flip and shift", 0.0), ("with PCA colour", 0.1)):
    torch.manual_seed(0)
    history = learn(
        build("small", len(train.names), widths=(32, 64, 64)), train, test, size=32, channels=3, epochs=options.epochs,
        augmentation=BatchAugmentation(flip=0.5, translate=0.125, pca=strength), optimizer="sgd", learning_rate=0.5,
        weight_decay=1e-3, momentum=0.85,
    )  # fmt: skip
    curves[name] = curve(history, "test_error")
    print(f"{name}: test error {history.rows[-1]['test_error']:.3f}")
plot(options.out / "pca_colour.png", curves, "epoch", "test error", "PCA colour augmentation")
