"""What `fit` costs beside a loop written by hand: the same network, batches, loss and optimizer, one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from striate.benchmarks.harness import Part, Row, measure
from striate.core import ops
from striate.core.augment_batch import BatchAugmentation
from striate.core.class_loss import ClassLoss
from striate.core.class_network import Normalized
from striate.core.class_pictures import ClassPictures
from striate.core.datasets.classes import ClassDataset, from_arrays
from striate.core.models import MODELS, build
from striate.core.recipe import TrainingOptions, make_optimizer
from striate.core.training import fit

SUBJECT = "training"
# (network, its keywords, pictures, batch)
CASES: tuple[tuple[str, dict[str, Any], int, int], ...] = (
    ("lenet5", {}, 6400, 128),
    ("small", {"widths": (32, 64, 64)}, 640, 64),
)


def pictures_for(name: str, count: int) -> ClassDataset:
    """Return random pictures of the network's size in ten classes."""
    model, rng = MODELS[name], np.random.default_rng(0)
    shape = (count, model.image_size, model.image_size, 3)[: 4 if model.channels == 3 else 3]
    return from_arrays(rng.integers(0, 256, shape, dtype=np.uint8), [i % 10 for i in range(count)])


def network_for(name: str, keywords: dict[str, Any]) -> nn.Module:
    """Return the network behind its normalization, from one seed."""
    torch.manual_seed(0)
    channels = MODELS[name].channels
    return Normalized(build(name, 10, **keywords), (0.5,) * channels, (0.25,) * channels)


def by_hand(network: nn.Module, data: ClassDataset, options: TrainingOptions) -> float:
    """Train for one epoch as a tutorial would."""
    images = torch.from_numpy(data.pictures if data.pictures.ndim == 4 else data.pictures[..., None])  # type: ignore
    images, labels = images.permute(0, 3, 1, 2).contiguous(), torch.from_numpy(data.labels)
    optimizer, total = make_optimizer(network.train(), options), 0.0
    for chosen in torch.randperm(len(labels)).split(options.batch_size):
        batch = (images[chosen].float() / 255).contiguous(memory_format=torch.channels_last)
        loss = ops.cross_entropy(network(batch), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), options.clip_norm)
        optimizer.step()
        total += loss.item()
    return total


def by_fit(network: nn.Module, data: ClassDataset, options: TrainingOptions) -> float:
    """Train for one epoch with `core.training.fit`."""
    side = data.pictures.shape[1]  # type: ignore[union-attr]
    pictures = ClassPictures(data, side, 3 if data.pictures.ndim == 4 else 1)  # type: ignore[union-attr]
    return fit(network, pictures, ClassLoss(BatchAugmentation(), side, 10), options=options).rows[0]["loss"]


def rows_for(name: str, keywords: dict[str, Any], count: int, batch: int, run: str, rounds: int) -> list[Row]:
    """Time one epoch both ways, on networks that both go on training."""
    data = pictures_for(name, count)
    options = TrainingOptions(epochs=1, batch_size=batch, ema_decay=0.0, device="cpu")
    calls: dict[str, Callable[[], object]] = {
        "striate": partial(by_fit, network_for(name, keywords), data, options),
        "by hand": partial(by_hand, network_for(name, keywords), data, options),
    }
    return measure(
        SUBJECT, f"{name}, {count} pictures, batch {batch}", calls, baseline="by hand", run=run, device="cpu",
        rounds=rounds, goal="C5",
    )  # fmt: skip


def parts(run: str, rounds: int) -> Iterator[Part]:
    """Name the cases."""
    for name, keywords, count, batch in CASES:
        yield f"{name} training", partial(rows_for, name, keywords, count, batch, run, min(rounds, 10))
