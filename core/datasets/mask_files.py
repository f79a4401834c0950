"""Files of masks: read with their values as they stand, and written as PNG with a palette.

A picture loader would turn a palette into colours and divide 16-bit values by 257; here a pixel keeps its number.
"""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from ..atomic import atomic_write
from ..checks import DataError, ImageError
from ..colours import orientation_of, oriented
from ..decode import Budget, decode
from ..images import MAX_BYTES, MAX_PIXELS, MAX_SECONDS, read_file

IGNORE = 255
"""Class id of pixels that count for nothing."""
UNKNOWN = 254
"""Mark of values that no class has; it never leaves this package."""
MOST_CLASSES = 254

Colour = tuple[int, int, int]
Values = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class RawMask:
    """What a mask's file holds.

    Attributes:
        values: uint8 or uint16 (H, W), or colours, uint8 (H, W, 3).
        palette: RGB of the values, (K, 3), where the file has one.
        bits: Of a value: 1, 8 (also where the file has 2 or 4) or 16.
    """

    values: Values
    palette: NDArray[np.uint8] | None = None
    bits: int = 8


def read_mask(path: str | Path) -> RawMask:
    """Read a mask without any conversion of its values, within the loader's budgets for pixels, bytes and time.

    1-bit becomes 0 and 1, grey of 2 and 4 bits 0 to 3 and 0 to 15. Palettes give their indices, and the palette beside
    them. Alpha must be opaque everywhere.

    Raises:
        ImageError: What `load_image` raises, and files whose values cannot be class ids: JPEG, floats, transparency,
            values outside 0..65535.
    """
    budget = Budget(MAX_PIXELS, MAX_BYTES, time.monotonic() + MAX_SECONDS, MAX_SECONDS)
    name = str(path)
    palette, bits = None, 8
    data = read_file(name, budget, MAX_BYTES + 1)

    def pixels(picture: Image.Image, name: str) -> np.ndarray:
        nonlocal palette, bits
        palette, bits = _palette(picture), 1 if picture.mode == "1" else 16 if picture.mode.startswith("I") else 8
        values = _values(picture, name) // _grey_step(picture, data)
        upright = oriented(values.reshape(*values.shape[:2], -1), orientation_of(picture.info.get("exif")))
        return upright if values.ndim == 3 else upright[..., 0]

    values = decode(data, budget, name, pixels)
    return RawMask(np.ascontiguousarray(values), palette, bits)


def _values(picture: Image.Image, name: str) -> np.ndarray:
    if picture.format == "JPEG":
        fix = "save the masks as PNG from where they were drawn"
        raise ImageError("a mask in a format without loss", f"a JPEG, which changes class ids: {name}", fix)
    if picture.mode in ("LA", "RGBA"):
        if picture.getchannel("A").getextrema() != (255, 255):
            raise ImageError("a mask without transparency", f"transparent pixels: {name}", "save it without alpha")
        picture = picture.convert(picture.mode[:-1])
    if picture.mode == "1":
        return np.asarray(picture).astype(np.uint8)
    values = np.asarray(picture)
    if picture.mode in ("L", "P", "RGB"):
        return values
    if picture.mode.startswith("I"):
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise ImageError("a mask of values from 0 to 65535", f"{low} to {high}: {name}", "renumber its classes")
        return values.astype(np.uint16)
    raise ImageError(
        "a mask of whole numbers, a palette or RGB", f"mode {picture.mode}: {name}", "save it as 8-bit PNG"
    )


def _grey_step(picture: Image.Image, data: bytes) -> int:
    """Return what Pillow multiplies grey values of 2 and 4 bits by, so that the largest becomes 255; else 1."""
    bits = 8
    if picture.format == "PNG" and data[25] == 0:  # the header's type of colour, grey; its bit depth stands before it
        bits = data[24]
    elif isinstance(picture, TiffImageFile):
        bits = picture.tag_v2.get(BITSPERSAMPLE, (8,))[0]
    return 255 // (2**bits - 1) if picture.mode == "L" and bits in (2, 4) else 1


def _palette(picture: Image.Image) -> NDArray[np.uint8] | None:
    """Return the palette as (K, 3)."""
    if picture.mode != "P" or picture.palette is None:
        return None
    return np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)


def voc_colours(count: int) -> tuple[Colour, ...]:
    """Return the first colours of Pascal VOC's palette: bits of the class id, spread over red, green and blue.

    Source: VOClabelcolormap of the VOC development kit (Everingham et al. 2010).
    """
    colours = []
    for class_id in range(count):
        red = green = blue = 0
        for place in range(8):
            red |= (class_id >> (3 * place) & 1) << (7 - place)
            green |= (class_id >> (3 * place + 1) & 1) << (7 - place)
            blue |= (class_id >> (3 * place + 2) & 1) << (7 - place)
        colours.append((red, green, blue))
    return tuple(colours)


def encode_mask(mask: NDArray[np.uint8], colours: Sequence[Colour] = ()) -> bytes:
    """Encode class ids as an 8-bit PNG whose palette shows them in colour, 255 in white.

    Args:
        mask: uint8 (H, W) class ids, 255 = ignore.
        colours: RGB of the classes; beyond them VOC's.

    Raises:
        DataError: Another shape or dtype.
    """
    if not isinstance(mask, np.ndarray) or mask.dtype != np.uint8 or mask.ndim != 2 or mask.size == 0:
        got = f"{getattr(mask, 'dtype', type(mask).__name__)} {np.shape(mask)}"
        raise DataError("a mask as uint8 (H, W)", got, "pass class ids, one for every pixel")
    table = [*colours[:IGNORE], *voc_colours(IGNORE)[len(colours) :], (255, 255, 255)]
    picture = Image.fromarray(mask)
    picture.putpalette([level for colour in table for level in colour])
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def save_mask(mask: NDArray[np.uint8], path: str | Path, colours: Sequence[Colour] = ()) -> Path:
    """Write `encode_mask` to a file, all or nothing.

    Raises:
        DataError: No mask, or a suffix that is not .png.
        SaveError: The disk is full or read-only, the folder is missing.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise DataError("a file called .png, which keeps class ids", f"{path.name}", "choose another name")
    data = encode_mask(mask, colours)
    return atomic_write(path, lambda file: file.write(data))
