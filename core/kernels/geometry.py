"""Windows over maps of one, two or three dimensions: arguments checked, sizes computed, pixels numbered.

Inside the kernels every map has three dimensions, (N, D, H, W, C) in memory: a picture is a volume of depth 1, a signal
a picture of height 1. Sizes of 1 are constants to Triton's compiler, so that pictures pay nothing for the third.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
import triton
import triton.language as tl  # noqa: F401  # the interpreter looks for it beside every kernel
from torch import Tensor

from ..checks import UsageError, unknown
from . import launch


@triton.jit
def unravel(m, D, H, W):
    """Return (image, depth, row, column) of the pixels numbered m in (N, D, H, W).

    Divided step by step: a product of sizes may pass 2^31 where m is int64.
    """
    rows = m // W
    planes = rows // H
    return planes // D, planes % D, rows % H, m % W


def volume(sizes: Sequence[int], fill: int = 1) -> tuple[int, int, int]:
    """Return three sizes from one, two or three, `fill` in front."""
    depth, height, width = (*[fill] * (3 - len(sizes)), *sizes)
    return depth, height, width


def check_output(outputs: Sequence[int], inputs: Sequence[int]) -> None:
    """Raise unless an output has at least one pixel."""
    if min(outputs) < 1:
        raise UsageError(
            "a window that fits into the padded image",
            f"an image of {tuple(inputs)}, which leaves an output of {tuple(outputs)}",
            "use a larger image, more padding or a smaller window",
        )


def spread(value: int | Sequence[int], dims: int) -> tuple[int, ...]:
    """Return a number for each dimension, from one or from as many."""
    if isinstance(value, int):
        return (value,) * dims
    numbers = tuple(value)
    if len(numbers) == 1:
        return numbers * dims
    if len(numbers) != dims:
        raise UsageError(f"one number or {dims}", f"{numbers}", "give one for each dimension")
    return numbers


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """Return (vertical, horizontal) of one number or two."""
    vertical, horizontal = spread(value, 2)
    return vertical, horizontal


def output_shape(
    x: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> tuple[int, ...]:
    """Return the shape (N, K, [OD, [OH,]] OW) of a convolution's output."""
    sizes = [
        (size + 2 * edge - gap * (taps - 1) - 1) // step + 1
        for size, taps, step, edge, gap in zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    ]
    check_output(sizes, x.shape[2:])
    return x.shape[0], weight.shape[0], *sizes


def steps(
    size: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> dict[str, int]:
    """Return taps, stride, padding and dilation as the constants of a kernel: T, R, S, ST, SH, SW, PT, ..., DW."""
    numbers = (*volume(size), *volume(stride), *volume(padding, 0), *volume(dilation))
    names = ("T", "R", "S", "ST", "SH", "SW", "PT", "PH", "PW", "DT", "DH", "DW")
    return dict(zip(names, numbers, strict=True))


def autocast(*tensors: Tensor | None) -> tuple[Tensor | None, ...]:
    """Return the tensors in the dtype of an autocast region, or as they are."""
    kind = next(t.device.type for t in tensors if t is not None)
    if not torch.is_autocast_enabled(kind):
        return tensors
    dtype = torch.get_autocast_dtype(kind)
    return tuple(None if t is None else t.to(dtype) for t in tensors)


def check_filters(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int, transposed: bool = False) -> None:
    """Raise unless an image and its filters fit together: dimensions, dtypes, device, groups, number of weights."""
    dims = weight.dim() - 2
    launch.check_map(x, dims)
    launch.check_map(weight, dims)
    others = [t for t in (weight, bias) if t is not None]
    if any(t.dtype != x.dtype for t in others):
        raise UsageError("image, weight and bias of one dtype", f"{x.dtype} and {weight.dtype}", "convert one of them")
    if any(t.device != x.device for t in others):
        devices = f"{x.device} and {next(t.device for t in others if t.device != x.device)}"
        raise UsageError("image, weight and bias on one device", devices, "move one of them")
    channels, filters = (
        (weight.shape[0], weight.shape[1] * groups) if transposed else (weight.shape[1] * groups, weight.shape[0])
    )
    if groups < 1 or x.shape[1] != channels or weight.shape[0] % groups:
        form = "(C, K / groups, ...)" if transposed else "(K, C / groups, R, S)"
        raise UsageError(
            f"a weight {form} for C = {x.shape[1]}, groups = {groups}",
            f"shape {tuple(weight.shape)}",
            "make C and K multiples of groups",
        )
    if bias is not None and bias.shape != (filters,):
        raise UsageError(f"a bias of shape ({filters},)", f"shape {tuple(bias.shape)}", "give one number a filter")
    if weight.numel() >= launch.INT32_MOST:
        raise UsageError("fewer than 2^31 weights", f"{weight.numel():,}", "split the filters over several layers")


def check_steps(stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]) -> None:
    """Raise unless a window moves, and pads rather than crops."""
    if min(*stride, *dilation) < 1:
        raise UsageError(
            "stride and dilation of at least 1", f"{tuple(stride)} and {tuple(dilation)}", "pass positive numbers"
        )
    if min(padding) < 0:
        raise UsageError("padding of at least 0", f"{tuple(padding)}", "crop the image instead")


def same_padding(
    x: Tensor, taps: Sequence[int], stride: Sequence[int], padding: int | Sequence[int] | str, dilation: Sequence[int]
) -> tuple[Tensor, tuple[int, ...]]:
    """Return the image and padding in numbers; for "same" torch pads an even filter's extra zero at the end."""
    dims = len(taps)
    if padding == "same":
        if max(stride) > 1:
            raise UsageError('stride 1 for padding "same"', f"stride {tuple(stride)}", "give the padding in numbers")
        total = [gap * (t - 1) for gap, t in zip(dilation, taps, strict=True)]
        if any(zeros % 2 for zeros in total):
            x = F.pad(x, [n for zeros in reversed(total) for n in (0, zeros % 2)])
        return x, tuple(zeros // 2 for zeros in total)
    if padding == "valid":
        return x, (0,) * dims
    if isinstance(padding, str):
        raise unknown("padding", padding, ("valid", "same"))
    return x, spread(padding, dims)


def transposed(
    x: Tensor,
    weight: Tensor,
    stride: int | Sequence[int],
    padding: int | Sequence[int],
    output_padding: int | Sequence[int],
    dilation: int | Sequence[int],
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """Return a transposed convolution's output size and its (stride, padding, dilation)."""
    taps = weight.shape[2:]
    steps, edges, more, gaps = (spread(v, len(taps)) for v in (stride, padding, output_padding, dilation))
    check_steps(steps, edges, gaps)
    if min(more) < 0 or any(m >= max(s, d) for m, s, d in zip(more, steps, gaps, strict=True)):
        raise UsageError(
            "an output padding from 0 to less than the stride or the dilation",
            f"{more} for stride {steps}, dilation {gaps}",
            "pass less",
        )
    size = tuple(
        (length - 1) * step - 2 * edge + gap * (tap - 1) + extra + 1
        for length, step, edge, gap, tap, extra in zip(x.shape[2:], steps, edges, gaps, taps, more, strict=True)
    )
    check_output(size, x.shape[2:])
    return size, (steps, edges, gaps)


def check_after(shape: Sequence[int], scale: Tensor | None, shift: Tensor | None, residual: Tensor | None) -> None:
    """Raise unless what follows a convolution fits its output."""
    wanted = {"scale": (scale, shape[1:2]), "shift": (shift, shape[1:2]), "residual": (residual, shape)}
    for name, (tensor, form) in wanted.items():
        if tensor is not None and tuple(tensor.shape) != tuple(form):
            raise UsageError(f"a {name} of shape {tuple(form)}", f"shape {tuple(tensor.shape)}", "reshape it")
