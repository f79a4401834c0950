"""Pictures that are saved as PNG and carry in it what was done to them."""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..core.atomic import atomic_write
from ..core.checks import ImageError

PNG_KEY = "striate"
"""The text chunk of the PNG that holds plain data as JSON."""


def png_with_text(image: NDArray[np.uint8], told: dict[str, Any]) -> bytes:
    """Return a picture, uint8 (H, W, 3), as a PNG whose text chunk `striate` holds plain data as JSON."""
    stream, text = io.BytesIO(), PngInfo()
    text.add_itxt(PNG_KEY, json.dumps(told))
    Image.fromarray(image).save(stream, "PNG", pnginfo=text)
    return stream.getvalue()


class PngWithText(ABC):
    """A picture, uint8 (H, W, 3), and plain data about it."""

    image: NDArray[np.uint8]

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""

    def to_png(self) -> bytes:
        """Return the picture as a PNG whose text chunk `striate` holds `to_dict` as JSON."""
        return png_with_text(self.image, self.to_dict())

    def save(self, path: str | Path) -> Path:
        """Write `to_png`, all or nothing.

        Args:
            path: Ends in .png: what JPEG leaves may not fool.

        Raises:
            ImageError: Another suffix.
            SaveError: The file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise ImageError("a file name that ends in .png", str(path), "choose .png, which keeps every pixel")
        return atomic_write(path, lambda file: file.write(self.to_png()))
