"""Before, difference and after side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

MARGIN = 8
MOST_AMPLIFIED = 128


def amplified(original: NDArray[np.uint8], image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """Return the difference around grey, enlarged by a whole factor until it fills the range, and that factor."""
    deltas = image.astype(np.int64) - original
    largest = int(np.abs(deltas).max())
    factor = min(MOST_AMPLIFIED, 127 // largest) if largest else 1
    return np.clip(128 + max(1, factor) * deltas, 0, 255).astype(np.uint8), max(1, factor)


def draw_result(
    original: NDArray[np.uint8], image: NDArray[np.uint8], before: str, after: str, side: int
) -> NDArray[np.uint8]:
    """Draw three panels whose longer side is `side` pixels, each with a line of text below, uint8 (H, W, 3)."""
    difference, factor = amplified(original, image)
    panels = ((original, before), (difference, f"difference x{factor}"), (image, after))
    scale = side / max(original.shape[:2])
    height, width = (max(1, round(length * scale)) for length in original.shape[:2])
    font = ImageFont.load_default(max(10, side // 16))
    line = int(font.getbbox("Ag")[3]) + 2 * MARGIN
    canvas = Image.new("RGB", (3 * width + 4 * MARGIN, height + line + MARGIN), "white")
    pen = ImageDraw.Draw(canvas)
    way = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.BILINEAR  # pixels stay pixels
    for number, (panel, text) in enumerate(panels):
        left = MARGIN + number * (width + MARGIN)
        canvas.paste(Image.fromarray(panel).resize((width, height), way), (left, MARGIN))
        pen.text((left, height + 2 * MARGIN), text, fill=(0, 0, 0), font=font)
    return np.array(canvas)
