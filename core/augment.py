"""Augmentation that moves boxes with the picture: flips, colour, scale and shift, mosaic.

Everything here is a pure function of its arguments and of the `numpy.random.Generator` it is given, so a training can
be repeated sample by sample. Pictures are uint8 RGB (H, W, 3); boxes float32 (N, 4), xyxy pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .checks import fraction

FILL = 114
"""Grey of what lies outside the picture; the same as `images.letterbox`."""


@dataclass(frozen=True)
class Labelled:
    """A picture with its boxes: image (H, W, 3) uint8, boxes (N, 4) float32, class_ids (N,) int64."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]


@dataclass(frozen=True)
class Augmentation:
    """How strongly pictures are changed; probabilities in [0, 1], the others relative amounts.

    Attributes:
        mosaic: Probability of four pictures joined into one (Bochkovskiy et al. 2020, YOLOv4).
        scale: Zoom between 1 - scale and 1 + scale.
        translate: Shift up to this share of the picture.
        flip_horizontal: Probability.
        flip_vertical: Probability; above 0 only where up and down mean nothing, as under a microscope.
        transpose: Probability of swapping x and y, with the flips every rotation by 90 degrees; likewise.
        hue: Shift of the hue, as a share of the full circle.
        saturation: Gain between 1 - saturation and 1 + saturation.
        value: Gain of the brightness, likewise.
    """

    mosaic: float = 1.0
    scale: float = 0.5
    translate: float = 0.1
    flip_horizontal: float = 0.5
    flip_vertical: float = 0.0
    transpose: float = 0.0
    hue: float = 0.015
    saturation: float = 0.5
    value: float = 0.4

    def __post_init__(self) -> None:
        for name, amount in vars(self).items():
            fraction(name, amount)


def flip(sample: Labelled, rng: np.random.Generator, horizontal: float, vertical: float) -> Labelled:
    """Mirror left-right and top-down with these probabilities."""
    image, boxes = sample.image, sample.boxes.copy()
    height, width = image.shape[:2]
    if rng.random() < horizontal:
        image = image[:, ::-1]
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    if rng.random() < vertical:
        image = image[::-1]
        boxes[:, [1, 3]] = height - boxes[:, [3, 1]]
    return Labelled(np.ascontiguousarray(image), boxes, sample.class_ids)


def transpose(sample: Labelled) -> Labelled:
    """Swap x and y."""
    image = np.ascontiguousarray(sample.image.transpose(1, 0, 2))
    return Labelled(image, sample.boxes[:, [1, 0, 3, 2]], sample.class_ids)


def jitter_colour(
    image: NDArray[np.uint8], rng: np.random.Generator, hue: float, saturation: float, value: float
) -> NDArray[np.uint8]:
    """Shift the hue and scale saturation and brightness, each by a random amount up to the given one."""
    shift, *gains = rng.uniform(-1, 1, 3) * (hue, saturation, value)
    levels = np.arange(256, dtype=np.float32)
    tables = [((levels + shift * 180) % 180), *(np.clip(levels * (1 + gain), 0, 255) for gain in gains)]
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    moved = cv2.LUT(hsv, np.stack(tables, axis=-1).astype(np.uint8)[None])
    return np.asarray(cv2.cvtColor(moved, cv2.COLOR_HSV2RGB), np.uint8)


def place(
    sample: Labelled,
    zoom: float,
    shift: tuple[float, float],
    size: tuple[int, int],
    *,
    least_visible: float = 0.25,
    border: int = cv2.BORDER_CONSTANT,
) -> Labelled:
    """Scale, shift and cut to a canvas (height, width): x' = zoom * x + shift[0], y' = zoom * y + shift[1].

    Args:
        sample: What to place.
        zoom: Factor.
        shift: Pixels along x and y.
        size: Canvas.
        least_visible: Boxes of which a smaller share of the area stays inside are dropped, as are those that end
            under 2 pixels wide or high.
        border: OpenCV's border mode for what lies outside the picture; by default it is grey.
    """
    height, width = size
    # Boxes count from the edges of pixels, OpenCV from their centres, which lie half a pixel further.
    offset = [along + zoom / 2 - 0.5 for along in shift]
    image = cv2.warpAffine(
        sample.image,
        np.array([[zoom, 0, offset[0]], [0, zoom, offset[1]]]),
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=border,
        borderValue=(FILL, FILL, FILL),
    )
    moved = sample.boxes * np.float32(zoom) + np.array([*shift, *shift], np.float32)
    clipped = moved.clip(0, np.array([width, height, width, height], np.float32))
    before, after = moved[:, 2:] - moved[:, :2], clipped[:, 2:] - clipped[:, :2]
    keep = (after.min(axis=1, initial=np.inf) >= 2) & (after.prod(axis=1) >= least_visible * before.prod(axis=1))
    return Labelled(np.asarray(image, np.uint8), clipped[keep], sample.class_ids[keep])


def zoom_and_shift(
    sample: Labelled, rng: np.random.Generator, size: tuple[int, int], scale: float, translate: float
) -> Labelled:
    """Fit the picture into the canvas (height, width), then zoom and shift it at random around the middle."""
    height, width = size
    rows, columns = sample.image.shape[:2]
    zoom = min(height / rows, width / columns) * rng.uniform(1 - scale, 1 + scale)
    middle_x = width * (0.5 + rng.uniform(-translate, translate))
    middle_y = height * (0.5 + rng.uniform(-translate, translate))
    return place(sample, zoom, (middle_x - zoom * columns / 2, middle_y - zoom * rows / 2), size)


def mosaic(samples: Sequence[Labelled], rng: np.random.Generator, size: tuple[int, int], scale: float) -> Labelled:
    """Join four pictures around a random point of the canvas (height, width); each fills its quarter.

    Every picture is scaled at random, then shifted so that it covers its quarter from the joint outwards.
    """
    height, width = size
    joint_x, joint_y = (int(side * rng.uniform(0.25, 0.75)) for side in (width, height))
    canvas = np.empty((height, width, 3), np.uint8)
    boxes, class_ids = [], []
    for i, sample in enumerate(samples):
        x0, x1 = (0, joint_x) if i % 2 == 0 else (joint_x, width)
        y0, y1 = (0, joint_y) if i < 2 else (joint_y, height)
        rows, columns = sample.image.shape[:2]
        fit = min(height / rows, width / columns) * rng.uniform(1 - scale, 1 + scale)
        zoom = max(fit, (x1 - x0) / columns, (y1 - y0) / rows)  # never a grey gap inside a quarter
        left = rng.random() * max(0.0, columns * zoom - (x1 - x0))
        top = rng.random() * max(0.0, rows * zoom - (y1 - y0))
        part = place(sample, zoom, (-left, -top), (y1 - y0, x1 - x0), border=cv2.BORDER_REPLICATE)
        canvas[y0:y1, x0:x1] = part.image
        boxes.append(part.boxes + np.array([x0, y0, x0, y0], np.float32))
        class_ids.append(part.class_ids)
    return Labelled(canvas, np.concatenate(boxes), np.concatenate(class_ids))


def augment(
    samples: Sequence[Labelled], rng: np.random.Generator, size: tuple[int, int], options: Augmentation
) -> Labelled:
    """Make one training picture of canvas `size` (height, width) from one sample, or from four by mosaic.

    Args:
        samples: One sample, or four for a mosaic.
        rng: Where all chance comes from.
        size: Canvas.
        options: See `Augmentation`.
    """
    turned = [transpose(s) if rng.random() < options.transpose else s for s in samples]
    if len(turned) == 4:
        joined = mosaic(turned, rng, size, options.scale)
    else:
        joined = zoom_and_shift(turned[0], rng, size, options.scale, options.translate)
    flipped = flip(joined, rng, options.flip_horizontal, options.flip_vertical)
    image = jitter_colour(flipped.image, rng, options.hue, options.saturation, options.value)
    return Labelled(image, flipped.boxes, flipped.class_ids)
