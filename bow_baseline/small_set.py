"""A rendered set of six kinds of scenes, so that a comparison needs no data set and no network.

Colours, light and contrast tell nothing about the class. Bricks, pebbles, grass and city differ in what their patches
look like; lake and clouds are made of the same patches, the ripples below a smooth half or above it, so that what has
no sense of place has to guess between them. Part of every picture is hidden by a scene of another class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..core.checks import UsageError
from ..core.datasets.classes import ClassDataset, from_arrays

Field = NDArray[np.float32]
"""Shades of a scene, float32 (side, side) in [0, 1]; colours come later."""

SIDE = 80
LEAST_SIDE = 32
COVERED = (0.15, 0.36)
"""Share of the picture that another class's scene hides: without it five pictures of a class are enough for 0.99."""
REACH = (16.0, 60.0)
"""How far the shades spread from the middle, of 255."""
GRAIN = (4.0, 20.0)
"""Standard deviation of the noise, of 255."""


def bricks(side: int, rng: np.random.Generator) -> Field:
    """Courses of bricks, every other one shifted by half a brick, slightly turned."""
    x, y = _turned(side, rng.uniform(-0.15, 0.15))
    high, joint = rng.uniform(0.09, 0.16), rng.uniform(0.012, 0.022)
    wide = high * rng.uniform(1.8, 2.6)
    course = np.floor(y / high)
    along = x / wide + 0.5 * (course % 2)
    shades = rng.uniform(0.45, 1, (64, 64))[course.astype(int) % 64, np.floor(along).astype(int) % 64]
    edge = np.minimum(_from_line(y / high) * high, _from_line(along) * wide)
    return (shades * (edge > joint)).astype(np.float32)


def pebbles(side: int, rng: np.random.Generator) -> Field:
    """Rounded stones: each pixel belongs to the nearest of some hundred centres, dark where two are equally near."""
    centres = rng.uniform(-0.1, 1.1, (int(rng.integers(60, 140)), 2))
    x, y = _turned(side, 0.0)
    distance = np.hypot(x[..., None] - centres[:, 0], y[..., None] - centres[:, 1])
    near = np.partition(distance, 1, axis=-1)
    gap = np.clip((near[..., 1] - near[..., 0]) / 0.03, 0, 1)
    return (gap * rng.uniform(0.4, 1, len(centres))[distance.argmin(-1)]).astype(np.float32)


def grass(side: int, rng: np.random.Generator) -> Field:
    """Bent blades, long and thin, the later ones over the earlier ones."""
    field = np.full((4 * side, 4 * side), 0.2, np.float32)
    for _ in range(260):
        foot = rng.uniform(-0.1, 1.1, 2) * 4 * side
        tip = foot + np.array([rng.normal(0, 0.08), -rng.uniform(0.15, 0.4)]) * 4 * side
        middle = (foot + tip) / 2 + np.array([rng.normal(0, 0.04) * 4 * side, 0])
        blade = np.rint([foot, middle, tip]).astype(np.int32)
        cv2.polylines(field, [blade], False, float(rng.uniform(0.25, 1)), int(rng.integers(3, 8)), cv2.LINE_AA)
    return _shrunk(field, side)


def city(side: int, rng: np.random.Generator) -> Field:
    """Houses with rows of windows in front of a smooth sky."""
    field = np.full((4 * side, 4 * side), rng.uniform(0.8, 1), np.float32)
    for _ in range(9):
        wide, high = rng.uniform(0.15, 0.3), rng.uniform(0.35, 0.85)
        left, wall, pane = rng.uniform(-0.1, 0.9), rng.uniform(0.1, 0.55), rng.uniform(0.025, 0.045)
        box = np.rint(4 * side * np.array([left, 1 - high, left + wide, 1])).astype(int)
        cv2.rectangle(field, box[:2].tolist(), box[2:].tolist(), float(wall), -1)
        step = max(4, round(8 * side * pane))
        lit = float(np.clip(wall + rng.choice([-0.3, 0.35]), 0, 1))
        for top in range(int(box[1]) + step // 2, 4 * side, step):
            for x in range(int(box[0]) + step // 3, int(box[2]) - step // 2, step):
                cv2.rectangle(field, (x, top), (x + step // 2, top + step // 2), lit, -1)
    return _shrunk(field, side)


def lake(side: int, rng: np.random.Generator) -> Field:
    """Ripples below a smooth sky."""
    x, y = _turned(side, rng.uniform(-0.05, 0.05))
    drift = cv2.resize(rng.normal(0, 1, (6, 6)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    ripples = 0.5 + 0.5 * np.sin(2 * np.pi * (y * rng.uniform(14, 22) + 0.35 * drift + x * rng.uniform(-1, 1)))
    shore = rng.uniform(0.35, 0.6)
    smooth = rng.uniform(0.3, 0.9) + 0.15 * (y - 0.5)
    return np.clip(np.where(y > shore, ripples, smooth), 0, 1).astype(np.float32)


def clouds(side: int, rng: np.random.Generator) -> Field:
    """The lake upside down: ripples of cloud above a smooth plain."""
    return np.ascontiguousarray(lake(side, rng)[::-1])


SCENES: dict[str, Callable[[int, np.random.Generator], Field]] = {
    "bricks": bricks,
    "city": city,
    "clouds": clouds,
    "grass": grass,
    "lake": lake,
    "pebbles": pebbles,
}


def scene(name: str, seed: int, side: int = SIDE) -> NDArray[np.uint8]:
    """Render one picture: uint8 (side, side, 3).

    Args:
        name: A key of `SCENES`.
        seed: The same seed and side give the same picture.
        side: In pixels, at least 32.

    Raises:
        UsageError: A smaller side.
    """
    if side < LEAST_SIDE:
        raise UsageError(f"scenes of at least {LEAST_SIDE} pixels", repr(side), "pass a larger side")
    rng = np.random.default_rng([list(SCENES).index(name), seed])
    shades, other = (SCENES[one](side, rng) for one in (name, str(rng.choice([s for s in SCENES if s != name]))))
    shades = np.where(_patch(side, rng), other, shades)
    if rng.random() < 0.5:
        shades = shades[:, ::-1]
    middle, turn = rng.uniform(70, 185, 3), rng.normal(0, 1, 3)
    reach = rng.uniform(*REACH) * rng.choice([-1, 1]) * (np.ones(3) + 0.35 * turn)
    x, y = _turned(side, 0.0)
    lamp = rng.uniform(-25, 25) * (x - 0.5) + rng.uniform(-25, 25) * (y - 0.5)
    picture = middle + (shades[..., None] - 0.5) * 2 * reach + lamp[..., None]
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 0.9)) + rng.normal(
        0, rng.uniform(3, 12), (side, side, 3)
    )
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def small_set(
    per_class: int = 60, *, test_per_class: int = 30, side: int = SIDE, seed: int = 0
) -> tuple[ClassDataset, ClassDataset]:
    """Render a set to train on and one to measure on, which share no picture.

    Args:
        per_class: Pictures of each of the six classes to train on.
        test_per_class: To measure on.
        side: Of the square pictures, in pixels.
        seed: Two seeds share no picture.

    Raises:
        UsageError: Fewer than one picture of a class, or a side below 32.
    """
    if min(per_class, test_per_class) < 1:
        raise UsageError("at least one picture of each class", f"{per_class} and {test_per_class}", "ask for more")
    total, names = per_class + test_per_class, tuple(SCENES)
    pictures = np.stack([scene(name, seed * 1_000_003 + i, side) for i in range(total) for name in names])
    whole = from_arrays(pictures, np.tile(np.arange(len(names)), total).tolist(), names)
    cut = per_class * len(names)
    return whole.subset(np.arange(cut)), replace(whole.subset(np.arange(cut, len(whole))), split="test")


def _patch(side: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """An ellipse of a random place and turn that hides `COVERED` of the picture; part of it may lie outside."""
    x, y = _turned(side, rng.uniform(0, np.pi))
    centre, stretch = rng.uniform(0.25, 0.75, 2), rng.uniform(0.7, 1.4)
    radius = np.sqrt(rng.uniform(*COVERED) / np.pi)
    return np.hypot((x - centre[0]) / stretch, (y - centre[1]) * stretch) < radius


def _turned(side: int, angle: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates x, y (side, side), 0 to 1 from corner to corner, turned about the middle."""
    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side - 0.5
    return x * np.cos(angle) + y * np.sin(angle) + 0.5, y * np.cos(angle) - x * np.sin(angle) + 0.5


def _from_line(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance from the nearest whole number."""
    return np.abs(values - np.rint(values))


def _shrunk(field: Field, side: int) -> Field:
    return np.asarray(cv2.resize(field, (side, side), interpolation=cv2.INTER_AREA), np.float32)
