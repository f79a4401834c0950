"""Many small pictures on one sheet, each with two lines of text below it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..core.checks import UsageError

MARGIN = 6
MOST_COLUMNS = 10


def percent(probability: float) -> str:
    """Write a probability without ever rounding it up: 99.99 % is at least that; two decimals."""
    return f"{math.floor(probability * 1e4 + 1e-3) / 100:.2f} %"  # a thousandth for the rounding of float32


def contact_sheet(
    images: Sequence[NDArray[np.uint8]],
    captions: Sequence[tuple[str, str]],
    *,
    tile: int = 112,
    columns: int | None = None,
) -> NDArray[np.uint8]:
    """Draw pictures in rows on white, uint8 (H, W, 3).

    Args:
        images: uint8 (h, w, 3) each, of any sizes.
        captions: Two lines for each; what is too long for its tile is cut.
        tile: Longer side of a picture on the sheet; pixels of enlarged ones stay squares.
        columns: None for up to 10, five and five for ten.

    Raises:
        UsageError: No picture, or a tile smaller than 32 pixels.
    """
    if not len(images) or tile < 32:
        got = f"{len(images)} pictures on tiles of {tile}"
        raise UsageError("at least one picture, on tiles of at least 32 pixels", got, "pass more, or a larger tile")
    if columns is None:
        columns = 5 if len(images) == 10 else min(MOST_COLUMNS, len(images))
    font = ImageFont.load_default(max(10, tile // 8))
    line = int(font.getbbox("Ag")[3]) + 2
    step = (tile + MARGIN, tile + 2 * line + 2 * MARGIN)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * step[0] + MARGIN, rows * step[1] + MARGIN), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (image, lines) in enumerate(zip(images, captions, strict=True)):
        left, top = MARGIN + number % columns * step[0], MARGIN + number // columns * step[1]
        sheet.paste(_fitted(image, tile), (left, top))
        for place, text in enumerate(lines):
            ink = (20, 20, 20) if place == 0 else (90, 90, 90)
            pen.text((left, top + tile + 2 + place * line), _cut(text, tile, font), fill=ink, font=font)
    return np.array(sheet)


def _fitted(image: NDArray[np.uint8], tile: int) -> Image.Image:
    height, width = image.shape[:2]
    scale = tile / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return Image.fromarray(image).resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX)


def _cut(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
