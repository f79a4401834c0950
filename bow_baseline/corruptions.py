"""Noise, blur, JPEG, rotation, occlusion, brightness and contrast in five severities, as functions of one picture.

A corruption is any callable (picture uint8 (H, W, 3), severity 1 to 5, generator) -> picture uint8 (H, W, 3). Strengths
of noise, blur, JPEG, brightness and contrast are those of ImageNet-C (Hendrycks and Dietterich 2019, Benchmarking
Neural Network Robustness to Common Corruptions and Perturbations), its blur scaled from 224 pixels to the picture's
shorter side. Differs from it in Gaussian blur for defocus and in rotation and occlusion, which it does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray

from ..core.checks import DataError, UsageError
from ..core.images import encode_image, load_image

Number = TypeVar("Number", int, float)
Image = NDArray[np.uint8]
Corruption = Callable[[Image, int, np.random.Generator], Image]

SEVERITIES = (1, 2, 3, 4, 5)
NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)  # standard deviation, pixels in [0, 1]
BLUR = (1.0, 2.0, 3.0, 4.0, 6.0)  # standard deviation in pixels of a picture whose shorter side is 224
JPEG_QUALITY = (25, 18, 15, 10, 7)
DEGREES = (5.0, 10.0, 20.0, 35.0, 60.0)
COVERED = (0.05, 0.1, 0.2, 0.35, 0.5)  # share of the picture's area
LIGHT = (0.1, 0.2, 0.3, 0.4, 0.5)  # added to the value of HSV
CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)  # what remains of the distance from the mean


def noise(image: Image, severity: int, rng: np.random.Generator) -> Image:
    """Add Gaussian noise to each value."""
    grain = rng.normal(0, _of(NOISE, severity), image.shape)
    return _pixels(image / 255 + grain)


def blur(image: Image, severity: int, rng: np.random.Generator) -> Image:
    """Blur with a Gaussian; the generator is not used."""
    sigma = _of(BLUR, severity) * min(image.shape[:2]) / 224
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.uint8)


def jpeg(image: Image, severity: int, rng: np.random.Generator) -> Image:
    """Save as JPEG and load again; the generator is not used."""
    return load_image(encode_image(image, "jpeg", quality=_of(JPEG_QUALITY, severity)))


def rotation(image: Image, severity: int, rng: np.random.Generator) -> Image:
    """Turn about the middle, left or right by chance; what comes in from outside mirrors the picture."""
    height, width = image.shape[:2]
    degrees = _of(DEGREES, severity) * rng.choice([-1, 1])
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return np.asarray(cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def occlusion(image: Image, severity: int, rng: np.random.Generator) -> Image:
    """Cover a rectangle of the picture's own shape, at a random place, with mid grey."""
    height, width = image.shape[:2]
    side = np.sqrt(_of(COVERED, severity))
    high, wide = max(1, round(height * side)), max(1, round(width * side))
    top, left = rng.integers(height - high + 1), rng.integers(width - wide + 1)
    covered = image.copy()
    covered[top : top + high, left : left + wide] = 128
    return covered


def brightness(image: Image, severity: int, rng: np.random.Generator) -> Image:
    """Raise the value of HSV; the generator is not used."""
    hsv = cv2.cvtColor((image / 255).astype(np.float32), cv2.COLOR_RGB2HSV)
    hsv[..., 2] = np.minimum(hsv[..., 2] + np.float32(_of(LIGHT, severity)), 1)
    return _pixels(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def contrast(image: Image, severity: int, rng: np.random.Generator) -> Image:
    """Draw each channel towards its mean; the generator is not used."""
    scaled = image / 255
    mean = scaled.mean((0, 1))
    return _pixels(mean + _of(CONTRAST, severity) * (scaled - mean))


CORRUPTIONS: dict[str, Corruption] = {
    "noise": noise,
    "blur": blur,
    "jpeg": jpeg,
    "rotation": rotation,
    "occlusion": occlusion,
    "brightness": brightness,
    "contrast": contrast,
}


def corrupted(corruption: Corruption, name: str, image: Image, severity: int, index: int) -> Image:
    """Apply a corruption to picture `index` of a set; the draw depends on nothing but name, severity and index.

    Raises:
        DataError: What came back is no picture of the same size.
    """
    rng = np.random.default_rng([crc32(name.encode()), severity, index])
    changed = corruption(image.copy(), severity, rng)
    if not isinstance(changed, np.ndarray) or changed.dtype != np.uint8 or changed.shape != image.shape:
        got = f"{getattr(changed, 'dtype', type(changed).__name__)} {np.shape(changed)}"
        raise DataError(f"uint8 {image.shape} from the corruption {name!r}", got, "return a picture of the same size")
    return changed


def _of(strengths: tuple[Number, ...], severity: int) -> Number:
    if severity not in SEVERITIES:
        raise UsageError("a severity from 1 to 5", repr(severity), "choose one of those")
    return strengths[severity - 1]


def _pixels(values: NDArray[Any]) -> Image:
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
