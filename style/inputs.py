"""What users hand over, checked and brought into shape: layers with weights, masks, pictures that have to cover."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.checks import DataError, UsageError
from ..core.images import resize
from .features import Features

Layers = Sequence[str] | Mapping[str, float] | None


def covering(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return the middle of a picture, resized until it covers (height, width)."""
    factor = max(height / picture.shape[0], width / picture.shape[1])
    size = max(height, round(picture.shape[0] * factor)), max(width, round(picture.shape[1] * factor))
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return np.ascontiguousarray(resize(picture, size)[top : top + height, left : left + width])


def pairs(layers: Sequence[str] | Mapping[str, float]) -> list[tuple[str, float]]:
    """Return layers with their weights, 1 where none is given."""
    return [(n, float(w)) for n, w in layers.items()] if isinstance(layers, Mapping) else [(n, 1.0) for n in layers]


def layer_weights(features: Features, given: Layers, usual: tuple[str, ...], what: str) -> dict[str, float]:
    """Return layer -> weight, those of 0 left out.

    Raises:
        UsageError: An unknown layer, a weight below 0, or none above it.
    """
    found = dict(pairs(usual if given is None else given))
    features.trunk.check(found)
    found = {name: weight for name, weight in found.items() if weight != 0}
    if not found or min(found.values()) < 0:
        raise UsageError(f"{what} with weights above 0", f"{given!r}", f"leave {what} out, or name a layer")
    return found


def shares(weights: Sequence[float] | None, count: int) -> list[float]:
    """Return one weight for each of several styles, made to sum to 1; None for equal ones.

    Raises:
        UsageError: Weights that are not one each, negative, or all zero.
    """
    weights = [1.0] * count if weights is None else [float(weight) for weight in weights]
    if len(weights) != count or min(weights) < 0 or not 0 < sum(weights) < float("inf"):
        raise UsageError("one weight for each style, none below 0, one above", f"{weights}", "pass weights=[2, 1]")
    return [weight / sum(weights) for weight in weights]


def fingerprint(array: NDArray[Any]) -> str:
    """Return the SHA-256 of an array's shape, type and values."""
    head = f"{array.shape} {array.dtype.str} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


def mask_tensors(masks: Sequence[NDArray[Any]], size: tuple[int, ...], count: int) -> list[Tensor]:
    """Return masks, one for each style, as `mask_tensor` does; raises DataError where they are not as many."""
    if len(masks) != count:
        raise DataError(f"{count} masks, one for each style", f"{len(masks)}", "fit as many styles")
    return [mask_tensor(np.asarray(mask), size, number) for number, mask in enumerate(masks)]


def mask_tensor(mask: NDArray[Any], size: tuple[int, ...], number: int) -> Tensor:
    """Return a mask as float32 (1, 1, H, W) in [0, 1].

    Raises:
        DataError: Another size than the content's, values out of range, or an empty one.
    """
    if mask.shape != tuple(size):
        fix = "make it of the picture as it is, not of the painting"
        raise DataError(f"masks of the content's size {size[0]} x {size[1]}", f"{mask.shape} as number {number}", fix)
    values = mask.astype(np.float32) / (255 if mask.dtype == np.uint8 else 1)
    if not (values.min() >= 0 and values.max() <= 1 and values.max() > 0):
        got = f"{mask.dtype} from {mask.min()} to {mask.max()} as number {number}"
        raise DataError("masks of bool, uint8, or floats in [0, 1], not empty", got, "pass labels == 3, say")
    return torch.from_numpy(values)[None, None]
