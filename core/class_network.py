"""What a classifier does to its network: normalization in front, a start from data, frozen layers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from .checks import UsageError
from .class_pictures import ClassPictures
from .datasets.classes import ClassDataset


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


def freeze_all_but(network: nn.Module, layers: int) -> None:
    """Freeze every parameter except those of the last `layers` modules that have some of their own.

    Raises:
        UsageError: Not one layer, or more than there are.
    """
    own = [module for module in network.modules() if list(module.parameters(recurse=False))]
    if not 1 <= layers <= len(own):
        raise UsageError(f"1 to {len(own)} layers to train", repr(layers), "pass train_layers in that range")
    network.requires_grad_(False)
    for module in own[-layers:]:
        module.requires_grad_(True)


def start_from(network: Normalized, pictures: ClassPictures) -> None:
    """Let a network that has a `start` look at some pictures before the first step."""
    start = getattr(network.network, "start", None)
    if start is not None:
        chosen = np.random.default_rng(0).permutation(len(pictures))[:5000]
        start(network.normalize(pictures.images(chosen).float() / 255))


def class_balance(train: ClassDataset) -> Tensor:
    """Weights of the classes: the inverse of how often they occur, with mean 1 over the pictures."""
    counts = np.maximum(np.bincount(train.labels, minlength=len(train.names)), 1)
    return torch.from_numpy((len(train) / (len(train.names) * counts)).astype(np.float32))
