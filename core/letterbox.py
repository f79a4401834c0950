"""Fitting a picture of any size onto a canvas of fixed size, and the way back for boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .checks import UsageError


@dataclass(frozen=True)
class Letterbox:
    """Where a picture lies on its canvas: canvas = original * scale + pad.

    Both axes share one nominal `scale`; the true factors differ from it by the rounding of the fitted picture to whole
    pixels (a 20000x10 picture keeps one row), so `scale_x` and `scale_y` are what moves boxes.

    Attributes:
        scale: Nominal factor, min(height / original_height, width / original_width).
        pad_left: Columns of fill to the left of the picture.
        pad_top: Rows of fill above the picture.
        height: Height of the canvas.
        width: Width of the canvas.
        original_height: Height of the picture before.
        original_width: Width of the picture before.
    """

    scale: float
    pad_left: int
    pad_top: int
    height: int
    width: int
    original_height: int
    original_width: int

    @property
    def fitted(self) -> tuple[int, int]:
        """Height and width of the picture on the canvas, at least one pixel each."""
        return (
            max(1, min(self.height, round(self.original_height * self.scale))),
            max(1, min(self.width, round(self.original_width * self.scale))),
        )

    @property
    def scale_x(self) -> float:
        """Factor along x that the pixels were really resized by."""
        return self.fitted[1] / self.original_width

    @property
    def scale_y(self) -> float:
        """Factor along y that the pixels were really resized by."""
        return self.fitted[0] / self.original_height

    def to_canvas(self, boxes_xyxy: np.ndarray) -> np.ndarray:
        """Move boxes (N, 4) from the original picture to the canvas, float32."""
        boxes = _boxes(boxes_xyxy)
        return (boxes * self._factors() + self._offsets()).astype(np.float32)

    def to_original(self, boxes_xyxy: np.ndarray) -> np.ndarray:
        """Move boxes (N, 4) from the canvas to the original picture, clipped to it, float32."""
        boxes = (_boxes(boxes_xyxy) - self._offsets()) / self._factors()
        limits = np.array([self.original_width, self.original_height] * 2, dtype=np.float64)
        return np.clip(boxes, 0.0, limits).astype(np.float32)

    def _factors(self) -> np.ndarray:
        return np.array([self.scale_x, self.scale_y] * 2, dtype=np.float64)

    def _offsets(self) -> np.ndarray:
        return np.array([self.pad_left, self.pad_top] * 2, dtype=np.float64)


def plan_letterbox(original: tuple[int, int], size: tuple[int, int]) -> Letterbox:
    """Centre a picture of (height, width) `original` on a canvas of (height, width) `size`."""
    (original_height, original_width), (height, width) = original, size
    if min(original_height, original_width, height, width) < 1:
        raise UsageError("heights and widths of at least 1 pixel", f"{original} onto {size}", "pass (height, width)")
    scale = min(height / original_height, width / original_width)
    plan = Letterbox(scale, 0, 0, height, width, original_height, original_width)
    fitted_height, fitted_width = plan.fitted
    pad_left, pad_top = (width - fitted_width) // 2, (height - fitted_height) // 2
    return Letterbox(scale, pad_left, pad_top, height, width, original_height, original_width)


def _boxes(boxes_xyxy: np.ndarray) -> np.ndarray:
    boxes = np.asarray(boxes_xyxy, dtype=np.float64)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise UsageError("boxes of shape (N, 4)", f"shape {boxes.shape}", "pass one row x1, y1, x2, y2 per box")
    return boxes
