"""What a classifier sees of one picture: the picture alone, or several views whose scores are averaged."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .checks import unknown

VIEWS = ("one", "flip", "shift")


def over_views(network: Callable[[Tensor], Tensor], images: Tensor, views: str) -> Tensor:
    """Return scores float32 (N, classes), averaged over the views of each picture.

    "flip" is the picture and its mirror image. "shift" is six views, those of Jordan 2024, section 3.5: half of the
    weight is that of "flip", a quarter each that of the same two moved by one pixel to the lower right and the upper
    left, with the border mirrored.

    Args:
        network: Pictures -> scores (N, classes).
        images: float (N, C, H, W).
        views: One of `VIEWS`.

    Raises:
        UsageError: Views that are not known.
    """
    if views not in VIEWS:
        raise unknown("views", views, VIEWS)
    scores = network(images).float()
    if views == "one":
        return scores
    scores = (scores + network(images.flip(3)).float()) / 2
    if views == "flip":
        return scores
    height, width = images.shape[2:]
    padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
    moved = [
        padded[:, :, at : at + height, at : at + width].contiguous(memory_format=torch.channels_last) for at in (0, 2)
    ]
    return scores / 2 + sum(over_views(network, one, "flip") for one in moved) / 4
