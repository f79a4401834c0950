"""Stains of tissue taken apart: how much of the blue of nuclei is in each pixel, whatever else is stained.

Light that passes through two stains is absorbed by each in turn, so optical densities add up (Ruifrok and Johnston
2001): density = amounts of the stains times their densities in red, green and blue. A network that has seen nuclei
bright on dark, as under fluorescence, reads the amount of haematoxylin like one of its own pictures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.images import check_image

DENSITIES = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
"""Of haematoxylin, eosin and DAB in red, green and blue (their table 1; as in scikit-image)."""
LEAST = 1e-6
"""Share of the light that a black pixel still passes."""
SPAN = (1.0, 99.5)
"""Percentiles of the amount that become black and white: no picture lacks a few pixels of dirt."""


def haematoxylin(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the amount of haematoxylin as a grey picture, uint8 RGB (H, W, 3), bright where there is much.

    Black and white are percentiles of the whole picture, which is looked at at once: 20 bytes a pixel beside it, 8 GB
    for 20,000 x 20,000.

    Args:
        image: uint8 RGB (H, W, 3), tissue stained with haematoxylin and eosin, or haematoxylin and DAB.

    Raises:
        ImageError: No picture.
    """
    check_image(image)
    amount = stain_amounts(image)
    low, high = np.percentile(amount, SPAN)
    if high <= low:
        return np.zeros_like(image)
    grey = np.rint(((amount - low) / (high - low)).clip(0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def stain_amounts(image: NDArray[np.uint8], stain: int = 0) -> NDArray[np.float32]:
    """Return the amount of a stain, a row of `DENSITIES`, in each pixel, float32 (H, W) from 0; 1 is all light gone."""
    weights = np.linalg.inv(np.array(DENSITIES))[:, stain]
    levels = np.log(np.maximum(np.arange(256) / 255, LEAST)) / np.log(LEAST)
    tables = (levels * weights[:, None]).astype(np.float32)
    amount = tables[0][image[..., 0]]
    for channel in (1, 2):
        amount += tables[channel][image[..., channel]]
    return np.asarray(np.maximum(amount, 0), np.float32)
