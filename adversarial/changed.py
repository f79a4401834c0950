"""A picture before and after, how far apart they are, and the PNG that carries what was done."""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..core.atomic import atomic_write
from ..core.checks import ImageError

PNG_KEY = "striate"
"""The text chunk of the PNG that holds `to_dict` as JSON."""


@dataclass(frozen=True)
class Changed(ABC):
    """Two pictures, uint8 (H, W, 3): what came out, and what went in."""

    image: NDArray[np.uint8]
    original: NDArray[np.uint8]

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""

    def figures(self) -> dict[str, Any]:
        """Return norms, PSNR (None for equal pictures) and SSIM."""
        return {"norms": self.norms, "psnr": None if np.isinf(self.psnr) else self.psnr, "ssim": self.ssim}

    @cached_property
    def norms(self) -> dict[str, float]:
        """L0 (pixels), L1, L2 and Linf of the difference of the two 8-bit pictures, as pictures in [0, 1]."""
        deltas = (self.image.astype(np.float64) - self.original) / 255
        return {
            "l0": float((deltas != 0).any(2).sum()),
            "l1": float(np.abs(deltas).sum()),
            "l2": float(np.sqrt((deltas**2).sum())),
            "linf": float(np.abs(deltas).max()),
        }

    @cached_property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio in dB; infinite for equal pictures."""
        error = float(((self.image.astype(np.float64) - self.original) ** 2).mean())
        return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))

    @cached_property
    def ssim(self) -> float:
        """Structural similarity (Wang et al. 2004) with windows of 7 pixels, or the largest odd number that fits."""
        from skimage.metrics import structural_similarity

        window = min(7, (min(self.image.shape[:2]) - 1) // 2 * 2 + 1)
        if window < 3:
            return float(np.array_equal(self.image, self.original))
        return float(structural_similarity(self.original, self.image, channel_axis=2, win_size=window, data_range=255))

    def to_png(self) -> bytes:
        """Return the picture as a PNG whose text chunk `striate` holds `to_dict` as JSON."""
        stream, text = io.BytesIO(), PngInfo()
        text.add_itxt(PNG_KEY, json.dumps(self.to_dict()))
        Image.fromarray(self.image).save(stream, "PNG", pnginfo=text)
        return stream.getvalue()

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
