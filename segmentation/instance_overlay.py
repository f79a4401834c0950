"""Single objects laid over a picture: each in a colour of its own, with a line around it."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from ..core.checks import UsageError, fraction
from ..core.images import check_image
from .class_colours import GOLDEN
from .instances import Instances

HUES = 64
"""Colours before they repeat: neighbours in number, which are neighbours in the picture, never share one."""
LINE = (255, 255, 255)


def draw_instances(
    image: NDArray[np.uint8], instances: Instances, *, opacity: float = 0.5, lines: bool = True
) -> NDArray[np.uint8]:
    """Return a copy of the picture with every object in colour.

    Args:
        image: uint8 RGB (H, W, 3), the picture that the objects were found on.
        instances: The objects.
        opacity: Of the colours, 0 to 1.
        lines: Draw a white line, one pixel wide, on the outermost pixels of each object.

    Raises:
        UsageError: A picture of another size, or an opacity out of range.
    """
    check_image(image)
    fraction("opacity", opacity)
    labels = instances.labels
    if image.shape[:2] != labels.shape:
        got = f"{image.shape[1]}x{image.shape[0]} for objects on {labels.shape[1]}x{labels.shape[0]}"
        raise UsageError("the picture that the objects were found on", got, "pass it in the same size")
    drawn = image.copy()
    inside = labels > 0
    colours = _colours()[(labels[inside] - 1) % HUES]
    drawn[inside] = np.rint(image[inside] + (colours - image[inside]) * np.float32(opacity))
    if lines:
        drawn[outermost(labels)] = LINE
    return drawn


def outermost(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return the pixels of objects that share a side with another object or the background, bool (H, W)."""
    edge = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        first, second = (np.moveaxis(labels, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        differ = first != second
        view = np.moveaxis(edge, axis, 0)
        view[:-1] |= differ
        view[1:] |= differ
    return edge & (labels > 0)


def _colours() -> NDArray[np.float32]:
    shades = [colorsys.hsv_to_rgb(GOLDEN * i % 1, (0.9, 0.6)[i % 2], (1.0, 0.8)[i // 2 % 2]) for i in range(HUES)]
    return np.array(shades, np.float32) * 255
