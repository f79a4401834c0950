"""A picture before and after, and how far apart they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .png import PngWithText


@dataclass(frozen=True)
class Changed(PngWithText):
    """Two pictures, uint8 (H, W, 3): what came out, and what went in."""

    image: NDArray[np.uint8]
    original: NDArray[np.uint8]

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
