"""What a model does to a picture before its network sees it, as differentiable arithmetic.

`core.images.resize` is linear in the pixels and separable, so it is two matrix products; the matrices are what OpenCV
itself makes of unit vectors, hence exactly the model's own resampling, area averages included. What the model does
besides is to round to 8 bits after each step; `exact=True` rounds likewise, for the comparison with the model.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from ..core.augment_batch import centre
from ..core.letterbox import plan_letterbox

LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as cv2.COLOR_RGB2GRAY."""
CPU = torch.device("cpu")
LINES = 256
"""Unit vectors that are resized at a time: 256 x 4,000 floats are 4 MB."""


class Geometry(Protocol):
    """Turns pictures float (N, 3, H, W) in [0, 1] into what a network takes."""

    def __call__(self, pictures: Tensor, *, exact: bool = False) -> Tensor:
        """Return (N, C, h, w); with `exact` rounded to 8 bits where the model rounds."""


@lru_cache(maxsize=16)
def resize_matrix(length: int, wanted: int, shrinking: bool, device: torch.device = CPU) -> Tensor:
    """Return the float32 (wanted, length) matrix by which `core.images.resize` changes the length of one axis."""
    way = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    parts = []
    for start in range(0, length, LINES):
        unit = np.eye(length, min(LINES, length - start), -start, dtype=np.float32)
        parts.append(cv2.resize(unit, (unit.shape[1], wanted), interpolation=way).reshape(wanted, -1))
    return torch.from_numpy(np.concatenate(parts, 1)).to(device)


def resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize pictures (N, C, H, W) to (height, width) as `core.images.resize` does, without its rounding."""
    height, width = pictures.shape[2:]
    if (height, width) == size:
        return pictures
    shrinking = size[0] * size[1] < height * width
    rows, columns = (
        resize_matrix(length, wanted, shrinking, pictures.device)
        for length, wanted in zip((height, width), size, strict=True)
    )
    return rows @ pictures @ columns.T


class ClassGeometry:
    """What `core.classifier.Classifier` does: the middle square, scaled, grey where asked, its middle.

    Args:
        side: Of the square after scaling.
        image_size: Of the middle that the network sees.
        channels: 1 or 3.
    """

    def __init__(self, side: int, image_size: int, channels: int) -> None:
        self.side, self.image_size, self.channels = side, image_size, channels

    def __call__(self, pictures: Tensor, *, exact: bool = False) -> Tensor:
        """Return (N, channels, image_size, image_size)."""
        height, width = pictures.shape[2:]
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        square = pictures[:, :, top : top + short, left : left + short]
        square = _rounded(resized(square, (self.side, self.side)), exact)
        if self.channels == 1:
            red, green, blue = square.split(1, 1)
            square = _rounded(LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue, exact)
        return centre(square, (self.image_size, self.image_size))


class CanvasGeometry:
    """What a detector does: fitted onto a canvas of (height, width) without changing its shape, grey around it."""

    def __init__(self, canvas: tuple[int, int], fill: int = 114) -> None:
        self.canvas, self.fill = canvas, fill

    def __call__(self, pictures: Tensor, *, exact: bool = False) -> Tensor:
        """Return (N, 3, canvas height, canvas width)."""
        plan = plan_letterbox((pictures.shape[2], pictures.shape[3]), self.canvas)
        height, width = plan.fitted
        fitted = _rounded(resized(pictures, plan.fitted), exact)
        below, right = plan.height - plan.pad_top - height, plan.width - plan.pad_left - width
        around = (plan.pad_left, right, plan.pad_top, below)
        return torch.nn.functional.pad(fitted, around, value=self.fill / 255)


class PaddedGeometry:
    """What a segmenter does to a whole picture: mirrored at the right and below, up to a multiple of the stride."""

    def __init__(self, stride: int, least: int = 0) -> None:
        self.stride, self.least = stride, least

    def __call__(self, pictures: Tensor, *, exact: bool = False) -> Tensor:
        """Return (N, 3, H', W'), both sides multiples of the stride."""
        height, width = pictures.shape[2:]
        rows, columns = (
            mirrored(length, 0, max(self.least, -(-length // self.stride) * self.stride) - length).to(pictures.device)
            for length in (height, width)
        )
        return pictures[:, :, rows][:, :, :, columns]


def mirrored(length: int, before: int, after: int) -> Tensor:
    """Return which pixel of an axis stands at each place once it is mirrored beyond its ends, int64 (longer,)."""
    places = np.arange(length, dtype=np.int32)[None]
    return torch.from_numpy(cv2.copyMakeBorder(places, 0, 0, before, after, cv2.BORDER_REFLECT_101)[0].astype(np.int64))


def _rounded(pictures: Tensor, exact: bool) -> Tensor:
    return (pictures * 255).round() / 255 if exact else pictures
