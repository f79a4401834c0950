"""One picture through a network that paints: its size, its memory, how much of the painting is shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..core.checks import ImageError, fraction, unknown, whole
from ..core.images import resize, to_tensor
from .colours import with_luminance
from .fast_network import LEAST, FastNetwork
from .fast_strips import Steady, bytes_per_pixel, paint_in_strips
from .memory import free_memory
from .scales import fitted

COLOURS = ("style", "luminance")


@dataclass(frozen=True)
class Options:
    """How to paint.

    Attributes:
        size: Longer side of the painting; None for the content's own.
        strength: From 0, the content, to 1, the painting.
        colours: "style", or "luminance" to keep the content's.

    Raises:
        UsageError: One of them out of range.
    """

    size: int | None
    strength: float
    colours: str

    def __post_init__(self) -> None:
        if self.size is not None:
            whole("size", self.size)
        fraction("strength", self.strength)
        if self.colours not in COLOURS:
            raise unknown("colours", str(self.colours), COLOURS)


def paint(network: FastNetwork, image: NDArray[np.uint8], options: Options, steady: Steady | None = None) -> Tensor:
    """Paint a picture.

    Args:
        network: On the device where it is painted.
        image: uint8 (H, W, 3).
        options: How.
        steady: Statistics of the pictures before, changed in place.

    Returns:
        float32 (1, 3, H, W) in [0, 1], on the network's device.

    Raises:
        ImageError: More memory needed than there is.
    """
    device = next(network.parameters()).device
    height, width = image.shape[0], image.shape[1]
    if options.size is not None:
        height, width = fitted(height, width, options.size)
    need, free = bytes_per_pixel(network) * height * width, free_memory(device)
    if need > free:
        expected, fix = f"{need / 2**30:.1f} GiB of memory for {height} x {width} pixels", "pass a smaller size"
        raise ImageError(expected, f"{free / 2**30:.1f} GiB that may be taken", fix)
    # What mirrors a picture below 16 pixels mirrors it at every layer of the network, only more often.
    more = [(0, max(0, LEAST - side)) for side in (height, width)]
    content = to_tensor(np.pad(resize(image, (height, width)), (*more, (0, 0)), mode="reflect")).to(device)
    painted = paint_in_strips(network, content, steady=steady)
    painted = with_luminance(content, painted) if options.colours == "luminance" else painted
    return content.lerp(painted, options.strength)[:, :, :height, :width].clamp(0, 1)
