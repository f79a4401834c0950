"""How much is held at once: one budget for all that asks a model about many pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor

MOST_NUMBERS = 2**23
"""Values of the pictures held at once, as 170 of 128 x 128 or 2,700 of 32 x 32; a network's maps are larger."""
MOST_PICTURES = 256


def at_once(shape: Sequence[int], copies: int = 1) -> int:
    """Return of how many pictures of a shape, such as (3, H, W), `copies` of each may be held: one or more."""
    return max(1, min(MOST_PICTURES, MOST_NUMBERS // max(1, prod(shape))) // max(1, copies))


def summed(value: Callable[[Tensor, Tensor], Tensor], pictures: Tensor) -> Tensor:
    """Return the sum of the values of all pictures, whose graph holds that of no more than one part.

    Each part's gradient is taken at once, and its graph freed; what is returned has the value and the gradient of the
    whole sum, but no second derivative.

    Args:
        value: (pictures (n, C, H, W), their places int64 (n,)) -> values (n,), of each picture by itself.
        pictures: (N, C, H, W).
    """
    places = torch.arange(len(pictures), device=pictures.device)
    count = at_once(pictures.shape[1:])
    if len(pictures) <= count or not pictures.requires_grad:
        return torch.cat([value(*part) for part in zip(pictures.split(count), places.split(count), strict=True)]).sum()
    gradients, total = [], pictures.new_zeros(())
    for part, rows in zip(pictures.detach().split(count), places.split(count), strict=True):
        found = value(part.requires_grad_(True), rows).sum()
        gradients.append(torch.autograd.grad(found, part)[0])
        total = total + found.detach()
    apart = pictures - pictures.detach()  # zeros, with a slope of one
    return total + (apart * torch.cat(gradients)).sum()
