"""Boxes with labels on a picture: always on a new one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .checks import UsageError
from .images import check_image

# Okabe and Ito, "Color Universal Design" (2008): eight colours that stay apart under the common kinds of colour
# blindness, put into an order in which neighbours differ in lightness too. The ninth class takes the first again.
PALETTE = (
    (230, 159, 0),  # orange
    (0, 114, 178),  # blue
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (213, 94, 0),  # vermilion
    (86, 180, 233),  # sky blue
    (204, 121, 167),  # reddish purple
    (90, 90, 90),  # grey, where the source has black, which would vanish on dark pictures
)


def colour_of(class_id: int) -> tuple[int, int, int]:
    """Return the RGB colour of a class."""
    return PALETTE[class_id % len(PALETTE)]


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    class_ids: np.ndarray,
    labels: Sequence[str] | None = None,
    *,
    line_width: int | None = None,
    text_size: int | None = None,
) -> np.ndarray:
    """Draw boxes and their labels.

    Every line has a dark rim and every label its own plate, so that both can be read on any picture. A label stands
    above its box, or at another corner where there is no room, and never outside the picture while it fits in.

    Args:
        image: uint8 (H, W, 3) RGB; it is not changed.
        boxes: (N, 4) xyxy pixels, half-open; parts outside the picture are cut.
        class_ids: (N,) integers, which choose the colours.
        labels: N texts, such as "RBC 0.93"; None or an empty text draws the box alone.
        line_width: Pixels; None takes 1/250 of the longer side, at least 2 (1 for pictures below 200 pixels).
        text_size: Pixels; None takes 1/45 of the longer side, from 10 to 40.

    Returns:
        A new uint8 (H, W, 3).

    Raises:
        ImageError: `image` is no picture. UsageError: Boxes, class ids and labels do not go together.
    """
    check_image(image)
    boxes, class_ids = _checked(boxes, class_ids, labels)
    longer = max(image.shape[:2])
    width = line_width or (1 if longer < 200 else max(2, round(longer / 250)))
    size = text_size or int(np.clip(round(longer / 45), 10, 40))
    canvas = Image.fromarray(image)  # a copy: Pillow's own memory
    pen = ImageDraw.Draw(canvas)
    # Large boxes first, so that small ones stay visible; labels last, so that no line crosses them.
    order = np.argsort(-(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), kind="stable")
    for i in order:
        _draw_frame(pen, boxes[i], colour_of(int(class_ids[i])), width)
    if labels is not None and any(labels):
        font = ImageFont.load_default(size)
        plates: list[tuple[float, float, float, float]] = []
        for i in order:
            if labels[i]:
                plates.append(_draw_label(pen, plates, boxes[i], labels[i], colour_of(int(class_ids[i])), font, width))
    return np.array(canvas)


def _checked(boxes: np.ndarray, class_ids: np.ndarray, labels: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    boxes = np.asarray(boxes, dtype=np.float64)
    boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    class_ids = np.asarray(class_ids).reshape(-1)
    count = len(boxes)
    if (
        boxes.ndim != 2
        or boxes.shape[1] != 4
        or len(class_ids) != count
        or (labels is not None and len(labels) != count)
    ):
        got = f"boxes {boxes.shape}, {len(class_ids)} class ids, {'no' if labels is None else len(labels)} labels"
        raise UsageError("boxes (N, 4), N class ids and N labels", got, "pass one of each for every box")
    if not np.isfinite(boxes).all():
        raise UsageError("finite boxes", "NaN or infinity", "drop those boxes first")
    return boxes, class_ids


def _draw_frame(pen: ImageDraw.ImageDraw, box: np.ndarray, colour: tuple[int, int, int], width: int) -> None:
    # Half-open pixels: the last column is x2 - 1. A box narrower than a pixel still shows as one. Coordinates far
    # outside are cut first, because Pillow walks along every pixel of a line.
    x1, y1, x2, y2 = np.clip(np.rint(box), -(10**4), 10**5).astype(int).tolist()
    x2, y2 = max(x1, x2 - 1), max(y1, y2 - 1)
    if width > 1:
        rim = (max(0, colour[0] // 4), max(0, colour[1] // 4), max(0, colour[2] // 4))
        pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=rim, width=min(width + 2, x2 - x1 + 2, y2 - y1 + 2))
    pen.rectangle((x1, y1, x2, y2), outline=colour, width=width)


def _draw_label(
    pen: ImageDraw.ImageDraw,
    plates: list[tuple[float, float, float, float]],
    box: np.ndarray,
    text: str,
    colour: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    width: int,
) -> tuple[float, float, float, float]:
    """Draw one label where no earlier one stands, if there is such a place; returns its plate, xyxy."""
    text = " ".join(text.split())
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    plate = (right - left + 2 * width + 2, bottom - top + 2 * width + 2)
    x, y = _place(plate, box, plates, pen.im.size)
    pen.rectangle((x, y, x + plate[0] - 1, y + plate[1] - 1), fill=colour)
    # Black or white, whichever differs more: relative luminance above 0.18 reads better under black (WCAG 2.1, 1.4.3).
    ink = (0, 0, 0) if _luminance(colour) > 0.18 else (255, 255, 255)
    pen.text((x + width + 1 - left, y + width + 1 - top), text, fill=ink, font=font)
    return x, y, x + plate[0], y + plate[1]


def _place(
    plate: tuple[float, float],
    box: np.ndarray,
    plates: list[tuple[float, float, float, float]],
    canvas: tuple[int, int],
) -> tuple[float, float]:
    """Choose the first free corner: above left, inside at the top, below, then the same at the right edge."""
    (wide, high), (x1, y1, x2, y2) = plate, box
    corners = [(x, y) for x in (x1, x2 - wide) for y in (y1 - high, y1, y2, y2 - high)]
    # A place partly outside is moved in, which may put it onto another label: it is judged where it would stand.
    room = (max(0, canvas[0] - wide), max(0, canvas[1] - high))
    moved = [(float(np.clip(x, 0, room[0])), float(np.clip(y, 0, room[1]))) for x, y in corners]
    free = (
        (x, y)
        for x, y in moved
        if all(x >= right or y >= bottom or x + wide <= left or y + high <= top for left, top, right, bottom in plates)
    )
    return next(free, moved[0])


def _luminance(colour: tuple[int, int, int]) -> float:
    linear = [(c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
