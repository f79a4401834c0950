"""What the lectures' experiments share: arguments, a training that counts its errors, a plot."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from striate.core.augment_batch import BatchAugmentation
from striate.core.class_loss import ClassLoss
from striate.core.class_network import Normalized
from striate.core.class_pictures import ClassPictures, statistics
from striate.core.datasets.classes import ClassDataset
from striate.core.datasets.load_classes import list_class_splits, load_classes
from striate.core.history import History
from striate.core.recipe import make_options
from striate.core.training import fit

Curves = dict[str, tuple[list[float], list[float]]]


def arguments(text: str | None, pictures: int, epochs: int) -> argparse.Namespace:
    """Read DATA, --pictures, --epochs, --seed and --out; the defaults are those of the figures in the docstring."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of CIFAR's or MNIST's files, or of class folders")
    parser.add_argument("--pictures", type=int, default=pictures, help="to train on")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the plot")
    return parser.parse_args()


def splits(options: argparse.Namespace) -> tuple[ClassDataset, ClassDataset]:
    """Return some training pictures and at most 2,000 test pictures."""
    train = load_classes(options.data, "train")
    if "test" in list_class_splits(options.data):
        test = load_classes(options.data, "test", names=train.names)
    else:
        train, test = train.split_off(0.2, seed=options.seed)
    rng = np.random.default_rng(options.seed)
    return train.subset(rng.permutation(len(train))[: options.pictures]), test.subset(rng.permutation(len(test))[:2000])


def learn(
    network: nn.Module,
    train: ClassDataset,
    test: ClassDataset,
    *,
    size: int,
    channels: int,
    epochs: int,
    augmentation: BatchAugmentation | None = None,
    seed: int = 0,
    **options: object,
) -> History:
    """Train a network; each row of the history has "train_error" and "test_error", shares of pictures named wrong."""
    pictures, others = ClassPictures(train, size, channels), ClassPictures(test, size, channels)
    whole = Normalized(network, *statistics(pictures))
    few = ClassPictures(train.subset(range(min(2000, len(train)))), size, channels)
    recipe = {"batch_size": 100, "ema_decay": 0.0, "warmup_epochs": 0.0, "device": "cpu", **options}
    return fit(
        whole,
        pictures,
        ClassLoss(augmentation or BatchAugmentation(), size, len(train.names), seed),
        options=make_options(epochs=epochs, seed=seed, **recipe),
        validate=lambda model: {"train_error": error(model, few), "test_error": error(model, others)},
    )


@torch.no_grad()
def error(model: nn.Module, pictures: ClassPictures) -> float:
    """Return the share of pictures that a network names wrong."""
    wrong = 0
    for part in np.split(np.arange(len(pictures)), np.arange(200, len(pictures), 200)):
        scores = model(pictures.images(part).float() / 255)
        wrong += int((scores.argmax(1).numpy() != pictures.dataset.labels[part]).sum())
    return wrong / len(pictures)


def plot(file: Path, curves: Curves, x: str, y: str, title: str) -> None:
    """Draw curves of (xs, ys) by name into a PNG."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, (xs, ys) in curves.items():
        axes.plot(xs, ys, marker=".", label=name)
    axes.set(xlabel=x, ylabel=y, title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=120)
    plt.close(figure)
    print(f"plot: {file}")


def curve(history: History, name: str) -> tuple[list[float], list[float]]:
    """Return one figure of a history over its epochs."""
    return history.column("epoch"), history.column(name)
