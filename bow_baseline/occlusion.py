"""Occlusion sensitivity: where a classifier's answer comes from, for any classifier (Zeiler and Fergus 2014)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..core.checks import UsageError
from ..core.images import check_image
from .contender import Model

WINDOW, STEP = 0.25, 0.125
"""Side of the covered square and its step, as shares of the shorter side: 49 squares on a square picture."""
BATCH = 32
"""Covered copies in memory at once."""


def occlusion_map(
    model: Model, image: NDArray[np.uint8], class_id: int, *, window: float = WINDOW, step: float = STEP
) -> NDArray[np.float32]:
    """Return how much the probability of a class falls when a place of the picture is covered.

    A square of the picture's mean colour goes over the picture; each pixel gets the mean over the squares that covered
    it. Section 4.2 of Zeiler and Fergus (2014), which covers with grey.

    Args:
        model: Any classifier.
        image: uint8 (H, W, 3).
        class_id: Whose probability.
        window: Side of the square as a share of the shorter side, above 0 up to 1.
        step: By how much it moves, likewise.

    Returns:
        float32 (H, W): above 0 where the picture speaks for the class.

    Raises:
        UsageError: A window or step out of range.
    """
    for name, value in (("window", window), ("step", step)):
        if not 0 < value <= 1:
            raise UsageError(f"{name} above 0 and at most 1", repr(value), "it is a share of the shorter side")
    if step > window:
        raise UsageError(f"a step of at most the window, {window}", repr(step), "or pixels between are never covered")
    height, width = image.shape[:2]
    side, pace = max(1, round(min(height, width) * window)), max(1, round(min(height, width) * step))
    corners = [(top, left) for top in _starts(height, side, pace) for left in _starts(width, side, pace)]
    fill = np.rint(image.mean((0, 1))).astype(np.uint8)
    scores = [float(model.predict_proba([image])[0, class_id])]
    for start in range(0, len(corners), BATCH):
        covered = [_covered(image, corner, side, fill) for corner in corners[start : start + BATCH]]
        scores += np.asarray(model.predict_proba(covered))[:, class_id].tolist()
    total, times = np.zeros((height, width)), np.zeros((height, width))
    for (top, left), score in zip(corners, scores[1:], strict=True):
        total[top : top + side, left : left + side] += scores[0] - score
        times[top : top + side, left : left + side] += 1
    return (total / times).astype(np.float32)


def painted(image: NDArray[np.uint8], heat: NDArray[np.float32], *, strength: float = 0.65) -> NDArray[np.uint8]:
    """Paint signed numbers over a grey copy of a picture: orange above 0, blue below, nothing at 0.

    Args:
        image: uint8 (H, W, 3); it is not changed.
        heat: float32 (H, W); the largest magnitude gets the full colour.
        strength: Cover of the full colour, in [0, 1].

    Raises:
        ImageError: `image` is no picture. UsageError: `heat` has another size, or numbers that are not finite.
    """
    check_image(image)
    if heat.shape != image.shape[:2] or not np.isfinite(heat).all():
        raise UsageError(f"finite numbers {image.shape[:2]}", f"{heat.shape}", "explain this very picture")
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float64)
    share = heat / max(float(np.abs(heat).max()), 1e-12)
    ink = np.where(share[..., None] > 0, (230.0, 120.0, 0.0), (0.0, 100.0, 210.0))
    cover = strength * np.abs(share)[..., None]
    return (grey * (1 - cover) + ink * cover + 0.5).astype(np.uint8)


def _covered(
    image: NDArray[np.uint8], corner: tuple[int, int], side: int, fill: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    copy, (top, left) = image.copy(), corner
    copy[top : top + side, left : left + side] = fill
    return copy


def _starts(length: int, side: int, pace: int) -> list[int]:
    """First pixels of windows that cover a side from end to end."""
    starts = list(range(0, length - side + 1, pace))
    return starts if starts[-1] == length - side else [*starts, length - side]
