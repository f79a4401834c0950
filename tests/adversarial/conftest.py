"""Who is attacked in these tests: a small random network, a linear one, and the shipped reader of digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from striate.adversarial.victims import Attackable
from striate.core.classifier import Classifier
from striate.core.datasets.load_classes import load_classes
from striate.core.images import to_tensor
from striate.tests.adversarial.stand_ins import NAMES, Set, pictures


@pytest.fixture(scope="session")
def net() -> nn.Module:
    """Return a small network on pictures of any size, the same every time, that names noise by all its classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        body = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU()
        made = nn.Sequential(*body, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(72, 4)).eval()
    with torch.no_grad():
        scores = made(to_tensor(pictures(64, seed=9)))
        made[-1].weight.mul_(2 / scores.std(0)[:, None])
        made[-1].bias.copy_(2 * (made[-1].bias - scores.mean(0)) / scores.std(0))
    return made


@pytest.fixture
def small(net: nn.Module) -> Attackable:
    """Return that network as a victim."""
    return Attackable(net, NAMES)


@pytest.fixture
def linear() -> Attackable:
    """Return a linear classifier of pictures 4 x 4: all that is asked about it can be computed."""
    layer = nn.Linear(48, 4)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(4, 48, generator=torch.Generator().manual_seed(0)))
        layer.bias.zero_()
    return Attackable(nn.Sequential(nn.Flatten(), layer).eval(), NAMES)


@pytest.fixture
def images() -> list[np.ndarray]:
    return pictures(6)


@pytest.fixture(scope="session")
def digits(shared_data: Path) -> Set:
    """Return lenet5-mnist and sixteen digits of the test set that it reads right."""
    model = Classifier.from_pretrained("lenet5-mnist")
    data = load_classes(shared_data / "mnist", "test")
    images, labels = [data.image(i) for i in range(20)], data.labels[:20].tolist()
    right = model.predict_proba(images).argmax(1) == labels
    keep = np.flatnonzero(right)[:16]
    return Set(model, [images[i] for i in keep], [labels[i] for i in keep])
