"""The pictures whose style is taken, in the size of each scale, and their Gram matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..core.images import resize, to_tensor
from .colours import prepared
from .features import Features
from .memory import free_memory, tile_for
from .objective import Grams, Weights, measured
from .scales import fitted


class Styles:
    """Measures the Gram matrices of pictures, within the memory that a painting may take.

    Args:
        features: On the device where it is painted.
        weights: Whose layers are compared.
        pictures: uint8 (H, W, 3) each.
        scale: Size of the pictures, relative to the painting's.
        colours: What is done about colours, see `colours.prepared`.
        tile: Side of tiles; None for none unless the memory asks for them.
        memory: Bytes that may be taken; None for a share of what is free.

    Attributes:
        grams: For each picture, for each longer side of a scale, what was measured.
    """

    def __init__(
        self,
        features: Features,
        weights: Weights,
        pictures: Sequence[NDArray[np.uint8]],
        *,
        scale: float,
        colours: str,
        tile: int | None,
        memory: float | None,
    ) -> None:
        self.features, self.weights, self.pictures = features, weights, pictures
        self.scale, self.colours, self.tile, self.memory = scale, colours, tile, memory
        self.grams: list[dict[int, Grams]] = [{} for _ in pictures]

    def balance(self) -> None:
        """Weigh the features' channels over the pictures, see `Features.balance`."""
        names = self.weights.layers
        pictures = [self.sized(number, max(picture.shape[:2])) for number, picture in enumerate(self.pictures)]
        tiles = [self._tile(picture, names) for picture in pictures]
        self.features.balance(pictures, names, min((tile for tile in tiles if tile is not None), default=None))

    def at(self, number: int, side: int, content: Tensor | None = None) -> Grams:
        """Return a style's Gram matrices for a scale: kept, unless they depend on the content.

        Raises:
            UsageError: Not even the smallest tiles keep within the memory, or the features know no tiles.
        """
        if content is not None and self.colours != "style":
            return self._measure(prepared(self.sized(number, side), content, self.colours))
        if side not in self.grams[number]:
            self.grams[number][side] = self._measure(self.sized(number, side))
        return self.grams[number][side]

    def sized(self, number: int, side: int) -> Tensor:
        """Return a picture in the size for a scale: never enlarged, never below what the network needs."""
        picture = self.pictures[number]
        least = self.features.least_side(self.weights.layers)
        wanted = min(side * self.scale, max(picture.shape[:2]))
        height, width = fitted(picture.shape[0], picture.shape[1], max(1, round(wanted)))
        return to_tensor(resize(picture, (max(least, height), max(least, width)))).to(self.features.mean)

    def _measure(self, picture: Tensor) -> Grams:
        layers = self.weights.style_layers
        return measured(self.features, layers, picture, self._tile(picture, [*layers]))

    def _tile(self, picture: Tensor, names: list[str]) -> int | None:
        if self.tile is not None:
            return self.tile
        budget = free_memory(picture.device) if self.memory is None else self.memory
        return tile_for(self.features, names, picture.shape[2], picture.shape[3], budget, gradient=False)
