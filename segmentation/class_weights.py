"""Weights that make rare classes count."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.datasets.masks import MaskDataset


def median_frequency(dataset: MaskDataset) -> NDArray[np.float32]:
    """Return median frequency weights, float32 (classes,): Eigen and Fergus 2015, section 6.3.2.

    A class's frequency is its share of the pixels of those pictures that have it; its weight is the median of all
    frequencies over its own. Ignored pixels are not counted, and a class that never occurs has the weight 1. The masks
    are read once, see `MaskDataset.histograms`.
    """
    pixels = dataset.histograms[:, :-1]
    there = (pixels > 0) * pixels.sum(1, keepdims=True)
    frequency = pixels.sum(0) / np.maximum(there.sum(0), 1)
    seen = frequency > 0
    weights = np.ones(len(frequency))
    if seen.any():
        weights[seen] = np.median(frequency[seen]) / frequency[seen]
    return weights.astype(np.float32)
