"""A picture as one vector: descriptors, their codes pooled over the cells of a pyramid, normalized."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .describing import describe
from .descriptors import Describer, Descriptors
from .encoder import Encoder
from .normalization import normalize
from .provenance import versions
from .pyramid import Pyramid

Floats = NDArray[np.float32]
VIEWS = ("one", "flip")


class Bag:
    """What makes a vector of a picture, once its encoder is fitted.

    Args:
        describer: Measures the picture.
        encoder: Turns the descriptors of a cell into a vector.
        pyramid: The cells.
        region: Normalization of each cell's vector; see `normalization.normalize`.
        whole: Normalization of all of them in a row.
        views: "one", or "flip" for the mean over the picture and its mirror image.
    """

    def __init__(
        self, describer: Describer, encoder: Encoder, pyramid: Pyramid, *, region: str, whole: str, views: str = "one"
    ) -> None:
        self.describer, self.encoder, self.pyramid = describer, encoder, pyramid
        self.region, self.whole, self.views = region, whole, views

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
        return self.of(self.describe(image))

    def describe(self, image: NDArray[np.uint8]) -> list[Descriptors]:
        """Return the descriptors of each view of a picture, its own first; errors as `vector`."""
        mirrored = [np.ascontiguousarray(image[:, ::-1])] if self.views == "flip" else []
        return [describe(self.describer, view) for view in (image, *mirrored)]

    def of(self, views: Sequence[Descriptors]) -> Floats:
        """Return the vector of the descriptors of each view, float32 (width,); errors as `vector`."""
        rows = []
        for descriptors in views:
            pooled = self.encoder.encode(descriptors, self.pyramid.regions(descriptors))
            rows.append(self.pyramid.join(pooled, region=self.region, whole="none"))
        return np.ascontiguousarray(normalize(np.mean(rows, 0)[None], self.whole)[0], np.float32)

    def options(self) -> dict[str, Any]:
        """Return what the bag was made with, as JSON has it."""
        return {
            "describer": [type(self.describer).__name__, self.describer.keywords()],
            "encoder": [type(self.encoder).__name__, self.encoder.keywords()],
            "pyramid": [self.pyramid.layout, self.pyramid.weights, self.region, self.whole, self.views],
        }

    def digest(self) -> str:
        """Return the SHA-256 of options, versions and all that the encoder learned: equal ones make equal vectors."""
        found = hashlib.sha256(json.dumps([self.options(), versions()], sort_keys=True).encode())
        for name, array in sorted(self.encoder.arrays().items()):
            found.update(f"{name} {array.dtype} {array.shape}".encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()
