"""A picture as one vector: descriptors, their codes pooled over the cells of a pyramid, normalized."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .descriptors import Describer, Descriptors
from .encoder import Encoder
from .pyramid import Pyramid

Floats = NDArray[np.float32]


class Bag:
    """What makes a vector of a picture, once its encoder is fitted.

    Args:
        describer: Measures the picture.
        encoder: Turns the descriptors of a cell into a vector.
        pyramid: The cells.
        region: Normalization of each cell's vector; see `normalization.normalize`.
        whole: Normalization of all of them in a row.
    """

    def __init__(self, describer: Describer, encoder: Encoder, pyramid: Pyramid, *, region: str, whole: str) -> None:
        self.describer, self.encoder, self.pyramid = describer, encoder, pyramid
        self.region, self.whole = region, whole

    @property
    def width(self) -> int:
        """Length of the vector."""
        return len(self.pyramid) * self.encoder.width

    def vector(self, image: NDArray[np.uint8]) -> Floats:
        """Return the vector of a picture uint8 RGB (H, W, 3): float32 (width,), zeros where nothing can be described.

        Raises:
            ImageError: Not a picture.
            DataError: Descriptors with NaN.
            ModelError: The encoder is not fitted.
        """
        return self.of(self.describer.describe(image))

    def of(self, descriptors: Descriptors) -> Floats:
        """Return the vector of a picture's descriptors, float32 (width,); errors as `vector`."""
        pooled = self.encoder.encode(descriptors, self.pyramid.regions(descriptors))
        return np.ascontiguousarray(self.pyramid.join(pooled, region=self.region, whole=self.whole), np.float32)

    def options(self) -> dict[str, Any]:
        """Return what the bag was made with, as JSON has it."""
        return {
            "describer": [type(self.describer).__name__, self.describer.keywords()],
            "encoder": [type(self.encoder).__name__, self.encoder.keywords()],
            "pyramid": [self.pyramid.layout, self.pyramid.weights, self.region, self.whole],
        }

    def digest(self) -> str:
        """Return the SHA-256 of all options and all that the encoder learned: equal digests make equal vectors."""
        found = hashlib.sha256(json.dumps(self.options(), sort_keys=True).encode())
        for name, array in sorted(self.encoder.arrays().items()):
            found.update(f"{name} {array.dtype} {array.shape}".encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()
