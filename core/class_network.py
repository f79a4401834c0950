"""What a classifier does with its network: normalization in front, what is trained, how scores become probabilities."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .checks import UsageError
from .class_pictures import ClassPictures
from .datasets.classes import ClassDataset
from .models import feature_maps


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
        return self.network((images - self.mean) / self.std)


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
        start((pictures.images(chosen).float() / 255 - network.mean) / network.std)


def class_balance(train: ClassDataset) -> Tensor:
    """Weights of the classes: the inverse of how often they occur, with mean 1 over the pictures."""
    counts = np.maximum(np.bincount(train.labels, minlength=len(train.names)), 1)
    return torch.from_numpy((len(train) / (len(train.names) * counts)).astype(np.float32))


def average_views(network: Callable[[Tensor], Tensor], images: Tensor, views: str) -> NDArray[np.float32]:
    """Return probabilities from the mean of the scores over the views."""
    with torch.inference_mode():
        scores = network(images).float()
        if views == "flip":
            scores = (scores + network(images.flip(3)).float()) / 2
        return scores.softmax(1).cpu().numpy()


def with_dropout(network: nn.Module, images: Tensor, samples: int) -> NDArray[np.float32]:
    """Return the mean of the probabilities over passes with dropout on."""
    noisy = copy.deepcopy(network)
    for module in noisy.modules():
        if "drop" in type(module).__name__.lower():
            module.train()
    with torch.inference_mode():
        passes = [noisy(images).float().softmax(1) for _ in range(samples)]
        return torch.stack(passes).mean(0).cpu().numpy()


def first_maps(network: nn.Module, images: Tensor) -> NDArray[np.float32]:
    """Return what the first convolution makes of one picture (1, C, H, W): float32 (K, H, W), (0, 1, 1) without one."""
    first = next((name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)), None)
    if first is None:
        return np.zeros((0, 1, 1), np.float32)
    with torch.inference_mode():
        return feature_maps(network, [first])(images)[first][0].cpu().numpy()
