"""Small sets of pictures and masks, written without our own writers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def squares(value: int = 1, size: tuple[int, int] = (20, 30), dtype: type = np.uint8) -> NDArray:
    """A mask with one square of `value` on 0."""
    mask = np.zeros(size, dtype)
    mask[4:10, 5:15] = value
    return mask


def write_pair(
    folder: Path,
    masks: str,
    stem: str,
    mask: NDArray,
    *,
    images: str = "images",
    suffix: str = ".png",
    size: tuple[int, int] | None = None,
) -> None:
    """Write folder/images/STEM.png and folder/MASKS/STEM.png."""
    for name in (images, masks):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(sum(stem.encode()))
    picture = rng.integers(0, 256, (*(size or mask.shape[:2]), 3), dtype=np.uint8)
    Image.fromarray(picture).save(folder / images / f"{stem}.png")
    Image.fromarray(mask).save(folder / masks / f"{stem}{suffix}")


def classes(root: Path, *lines: str, name: str = "classes.txt") -> None:
    """Write a class list."""
    (root / name).write_text("\n".join(lines) + "\n")
