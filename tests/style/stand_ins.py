"""Small features and pictures for the tests of this room."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from striate.style import StyleTransfer
from striate.style.features import Features
from striate.style.networks import VggTrunk

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1")


def tiny(**trunk: Any) -> Features:
    """Return a random VGG of three convolutions, the same at each call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        small = VggTrunk((8, 12, 16), (1, 1, 1), **{"padding_mode": "reflect", **trunk})
        for parameter in small.parameters():
            parameter.data *= 2
    return Features("tiny", small, STYLE_LAYERS, ("relu3_1",))


def stripes(height: int = 48, width: int = 48, period: int = 6) -> NDArray[np.uint8]:
    """Return red and yellow stripes."""
    on = (np.arange(width)[None, :] + np.arange(height)[:, None]) % period < period // 2
    return np.where(on[..., None], (230, 40, 30), (240, 220, 60)).astype(np.uint8)


def disc(height: int = 40, width: int = 56) -> NDArray[np.uint8]:
    """Return a green disc on blue."""
    y, x = np.mgrid[:height, :width]
    inside = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (height / 3) ** 2
    return np.where(inside[..., None], (40, 200, 60), (30, 60, 180)).astype(np.uint8)


def small(**keywords: Any) -> StyleTransfer:
    """Return a transfer that takes a moment."""
    usual: dict[str, Any] = {"features": tiny(), "size": 48, "smallest": 0, "steps": 12, "tv_weight": 0.0,
                             "precision": "fp32"}  # fmt: skip
    return StyleTransfer(**{**usual, **keywords})


def total(row: dict[str, float]) -> float:
    """Return the whole loss of a row."""
    return sum(value for name, value in row.items() if name != "scale")
