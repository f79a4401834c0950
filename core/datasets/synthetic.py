"""Rendered scenes with exact boxes, for demonstrations, tests and first trainings; no data set is needed.

Scenes are functions of (seed, size) that give image, boxes and class ids; `SCENES` names them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ..checks import UsageError, unknown
from ..images import encode_image
from .boxes import BoxDataset, BoxSample
from .smear import NAMES as SMEAR_NAMES
from .smear import blood_smear
from .write import write_boxes

__all__ = ["SCENES", "SHAPE_NAMES", "SMEAR_NAMES", "blood_smear", "shapes_scene", "write_synthetic"]

Scene = Callable[[int, tuple[int, int]], tuple[np.ndarray, np.ndarray, np.ndarray]]

SHAPE_NAMES = ("circle", "square", "triangle")
COLOURS = np.array(
    [[214, 39, 40], [31, 119, 180], [44, 160, 44], [255, 187, 20], [148, 103, 189], [23, 190, 207]], dtype=np.uint8
)


def shapes_scene(seed: int, size: tuple[int, int] = (240, 320)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Render one to six coloured circles, squares and triangles that do not touch, on a soft grey background.

    Args:
        seed: The same seed and size give the same picture.
        size: (height, width) in pixels, at least 16 each.

    Returns:
        Image uint8 (H, W, 3); boxes float32 (N, 4) xyxy, exact to the pixel; class ids int64 (N,) into `SHAPE_NAMES`.

    Raises:
        UsageError: A side below 16 pixels.
    """
    height, width = size
    if min(size) < 16:
        raise UsageError("a scene of at least 16x16 pixels", f"{width}x{height}", "pass a larger size")
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(90, 190) + rng.normal(0, 12, (4, 4, 1)) + rng.normal(0, 3, (4, 4, 3))
    image = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    boxes, class_ids = [], []
    taken = np.zeros((height, width), dtype=bool)
    for _ in range(int(rng.integers(1, 7))):
        class_id, mask = int(rng.integers(3)), np.zeros((height, width), dtype=np.uint8)
        side = rng.uniform(0.14, 0.36) * min(size)
        centre = rng.uniform(side * 0.6, np.array([width, height]) - side * 0.6)
        _draw_shape(mask, class_id, centre, side)
        if taken[cv2.dilate(mask, np.ones((5, 5), np.uint8)) > 0].any():
            continue
        taken |= mask > 0
        image[mask > 0] = COLOURS[rng.integers(len(COLOURS))]
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        class_ids.append(class_id)
    pixels = np.clip(image + rng.normal(0.5, 4, image.shape), 0, 255).astype(np.uint8)
    return pixels, np.array(boxes, dtype=np.float32).reshape(-1, 4), np.array(class_ids, dtype=np.int64)


SCENES: dict[str, tuple[Scene, tuple[str, ...], tuple[int, int]]] = {
    "blood_smear": (blood_smear, SMEAR_NAMES, (480, 640)),
    "shapes": (shapes_scene, SHAPE_NAMES, (240, 320)),
}


def write_synthetic(
    folder: str | Path,
    n_train: int,
    n_val: int,
    *,
    scene: str = "blood_smear",
    size: tuple[int, int] | None = None,
    seed: int = 0,
    format: str = "voc",
) -> Path:
    """Render a dataset with the splits "train" and "val" into a new folder.

    Args:
        folder: Where to; a split that is there already is refused.
        n_train: Number of pictures to train on; 0 leaves the split out.
        n_val: Number of pictures to validate on, likewise.
        scene: A name in `SCENES`.
        size: (height, width) of the pictures, None for the scene's own.
        seed: Picture i of the set is the scene of seed `seed * 1_000_003 + i`, so two seeds share no picture.
        format: "voc", "yolo" or "coco".

    Returns:
        The folder, for `load_boxes`.
    """
    if scene not in SCENES:
        raise unknown("scene", scene, SCENES)
    if n_train + n_val < 1:
        raise UsageError("at least one picture", f"n_train={n_train}, n_val={n_val}", "ask for some")
    render, names, own_size = SCENES[scene]
    starts = {"train": 0, "val": n_train}
    for split, count in (("train", n_train), ("val", n_val)):
        if count < 1:
            continue
        with tempfile.TemporaryDirectory() as rendered:
            samples = []
            for i in range(starts[split], starts[split] + count):
                path = Path(rendered) / f"{scene}_{i:05d}.png"
                samples.append(_render(render, seed * 1_000_003 + i, size or own_size, path))
            write_boxes(BoxDataset(samples, names, Path(rendered), split, "synthetic"), folder, format)
    return Path(folder)


def _render(render: Scene, seed: int, size: tuple[int, int], path: Path) -> BoxSample:
    image, boxes, class_ids = render(seed, size)
    path.write_bytes(encode_image(image))
    return BoxSample(path, boxes, class_ids, np.zeros(len(boxes), dtype=np.bool_), size[1], size[0])


def _draw_shape(mask: np.ndarray, class_id: int, centre: np.ndarray, side: float) -> None:
    x, y = centre
    half = side / 2
    if class_id == 0:
        cv2.circle(mask, (round(x), round(y)), round(half), 255, -1)
    elif class_id == 1:
        cv2.rectangle(mask, (round(x - half), round(y - half)), (round(x + half), round(y + half)), 255, -1)
    else:
        corners = [(x, y - half), (x + half, y + half), (x - half, y + half)]
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 255)
