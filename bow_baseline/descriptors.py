"""Local descriptors of a picture: SIFT on a dense grid at several scales (PHOW), or at keypoints."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..core.checks import DataError, UsageError, unknown
from ..core.images import check_image, resize
from . import sift
from .normalization import normalize
from .options import above_zero, not_negative, plain, whole_number

Floats = NDArray[np.float32]

COLOURS = {
    "grey": np.array([[0.299, 0.587, 0.114]], np.float32),
    # Intensity, red against green, yellow against blue (van de Sande et al. 2010, equation 6).
    "opponent": np.array(
        [np.array([1, 1, 1]) / 3**0.5, np.array([1, -1, 0]) / 2**0.5, np.array([1, 1, -2]) / 6**0.5], np.float32
    ),
}
FLATTEST = 0.005
"""Least mean gradient of a patch, in full scales a pixel: 1.3 grey levels."""


@dataclass(frozen=True, eq=False)
class Descriptors:
    """What was measured at n places of a picture.

    Attributes:
        values: float32 (n, D).
        centres: float32 (n, 2), x and y in pixels of the picture.
        radii: float32 (n,), half the width of each patch in pixels.
        size: (height, width) of the picture.

    Raises:
        DataError: Arrays whose lengths do not agree.
    """

    values: Floats
    centres: Floats
    radii: Floats
    size: tuple[int, int]

    def __post_init__(self) -> None:
        n = len(self.values)
        if self.values.ndim != 2 or self.centres.shape != (n, 2) or self.radii.shape != (n,):
            got = f"{self.values.shape}, {self.centres.shape} and {self.radii.shape}"
            raise DataError("values (n, D), centres (n, 2) and radii (n,)", got, "give each descriptor one place")

    def __len__(self) -> int:
        return len(self.values)

    def subset(self, chosen: NDArray[Any]) -> Descriptors:
        """Select by boolean mask or numbers."""
        return Descriptors(self.values[chosen], self.centres[chosen], self.radii[chosen], self.size)


class Describer(Protocol):
    """What turns a picture into descriptors."""

    @property
    def dimension(self) -> int:
        """Length of each descriptor."""

    def describe(self, image: NDArray[np.uint8]) -> Descriptors:
        """Measure a picture, uint8 RGB (H, W, 3)."""

    def keywords(self) -> dict[str, Any]:
        """Return the constructor's keywords with their values, as JSON has them."""


class DenseSift:
    """SIFT of upright patches on one grid at several scales: PHOW (Bosch et al. 2007), as VLFeat's `vl_phow`.

    Args:
        step: Pixels between neighbouring patches.
        bin_sizes: Sides of a spatial bin in pixels, one for each scale; a patch is 4 bins wide. Scales whose patches
            do not fit into a picture are left out of it; a picture that none fits has no descriptors.
        colour: "grey", or "opponent" for three SIFTs in a row (384 numbers).
        root: RootSIFT (Arandjelovic and Zisserman 2012).
        position: Weight of x / width - 0.5 and y / height - 0.5, appended to each descriptor; 0 appends nothing.
        contrast: Least mean gradient of a patch, in full scales a pixel. The SIFT of flatter patches is all zeros, in
            colour that of the channel.
        max_side: Pictures with a longer side are shrunk to it; centres and radii stay in the picture's pixels.

    Raises:
        UsageError: Sizes that are not positive, or an unknown colour.

    Example:
        >>> len(DenseSift().describe(np.zeros((200, 200, 3), np.uint8)))
        2700
    """

    def __init__(
        self,
        *,
        step: int = 6,
        bin_sizes: tuple[float, ...] = (4, 6, 8),
        colour: str = "grey",
        root: bool = True,
        position: float = 0.0,
        contrast: float = FLATTEST,
        max_side: int = 480,
    ) -> None:
        if colour not in COLOURS:
            raise unknown("colour", colour, COLOURS)
        if not isinstance(bin_sizes, Sequence) or isinstance(bin_sizes, str) or not len(bin_sizes):
            raise UsageError("at least one bin size, in a list", repr(bin_sizes), "pass bin_sizes=(4, 6, 8)")
        for name, value in (("step", step), ("max_side", max_side)):
            whole_number(name, value)
        for size in bin_sizes:
            above_zero("bin_sizes", size)
        for name, amount in (("position", position), ("contrast", contrast)):
            not_negative(name, amount)
        self.step, self.bin_sizes, self.colour, self.root = step, tuple(bin_sizes), colour, root
        self.position, self.contrast, self.max_side = position, contrast, max_side

    @property
    def dimension(self) -> int:
        """Length of each descriptor."""
        return sift.LENGTH * len(COLOURS[self.colour]) + 2 * (self.position > 0)

    def keywords(self) -> dict[str, Any]:
        """Return the constructor's keywords with their values, as JSON has them."""
        return _keywords(self)

    def describe(self, image: NDArray[np.uint8]) -> Descriptors:
        """Measure a picture, uint8 RGB (H, W, 3): scale by scale, each scale row by row.

        Raises:
            ImageError: Not a picture.
        """
        size, image = image.shape[:2], _shrunk(image, self.max_side)
        height, width = image.shape[:2]
        fitting = [s for s in self.bin_sizes if (sift.BINS - 1) * s <= min(height, width) - 1]
        if not fitting:
            return _nothing(self.dimension, size)
        y, x = (_grid(side, self.step, (sift.BINS - 1) / 2 * max(fitting)) for side in (height, width))
        colours = cv2.transform(image.astype(np.float32), COLOURS[self.colour] / 255).reshape(height, width, -1)
        planes = [np.ascontiguousarray(colours[..., i], np.float32) for i in range(colours.shape[2])]
        values = np.concatenate([self._at(planes, x, y, bin_size) for bin_size in fitting])
        places = np.stack([np.tile(x, len(y)), np.repeat(y, len(x))], 1)
        ratio = np.array([size[1] / width, size[0] / height], np.float32)
        centres = np.tile((places + 0.5) * ratio - 0.5, (len(fitting), 1)).astype(np.float32)
        radii = np.repeat(np.array(fitting) * (sift.BINS / 2) * ratio.mean(), len(places)).astype(np.float32)
        return Descriptors(_placed(values, centres, size, self.position), centres, radii, size)

    def _at(self, planes: list[Floats], x: Floats, y: Floats, bin_size: float) -> Floats:
        """Describe one scale of all channels: (patches, 128 * channels)."""
        height, width = planes[0].shape
        rows, columns = _weights(tuple(y), bin_size, height), _weights(tuple(x), bin_size, width)
        least = self.contrast * sift.window_mass(bin_size)
        found = []
        for plane in planes:
            directions = sift.orientation_planes(sift.smooth(plane, bin_size))
            histograms = sift.normalized(sift.grid_histograms(directions, rows, columns), least)
            found.append(sift.rooted(histograms) if self.root else histograms)
        return found[0] if len(found) == 1 else np.concatenate(found, 1)


class KeypointSift:
    """SIFT at the keypoints that OpenCV finds, turned and scaled with them (Lowe 2004).

    Args:
        max_keypoints: The strongest so many; 0 keeps all.
        root: RootSIFT (Arandjelovic and Zisserman 2012).
        position: Weight of x / width - 0.5 and y / height - 0.5, appended to each descriptor; 0 appends nothing.
        max_side: Pictures with a longer side are shrunk to it; centres and radii stay in the picture's pixels.

    Raises:
        UsageError: Numbers out of range.
    """

    def __init__(
        self, *, max_keypoints: int = 1000, root: bool = True, position: float = 0.0, max_side: int = 480
    ) -> None:
        whole_number("max_side", max_side)
        whole_number("max_keypoints", max_keypoints, least=0)
        not_negative("position", position)
        self.max_keypoints, self.root, self.position, self.max_side = max_keypoints, root, position, max_side

    @property
    def dimension(self) -> int:
        """Length of each descriptor."""
        return sift.LENGTH + 2 * (self.position > 0)

    def keywords(self) -> dict[str, Any]:
        """Return the constructor's keywords with their values, as JSON has them."""
        return _keywords(self)

    def describe(self, image: NDArray[np.uint8]) -> Descriptors:
        """Measure a picture, uint8 RGB (H, W, 3); one without keypoints has no descriptors.

        Raises:
            ImageError: Not a picture.
        """
        size, image = image.shape[:2], _shrunk(image, self.max_side)
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        points, measured = cv2.SIFT.create(self.max_keypoints).detectAndCompute(grey, None)
        if not points:
            return _nothing(self.dimension, size)
        values = normalize(np.asarray(measured, np.float32), "l2")  # OpenCV has clamped them
        values = sift.rooted(values) if self.root else values
        ratio = np.array([size[1] / grey.shape[1], size[0] / grey.shape[0]], np.float32)
        centres = (np.array([p.pt for p in points], np.float32) + 0.5) * ratio - 0.5
        # OpenCV's patch: 4 bins of 1.5 diameters each.
        radii = np.array([3 * p.size for p in points], np.float32) * ratio.mean()
        return Descriptors(_placed(values, centres, size, self.position), centres, radii, size)


DESCRIBERS: dict[str, type[DenseSift] | type[KeypointSift]] = {"dense": DenseSift, "keypoints": KeypointSift}


def _keywords(describer: object) -> dict[str, Any]:
    return {name: plain(getattr(describer, name)) for name in inspect.signature(type(describer)).parameters}


def _shrunk(image: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """Return a picture whose longer side is at most `max_side`.

    Raises:
        ImageError: Not a picture.
    """
    check_image(image)
    height, width = image.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    return resize(image, (max(1, round(height * scale)), max(1, round(width * scale)))) if scale < 1 else image


def _grid(side: int, step: int, margin: float) -> Floats:
    """Return places at `step` pixels that stay `margin` away from both ends, in the middle of the side."""
    room = side - 1 - 2 * margin
    count = int(room // step) + 1
    return (margin + (room - (count - 1) * step) / 2 + np.arange(count) * step).astype(np.float32)


@lru_cache(maxsize=32)
def _weights(centres: tuple[float, ...], bin_size: float, length: int) -> Floats:
    """Remember the weights of the last sizes: pictures of a set often have one size."""
    return sift.bin_weights(np.array(centres, np.float32), bin_size, length)


def _placed(values: Floats, centres: Floats, size: tuple[int, int], weight: float) -> Floats:
    """Append the weighted position to each descriptor."""
    if weight == 0:
        return values
    shares = (centres + 0.5) / np.array([size[1], size[0]], np.float32) - 0.5
    return np.concatenate([values, weight * shares], 1, dtype=np.float32)


def _nothing(dimension: int, size: tuple[int, int]) -> Descriptors:
    return Descriptors(
        np.zeros((0, dimension), np.float32), np.zeros((0, 2), np.float32), np.zeros(0, np.float32), size
    )
