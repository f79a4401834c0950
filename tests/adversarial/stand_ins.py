"""Pictures, class names and parts of networks for the tests of attacks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from striate.core.classifier import Classifier

NAMES = ("a", "b", "c", "d")


class Set(NamedTuple):
    """A model with pictures that it names right."""

    model: Classifier
    images: list[np.ndarray]
    labels: list[int]


def pictures(count: int, height: int = 12, width: int = 12, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(40, 216, (height, width, 3), dtype=np.uint8) for _ in range(count)]
