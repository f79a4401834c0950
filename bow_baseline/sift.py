"""SIFT histograms (Lowe 2004) on a regular grid of upright patches, as two matrix products.

A patch has 4 x 4 spatial bins of `bin_size` pixels and 8 orientations. The weight of a pixel in a bin is a triangle
(Lowe's interpolation between bins) times a Gaussian window of two bins around the patch's centre: a product of a
function of x and one of y. All bins of all patches are therefore `rows @ planes @ columns`, where `planes` are the
eight orientation maps. Differs from VLFeat's fast mode, which weighs each bin as a whole: here the window is exact and
costs nothing.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BINS = 4
ORIENTATIONS = 8
LENGTH = BINS * BINS * ORIENTATIONS
WINDOW = 2.0
"""Standard deviation of the Gaussian window in bins: half the patch, as Lowe's, VLFeat's and OpenCV's."""
SMOOTHING = 1 / 6
"""Standard deviation of the blur in bin sizes (`vl_phow`, magnification 6)."""
CAMERA_BLUR = 0.5
"""Blur that a picture is taken to have already, in pixels (Lowe 2004, section 3.3)."""
CLAMP = 0.2
"""Largest entry of a normalized histogram, against highlights and saturation (Lowe 2004, section 6.1)."""


def smooth(plane: Floats, bin_size: float) -> Floats:
    """Blur a plane (H, W) to the scale of a bin; edges are repeated."""
    variance = (bin_size * SMOOTHING) ** 2 - CAMERA_BLUR**2
    if variance <= 0:
        return plane
    blurred = cv2.GaussianBlur(plane, (0, 0), variance**0.5, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)


def orientation_planes(plane: Floats) -> Floats:
    """Split the gradients of a plane into eight directions, in proportion to the two that are nearest.

    Args:
        plane: (H, W), at least 2 x 2.

    Returns:
        (H, 8, W): gradient magnitudes; direction 0 points right, 2 down.
    """
    height, width = plane.shape
    dy, dx = np.gradient(plane)
    strength = np.sqrt(dx * dx + dy * dy)
    # torch's arctangent is vectorized and exact to float32; cv2.phase is off by up to 0.3 degrees.
    turns = torch.atan2(torch.from_numpy(dy), torch.from_numpy(dx)).numpy() * np.float32(ORIENTATIONS / (2 * np.pi))
    lower = np.floor(turns)
    upper_share = (turns - lower) * strength
    first = lower.astype(np.int64) & (ORIENTATIONS - 1)  # -4 .. 4 becomes 0 .. 7
    place = (np.arange(height) * (ORIENTATIONS * width))[:, None] + np.arange(width)
    planes = np.zeros((height, ORIENTATIONS, width), np.float32)
    flat = planes.reshape(-1)
    flat[place + first * width] = strength - upper_share
    flat[place + ((first + 1) & (ORIENTATIONS - 1)) * width] = upper_share
    return planes


def bin_weights(centres: Floats, bin_size: float, length: int) -> Floats:
    """Return the weight of each of `length` pixels in the four bins of each patch, along one axis: (n * 4, length)."""
    offsets = (np.arange(BINS) - (BINS - 1) / 2) * bin_size
    away = np.arange(length) - centres[:, None]
    triangle = 1 - np.abs(away[:, None] - offsets[:, None]) / bin_size
    window = np.exp(-0.5 * (away / (WINDOW * bin_size)) ** 2)
    return np.asarray(np.maximum(triangle, 0) * window[:, None], np.float32).reshape(-1, length)


def grid_histograms(planes: Floats, rows: Floats, columns: Floats) -> Floats:
    """Sum orientation planes (H, 8, W) into patches (patches, 128), the grid row by row.

    A patch's entries are ordered by bin row, bin column and direction, as OpenCV's and VLFeat's.

    Args:
        planes: Of `orientation_planes`.
        rows: `bin_weights` of the patches' y, (ny * 4, H).
        columns: `bin_weights` of the patches' x, (nx * 4, W).
    """
    height, _, width = planes.shape
    summed = (rows @ planes.reshape(height, -1)).reshape(-1, width) @ columns.T
    parts = summed.reshape(-1, BINS, ORIENTATIONS, len(columns) // BINS, BINS)
    return np.ascontiguousarray(parts.transpose(0, 3, 1, 4, 2), np.float32).reshape(-1, LENGTH)


def window_mass(bin_size: float) -> float:
    """Return the sum of the weights of all pixels of a patch."""
    reach = int(np.ceil((BINS + 1) / 2 * bin_size))
    return float(bin_weights(np.array([reach], np.float32), bin_size, 2 * reach + 1).sum()) ** 2


def normalized(histograms: Floats, least: float) -> Floats:
    """Scale histograms to length 1, clamp at 0.2, scale again; those whose sum is below `least` become zero.

    The histograms (n, 128) are overwritten.
    """
    seen = histograms.sum(1) >= max(least, float(np.finfo(np.float32).tiny))
    histograms *= _inverse_lengths(histograms, seen)
    np.minimum(histograms, CLAMP, out=histograms)
    histograms *= _inverse_lengths(histograms, seen)
    return histograms


def _inverse_lengths(histograms: Floats, seen: NDArray[np.bool_]) -> Floats:
    squares = np.einsum("ij,ij->i", histograms, histograms)
    return np.asarray(seen / np.sqrt(np.where(seen, squares, 1)), np.float32)[:, None]


def rooted(histograms: Floats) -> Floats:
    """Return the square roots of histograms that sum to 1 (RootSIFT, Arandjelovic and Zisserman 2012); zero stays."""
    sums = histograms.sum(1, keepdims=True)
    return np.sqrt(histograms / np.where(sums > 0, sums, np.float32(1)))
