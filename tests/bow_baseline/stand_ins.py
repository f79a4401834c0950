"""Contenders that cost nothing: they see the mean of a part of the picture, and count how often they are asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from striate.bow_baseline.contender import Contender
from striate.core.datasets.classes import ClassDataset, from_arrays


def bands(per_class: int, seed: int = 0, side: int = 16) -> ClassDataset:
    """Three classes of grey: dark, middle and bright, with so much noise that some are told wrongly."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(3), per_class)
    levels = 70 + 55 * labels + rng.normal(0, 22, len(labels))
    pictures = levels[:, None, None, None] + rng.normal(0, 6, (len(labels), side, side, 3))
    return from_arrays(np.clip(pictures, 0, 255).astype(np.uint8), labels.tolist(), ("dark", "middle", "bright"))


@dataclass
class Counts:
    fits: int = 0
    asked: int = 0
    seeds: list[int] = field(default_factory=list)


class Means:
    """Nearest mean brightness, over the left part of the picture."""

    def __init__(self, centres: np.ndarray, part: float, counts: Counts) -> None:
        self.centres, self.part, self.counts = centres, part, counts

    def predict_proba(self, sources: list[Any]) -> np.ndarray:
        self.counts.asked += len(sources)
        seen = np.array([one[:, : max(1, int(self.part * one.shape[1]))].mean() for one in sources])
        powers = np.exp(-np.abs(seen[:, None] - self.centres) / 20)
        return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def means(name: str, part: float = 1.0, blur: float = 0.0, **keywords: Any) -> tuple[Contender, Counts]:
    """A contender that learns each class's brightness, about `blur` off, by its seed a little more or less."""
    counts = Counts()

    def fit(train: ClassDataset, seed: int) -> Means:
        counts.fits += 1
        counts.seeds.append(seed)
        levels = train.pictures.mean((1, 2, 3))
        centres = np.array([levels[train.labels == i].mean() for i in range(len(train.names))])
        off = np.array([0.5, 1.0, -0.5]) + 0.2 * np.random.default_rng(seed).normal(size=3)
        return Means(centres + blur * off, part, counts)

    return Contender(name, fit, {"part": part, "blur": blur}, **keywords), counts


def as_folders(data: ClassDataset, root: Path, split: str | None = None) -> Path:
    """Write a set as class folders."""
    from striate.core.images import save_image

    for i, label in enumerate(data.labels):
        folder = root / (split or "") / data.names[label]
        folder.mkdir(parents=True, exist_ok=True)
        save_image(data.image(i), folder / f"{i:03d}.png")
    return root
