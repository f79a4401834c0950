"""What a classifier does to its network: normalization in front, a start from data, frozen layers."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from .checks import UsageError
from .class_pictures import ClassPictures, statistics
from .datasets.classes import ClassDataset
from .models import MODELS
from .recipe import multiply

START_NUMBERS = 16_000_000
"""Pixels that a network looks at before it starts: 5,000 pictures of CIFAR's size."""


class Normalized(nn.Module):
    """A network after (pictures - mean) / std: takes pictures in [0, 1], and mean and std travel with its weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Iterable[float], std: Iterable[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(list(mean))[:, None, None])
        self.register_buffer("std", torch.tensor(list(std))[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Compute scores (N, classes) of pictures (N, C, H, W) in [0, 1]."""
        return self.network(self.normalize(images))

    def normalize(self, images: Tensor) -> Tensor:
        """Subtract the mean, divide by the standard deviation."""
        return (images - self.mean) / self.std


def channel_numbers(name: str, given: Iterable[float] | None, channels: int) -> tuple[float, ...] | None:
    """Return a mean or a std as a tuple; None for None.

    Raises:
        UsageError: Not one finite number for each channel, or a std that is not above 0.
    """
    try:
        values = None if given is None else tuple(float(value) for value in given)
    except (TypeError, ValueError):
        values = ()
    least = 0.0 if name == "std" else -math.inf
    if values is not None and (len(values) != channels or not all(least < v < math.inf for v in values)):
        wanted = f"{channels} finite numbers as {name}" + (", above 0" if name == "std" else "")
        raise UsageError(wanted, repr(given), "pass a tuple, one for each channel")
    return values


def scale(
    name: str, pictures: ClassPictures, mean: tuple[float, ...] | None, std: tuple[float, ...] | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std: those that are given, else the network's own, else the pictures'."""
    if mean is not None and std is not None:
        return mean, std
    own = MODELS[name].scale
    found = statistics(pictures) if own is None else tuple((number,) * pictures.channels for number in own)
    return mean or found[0], std or found[1]


def check_size(network: nn.Module, name: str, channels: int, side: int) -> None:
    """Raise unless a network takes pictures of this size.

    Raises:
        UsageError: It does not.
    """
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, channels, side, side))
    except RuntimeError as error:
        fix = "leave image_size out, or choose a network with global pooling"
        raise UsageError(f"a picture size that {name!r} takes", f"{side} pixels ({error})", fix) from error


def freeze_all_but(network: nn.Module, layers: int) -> list[nn.Parameter]:
    """Freeze every parameter except those of the last `layers` modules that have some of their own, norms included.

    Frozen batch norms keep their running statistics as well (`core.training`). Returns what was frozen here.

    Raises:
        UsageError: Not one layer, or more than there are.
    """
    own = [module for module in network.modules() if list(module.parameters(recurse=False))]
    if not 1 <= layers <= len(own):
        raise UsageError(f"1 to {len(own)} layers to train", repr(layers), "pass train_layers in that range")
    kept = {p for module in own[-layers:] for p in module.parameters()}
    frozen = [p for p in network.parameters() if p.requires_grad and p not in kept]
    for parameter in frozen:
        parameter.requires_grad_(False)
    return frozen


def start_from(network: Normalized, pictures: ClassPictures) -> None:
    """Let a network that has a `start` look at some pictures before the first step."""
    start = getattr(network.network, "start", None)
    if start is not None:
        most = max(20, START_NUMBERS // (pictures.channels * pictures.side**2))
        chosen = np.random.default_rng(0).permutation(len(pictures))[:most]
        start(network.normalize(pictures.images(chosen).float() / 255))


def prepare(
    network: Normalized, pictures: ClassPictures | None, body_rate: float, train_layers: int | None
) -> list[nn.Parameter]:
    """Make a network ready to learn, and return what was frozen for the time of learning.

    Args:
        network: Is changed.
        pictures: What a network that is new looks at; None for one that has learnt.
        body_rate: Learning rate of all layers but the last, as a multiple of its own.
        train_layers: See `freeze_all_but`; None freezes none.
    """
    if body_rate != 1:
        multiply(network, learning_rate=body_rate)
        multiply(network.network.get_submodule(str(network.network.head)), learning_rate=1.0)
    if pictures is not None:
        start_from(network, pictures)
    return [] if train_layers is None else freeze_all_but(network, train_layers)


def class_balance(train: ClassDataset) -> Tensor:
    """Weights of the classes: the inverse of how often they occur, with mean 1 over the pictures."""
    counts = np.maximum(np.bincount(train.labels, minlength=len(train.names)), 1)
    return torch.from_numpy((len(train) / (len(train.names) * counts)).astype(np.float32))
