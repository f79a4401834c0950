"""Classes laid over a picture in their colours, and the legend beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..core.checks import UsageError, fraction
from ..core.datasets.mask_files import Colour
from ..core.images import check_image

BAND = 256
"""Rows worked on at once: float32 of a whole picture would be twelve times its labels."""


def class_counts(labels: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Count the pixels of every class, int64 (classes,), in bands: NumPy counts in a copy of int64."""
    bands = (labels[top : top + BAND].ravel() for top in range(0, len(labels), BAND))
    return np.sum([np.bincount(band, minlength=classes) for band in bands], axis=0, dtype=np.int64)


def overlay(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    names: Sequence[str],
    colours: Sequence[Colour],
    *,
    opacity: float,
    shown: Sequence[int],
    legend: bool,
) -> NDArray[np.uint8]:
    """Return a new picture, uint8 RGB (H, W, 3), with `shown` classes in colour; wider by a legend; see `LabelMap`."""
    check_image(image)
    fraction("opacity", opacity)
    if image.shape[:2] != labels.shape:
        got = f"{image.shape[1]}x{image.shape[0]} for labels of {labels.shape[1]}x{labels.shape[0]}"
        raise UsageError("the picture that was segmented", got, "pass it in the same size")
    table = np.zeros((256, 3), np.float32)
    share = np.zeros((256, 1), np.float32)
    for class_id in shown:
        table[class_id], share[class_id] = colours[class_id], opacity
    drawn = np.empty_like(image)
    for top in range(0, len(image), BAND):
        part, band = image[top : top + BAND], labels[top : top + BAND]
        drawn[top : top + BAND] = np.rint(part + (table[band] - part) * share[band])
    if not legend:
        return drawn
    found = class_counts(labels, len(names)) / labels.size
    there = [i for i in shown if found[i]]
    return _with_legend(drawn, [(f"{names[i]}  {100 * found[i]:.1f} %", colours[i]) for i in there])


def _with_legend(image: NDArray[np.uint8], lines: list[tuple[str, Colour]]) -> NDArray[np.uint8]:
    """Add a white column: a square of colour and a text on each line; the picture grows downwards if it must."""
    size = int(np.clip(round(max(image.shape[:2]) / 45), 10, 40))
    font = ImageFont.load_default(size)
    texts = [" ".join(text.split()) for text, _ in lines]
    step, wide = round(1.5 * size), max((font.getbbox(text)[2] for text in texts), default=0)
    width = image.shape[1] + round(wide) + 3 * size
    height = max(image.shape[0], step * len(lines) + size)
    canvas = Image.new("RGB", (width, height), (255, 255, 255))
    canvas.paste(Image.fromarray(image), (0, 0))
    pen = ImageDraw.Draw(canvas)
    for row, (text, (_, colour)) in enumerate(zip(texts, lines, strict=True)):
        x, y = image.shape[1] + size // 2, size // 2 + row * step
        pen.rectangle((x, y, x + size - 1, y + size - 1), fill=tuple(colour), outline=(60, 60, 60))
        pen.text((x + 1.5 * size, y + size / 2), text, fill=(0, 0, 0), font=font, anchor="lm")
    return np.array(canvas)
