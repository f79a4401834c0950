"""One network made fast for inputs of many shapes."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

from torch import Tensor, nn

from . import Optimized, optimize, pack

MOST_COPIES = 8
"""Shapes with packed weights of their own: more than a folder of photographs has."""

COPIES_BYTES = 2**28
"""Memory for packed weights: a VGG-16 with its linear layers, 540 MB, gets one copy."""

REMEMBERED = 1024
"""Shapes of which it is known that they came once."""

Shape = tuple[int, ...]


class FastCopies:
    """Calls a network through fast copies of it: one for all inputs, and one for each shape that comes again.

    Weights are packed for one shape and right for all; for another one they are slower, 1 to 4 % for a pyramid on one
    CPU core, and give the same bits. A copy of its own costs a shape as much as one more picture, so that it is made
    when the shape comes for the second time: a folder of pictures all of different sizes is run by one copy (`nuclei`,
    200 to 640 pixels: 75 ms a picture in place of 291 with a copy for each). The copies share all weights but the
    packed ones, and the one used longest ago makes room. On a CUDA device one copy serves all, and records a graph for
    each shape.

    Args:
        network: In eval mode; its weights must not change afterwards.
        precision: See `optimize`.
        most: Copies kept; fewer where their weights fill `COPIES_BYTES`.
    """

    def __init__(self, network: nn.Module, *, precision: str = "auto", most: int = MOST_COPIES) -> None:
        self.network, self.precision = network, precision
        size = sum(p.numel() * p.element_size() for p in network.parameters())
        self.most = max(1, min(most, COPIES_BYTES // max(1, size)))
        self.copies: OrderedDict[Shape, Optimized] = OrderedDict()
        self.once: OrderedDict[Shape, None] = OrderedDict()

    def __call__(self, images: Tensor) -> Any:
        """Return what the network makes of images (N, C, H, W), under no gradient."""
        return self._copy(images)(images)

    def _copy(self, images: Tensor) -> Optimized:
        shape = tuple(images.shape)
        if not self.copies:
            self.copies[shape] = optimize(self.network, images, precision=self.precision)
        latest = next(reversed(self.copies.values()))
        if images.is_cuda or self.most == 1:
            return latest
        if shape not in self.copies:
            if shape not in self.once:
                self.once[shape] = None
                if len(self.once) > REMEMBERED:
                    self.once.popitem(last=False)
                return latest
            del self.once[shape]
            if len(self.copies) == self.most:
                self.copies.popitem(last=False)
            self.copies[shape] = packed_for(latest, images)
        self.copies.move_to_end(shape)
        return self.copies[shape]


def packed_for(optimized: Optimized, example: Tensor) -> Optimized:
    """Return a copy whose weights are packed for inputs like `example`; all others are the given one's own."""
    shared = {id(tensor): tensor for tensor in (*optimized.parameters(), *optimized.buffers())}
    again = copy.deepcopy(optimized, shared)  # its memo: what it has seen is not copied
    pack(again, example)
    return again
