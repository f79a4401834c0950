"""Windows over maps: their arguments checked and spread over the dimensions, and the sizes that come out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import UsageError, unknown
from . import launch


def check_output(height: int, width: int, size: Sequence[int]) -> None:
    """Raise unless an output has at least one pixel."""
    if height < 1 or width < 1:
        raise UsageError(
            "a window that fits into the padded image",
            f"an image of {tuple(size)}, which leaves an output of {(height, width)}",
            "use a larger image, more padding or a smaller window",
        )


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """Return (vertical, horizontal) of one number or two."""
    if isinstance(value, int):
        return value, value
    first, *rest = value
    return (first, first) if not rest else (first, rest[0])


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Return how many windows fit along one dimension."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


Window = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def filter_window(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | Sequence[int],
    padding: int | Sequence[int] | str,
    dilation: int | Sequence[int],
    groups: int,
) -> tuple[Tensor, Tensor, Tensor | None, Window]:
    """Check a convolution's arguments, apply autocast and "same" padding, and return them as the raw operation wants.

    Raises:
        UsageError: Sizes or dtypes that do not fit.
    """
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    launch.check_map(x)
    launch.check_map(weight)
    if weight.dtype != x.dtype or (bias is not None and bias.dtype != x.dtype):
        raise UsageError("image, weight and bias of one dtype", f"{x.dtype} and {weight.dtype}", "convert one of them")
    if groups < 1 or x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        raise UsageError(
            f"a weight (K, C / groups, R, S) for C = {x.shape[1]}, groups = {groups}",
            f"shape {tuple(weight.shape)}",
            "make C and K multiples of groups",
        )
    steps, gaps = pair(stride), pair(dilation)
    if min(*steps, *gaps) < 1:
        raise UsageError("stride and dilation of at least 1", f"{steps} and {gaps}", "pass positive numbers")
    edges = (0, 0)
    if padding == "same":
        if steps != (1, 1):
            raise UsageError('stride 1 for padding "same"', f"stride {steps}", "give the padding in numbers")
        total = [gap * (taps - 1) for gap, taps in zip(gaps, weight.shape[2:], strict=True)]
        edges = (total[0] // 2, total[1] // 2)
        if total[0] % 2 or total[1] % 2:  # an even filter: torch pads the one extra zero at the end
            x = F.pad(x, (0, total[1] % 2, 0, total[0] % 2))
    elif padding != "valid":
        if isinstance(padding, str):
            raise unknown("padding", padding, ("valid", "same"))
        edges = pair(padding)
    if min(edges) < 0:
        raise UsageError("padding of at least 0", f"{edges}", "crop the image instead")
    return x, weight, bias, (steps, edges, gaps)


def conv_shape(
    x: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> tuple[int, int, int, int]:
    """Return the shape (N, K, OH, OW) of a convolution's output."""
    height, width = (
        output_size(x.shape[i + 2], weight.shape[i + 2], stride[i], padding[i], dilation[i]) for i in (0, 1)
    )
    check_output(height, width, x.shape[2:])
    return x.shape[0], weight.shape[0], height, width
