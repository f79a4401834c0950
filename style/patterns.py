"""Styles drawn by program, so that there are some without any file: brush strokes, a mosaic, a woodcut."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from ..core.checks import UsageError, unknown

NIGHT = ((18, 32, 84), (32, 66, 142), (58, 110, 180), (120, 165, 200), (238, 208, 92), (248, 232, 160), (22, 28, 48))
EARTH = ((196, 68, 38), (232, 150, 52), (244, 214, 140), (46, 108, 112), (24, 58, 80), (236, 232, 216), (122, 34, 42))


def pattern(name: str, *, size: int = 384, seed: int = 0) -> NDArray[np.uint8]:
    """Draw a style.

    Args:
        name: A key of `PATTERNS`.
        size: Side of the square picture.
        seed: Of everything that is drawn by chance.

    Returns:
        uint8 (size, size, 3) RGB.

    Raises:
        UsageError: An unknown name, or a size below 16.
    """
    if name not in PATTERNS:
        raise unknown("pattern", name, PATTERNS)
    if size < 16:
        raise UsageError("a size of at least 16", str(size), "pass size=384, say")
    return PATTERNS[name](size, np.random.default_rng(seed))


def _strokes(size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Short strokes of a brush along a field with whirls, the lights around their middles."""
    image = np.full((size, size, 3), NIGHT[1], np.uint8)
    middles, turns = rng.uniform(0, size, (7, 2)), rng.choice((-1.0, 1.0), 7)
    for _ in range(size * size // 24):
        place = rng.uniform(0, size, 2)
        away = place - middles
        squares = (away**2).sum(1) + size
        whirl = (turns / squares)[:, None] * np.stack((-away[:, 1], away[:, 0]), 1)
        direction = whirl.sum(0) + 1.5e-3 * np.array([1.0, 0.4 * np.sin(place[0] / size * 6)])
        direction /= np.linalg.norm(direction)
        nearest = np.sqrt(squares.min()) / size
        light = rng.random() < 0.9 * np.exp(-((nearest / 0.11) ** 2))
        colour = np.array(NIGHT[rng.integers(4, 6)] if light else NIGHT[rng.choice((0, 1, 2, 2, 3, 6))])
        colour = np.clip(colour + rng.normal(0, 12, 3), 0, 255)
        half = direction * rng.uniform(3, 9)
        ends = [tuple(int(v * 8) for v in place + sign * half) for sign in (-1, 1)]
        cv2.line(image, ends[0], ends[1], colour.tolist(), int(rng.integers(2, 4)), cv2.LINE_AA, 3)
    return image


def _mosaic(size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Stones of a mosaic, each of one colour, with dark joints; colours come in patches."""
    step = 14
    y, x = np.mgrid[step // 2 : size + step : step, step // 2 : size + step : step]
    seeds = np.stack((y, x), -1).reshape(-1, 2) + rng.uniform(-4, 4, (y.size, 2))
    seeds = np.clip(seeds, 0, size - 1).astype(int)
    marks = np.ones((size, size), np.uint8)
    marks[seeds[:, 0], seeds[:, 1]] = 0
    _, cells = cv2.distanceTransformWithLabels(marks, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    patches = cv2.GaussianBlur(rng.normal(size=(size, size)), (0, 0), size / 14)
    bands = np.digitize(patches, np.quantile(patches, np.linspace(0, 1, len(EARTH) + 1)[1:-1]))
    colours = np.zeros((cells.max() + 1, 3))
    stones, first = np.unique(cells, return_index=True)
    colours[stones] = np.array(EARTH)[bands.reshape(-1)[first]] + rng.normal(0, 14, (len(stones), 3))
    image = np.clip(colours[cells], 0, 255).astype(np.uint8)
    joints = cv2.morphologyEx(cells.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((2, 2))) > 0
    image[joints] = (40, 34, 32)
    return cv2.GaussianBlur(image, (0, 0), 0.6).astype(np.uint8)


def _woodcut(size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Black lines of changing width on cream, bent around each other."""
    fields = [cv2.GaussianBlur(rng.normal(size=(size, size)), (0, 0), size / 9) for _ in range(2)]
    bend, tone = (field / field.std() for field in fields)
    y, x = np.mgrid[:size, :size]
    waves = np.sin((x * 0.35 + y) * 2 * np.pi / 9 + 5 * bend)
    ink = 1 / (1 + np.exp(-6 * (waves - 0.9 * np.tanh(tone))))
    cream, black = np.array((242, 228, 200)), np.array((28, 24, 30))
    return (cream + (black - cream) * ink[..., None]).astype(np.uint8)


PATTERNS: dict[str, Callable[[int, np.random.Generator], NDArray[np.uint8]]] = {
    "strokes": _strokes,
    "mosaic": _mosaic,
    "woodcut": _woodcut,
}
