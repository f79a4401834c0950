"""Concatenation of maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..checks import UsageError
from . import switch
from .switch import operation


@operation("concat", forward=("concat_forward",), limits="channels only; gradients are views, without a kernel")
def concat(maps: Sequence[Tensor], dim: int = 1) -> Tensor:
    """Put the channels of several maps side by side, as DenseNet and U-Net join theirs.

    Args:
        maps: Tensors (N, C_i, ...) of one dtype, on one device, equal in all but their channels.
        dim: 1, the channels; other dimensions are refused.

    Returns:
        (N, sum of C_i, ...).

    Raises:
        UsageError: No map, another dimension, maps that differ in size, dtype or device.

    Example:
        >>> concat([torch.zeros(2, 3, 4, 4), torch.ones(2, 5, 4, 4)]).shape
        torch.Size([2, 8, 4, 4])
    """
    maps = list(maps)
    _check(maps, dim)
    if not switch.uses_triton(maps[0]):
        return torch.cat(maps, 1)
    from ..kernels import concat as family

    return family.concat(maps)


def _check(maps: list[Tensor], dim: int) -> None:
    if not maps:
        raise UsageError("at least one map", "none", "pass the maps to join")
    first = maps[0]
    if dim not in (1, 1 - first.dim()):
        raise UsageError("dim 1, the channels", f"dim {dim}", "use torch.cat for other dimensions")
    for other in maps[1:]:
        if other.dtype != first.dtype:
            raise UsageError("maps of one dtype", f"{first.dtype} and {other.dtype}", "convert one of them")
        if other.device != first.device:
            raise UsageError("maps on one device", f"{first.device} and {other.device}", "move one of them")
        if other.dim() != first.dim() or other.shape[:1] + other.shape[2:] != first.shape[:1] + first.shape[2:]:
            raise UsageError(
                "maps that differ in their channels only",
                f"shapes {tuple(first.shape)} and {tuple(other.shape)}",
                "resize or crop one of them",
            )
