"""Convolution and transposed convolution in one, two and three dimensions, and both with what follows them fused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import unknown
from . import switch
from .activation import ACTIVATIONS, activation
from .switch import Pair, operation

Numbers = int | Sequence[int]

FORWARD = ("conv_forward", "finish_parts", "depthwise_forward")
PICTURES = (*FORWARD, "conv_tma")  # the copy engine takes maps of two dimensions only
INPUT = ("conv_input_gradient", "depthwise_input_gradient")
WEIGHT = ("conv_weight_gradient", "depthwise_weight_gradient", "column_sums", "sum_parts")
LIMITS = "fewer than 2^31 weights; first derivatives only"

_convolutions = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_transposed = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@operation("conv2d", forward=FORWARD, backward=(*INPUT, *WEIGHT), limits=LIMITS)
def conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Numbers = 1, padding: Numbers | str = 0,
    dilation: Numbers = 1, groups: int = 1, *, precision: str | None = None,
) -> Tensor:  # fmt: skip
    """Cross-correlate signals (N, C, L) with filters (K, C / groups, S); see `conv2d`."""
    return _convolve(1, x, weight, bias, stride, padding, dilation, groups, precision)


@operation("conv2d", forward=PICTURES, backward=(*INPUT, *WEIGHT), limits=LIMITS)
def conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Pair = 1, padding: Pair | str = 0,
    dilation: Pair = 1, groups: int = 1, *, precision: str | None = None,
) -> Tensor:  # fmt: skip
    """Cross-correlate images with filters, as `torch.nn.functional.conv2d`.

    Args:
        x: (N, C, H, W), float32, float16 or bfloat16.
        weight: (K, C / groups, R, S), dtype of x (under autocast both are cast).
        bias: (K,) or None.
        stride: Step between outputs, one number or (vertical, horizontal).
        padding: Zeros around the image, one number, a pair, "valid" or "same".
        dilation: Step between the filter's taps.
        groups: Channels are split into that many independent convolutions; `groups == C` is depthwise.
        precision: How the kernels multiply float32: "ieee", "tf32", "tf32x3", or None to follow
            `torch.backends.cudnn.allow_tf32`. Torch's CPU road is always exact.

    Returns:
        (N, K, OH, OW), dtype of x.

    Raises:
        UsageError: Sizes, dtypes or devices that do not fit the kernels (on torch's road, torch's own errors).
    """
    return _convolve(2, x, weight, bias, stride, padding, dilation, groups, precision)


@operation("conv2d", forward=FORWARD, backward=(*INPUT, *WEIGHT), limits=LIMITS)
def conv3d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Numbers = 1, padding: Numbers | str = 0,
    dilation: Numbers = 1, groups: int = 1, *, precision: str | None = None,
) -> Tensor:  # fmt: skip
    """Cross-correlate volumes (N, C, D, H, W) with filters (K, C / groups, T, R, S); see `conv2d`."""
    return _convolve(3, x, weight, bias, stride, padding, dilation, groups, precision)


@operation("conv2d", forward=INPUT, backward=(*FORWARD, *WEIGHT), limits=LIMITS)
def conv_transpose1d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Numbers = 1, padding: Numbers = 0,
    output_padding: Numbers = 0, groups: int = 1, dilation: Numbers = 1, *, precision: str | None = None,
) -> Tensor:  # fmt: skip
    """Transposed convolution of signals (N, C, L) with filters (C, K / groups, S); see `conv_transpose2d`."""
    return _transpose(1, x, weight, bias, stride, padding, output_padding, groups, dilation, precision)


@operation("conv2d", forward=INPUT, backward=(*PICTURES, *WEIGHT), limits=LIMITS)
def conv_transpose2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Numbers = 1, padding: Numbers = 0,
    output_padding: Numbers = 0, groups: int = 1, dilation: Numbers = 1, *, precision: str | None = None,
) -> Tensor:  # fmt: skip
    """Spread every pixel over a window ("deconvolution"), as `torch.nn.functional.conv_transpose2d`.

    Args:
        x: (N, C, H, W), float32, float16 or bfloat16.
        weight: (C, K / groups, R, S), dtype of x.
        bias: (K,) or None.
        stride: Step between the windows of neighbouring pixels.
        padding: Rows and columns cut off at every side of the result.
        output_padding: Rows and columns added at its end, fewer than the stride or the dilation.
        groups: Channels are split into that many independent convolutions.
        dilation: Step between the filter's taps.
        precision: See `conv2d`.

    Returns:
        (N, K, OH, OW) with OH = (H - 1) * stride - 2 * padding + dilation * (R - 1) + output_padding + 1.
    """
    return _transpose(2, x, weight, bias, stride, padding, output_padding, groups, dilation, precision)


@operation("conv2d", forward=INPUT, backward=(*FORWARD, *WEIGHT), limits=LIMITS)
def conv_transpose3d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Numbers = 1, padding: Numbers = 0,
    output_padding: Numbers = 0, groups: int = 1, dilation: Numbers = 1, *, precision: str | None = None,
) -> Tensor:  # fmt: skip
    """Transposed convolution of volumes (N, C, D, H, W) with (C, K / groups, T, R, S); see `conv_transpose2d`."""
    return _transpose(3, x, weight, bias, stride, padding, output_padding, groups, dilation, precision)


@operation("conv2d", forward=PICTURES, backward=(*INPUT, *WEIGHT), limits=LIMITS)
def fused_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1,
    groups: int = 1, *, scale: Tensor | None = None, shift: Tensor | None = None, residual: Tensor | None = None,
    activation: str | None = None, slope: float = 0.01, precision: str | None = None,
) -> Tensor:  # fmt: skip
    """Compute act((conv2d(x) + bias) * scale + shift + residual) in one launch.

    Where a gradient is wanted it is computed step by step instead, so that each step can remember what it needs.

    Args:
        x, weight, bias, stride, padding, dilation, groups, precision: See `conv2d`.
        scale: (K,), or None for ones; with shift a batch norm in its affine form.
        shift: (K,), or None for zeros.
        residual: (N, K, OH, OW), or None.
        activation: One of `ACTIVATIONS`, or None.
        slope: See `ops.activation`.
    """
    after = (scale, shift, residual, activation, slope)
    if not _at_once((x, weight, bias, scale, shift, residual), activation):
        return _finish(conv2d(x, weight, bias, stride, padding, dilation, groups, precision=precision), *after)
    from ..kernels import convolution, geometry, launch

    x, weight, bias, scale, shift, residual = _checked(x, weight, bias, groups, scale, shift, residual)
    steps, gaps = geometry.spread(stride, 2), geometry.spread(dilation, 2)
    x, edges = geometry.same_padding(x, weight.shape[2:], steps, padding, gaps)
    geometry.check_steps(steps, edges, gaps)
    geometry.check_after(geometry.output_shape(x, weight, steps, edges, gaps), scale, shift, residual)
    way = launch.precision(precision)
    return convolution.fused(
        x, weight, bias, scale, shift, residual, activation, slope, steps, edges, gaps, groups, way
    )  # fmt: skip


@operation("conv2d", forward=INPUT, backward=(*PICTURES, *WEIGHT), limits=LIMITS)
def fused_conv_transpose2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Numbers = 1, padding: Numbers = 0,
    output_padding: Numbers = 0, groups: int = 1, dilation: Numbers = 1, *, scale: Tensor | None = None,
    shift: Tensor | None = None, residual: Tensor | None = None, activation: str | None = None, slope: float = 0.01,
    precision: str | None = None,
) -> Tensor:  # fmt: skip
    """Compute act((conv_transpose2d(x) + bias) * scale + shift + residual) in one launch.

    Upsampling with a skip connection (Long, Shelhamer and Darrell 2015): the residual is the finer map. Arguments as
    `conv_transpose2d` and `fused_conv2d` have them.
    """
    after = (scale, shift, residual, activation, slope)
    if not _at_once((x, weight, bias, scale, shift, residual), activation):
        y = conv_transpose2d(
            x, weight, bias, stride, padding, output_padding, groups, dilation, precision=precision
        )  # fmt: skip
        return _finish(y, *after)
    from ..kernels import convolution, geometry, launch

    x, weight, bias, scale, shift, residual = _checked(
        x, weight, bias, groups, scale, shift, residual, transposed=True
    )  # fmt: skip
    size, window = geometry.transposed(x, weight, stride, padding, output_padding, dilation)
    geometry.check_after((x.shape[0], weight.shape[1] * groups, *size), scale, shift, residual)
    way = launch.precision(precision)
    return convolution.fused_transposed(
        x, weight, bias, scale, shift, residual, activation, slope, size, *window, groups, way
    )  # fmt: skip


def _convolve(
    dims: int, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int,
    precision: str | None,
) -> Tensor:  # fmt: skip
    if not switch.uses_triton(x):
        return _convolutions[dims](x, weight, bias, stride, padding, dilation, groups)
    from ..kernels import convolution, geometry, launch

    if x.dim() == dims + 1:  # one image without a batch, as torch takes it
        return _convolve(dims, x[None], weight, bias, stride, padding, dilation, groups, precision)[0]
    geometry.launch.check_map(weight, dims)
    x, weight, bias = _checked(x, weight, bias, groups)
    steps, gaps = geometry.spread(stride, dims), geometry.spread(dilation, dims)
    x, edges = geometry.same_padding(x, weight.shape[2:], steps, padding, gaps)
    geometry.check_steps(steps, edges, gaps)
    return convolution.convolution(x, weight, bias, steps, edges, gaps, groups, launch.precision(precision))


def _transpose(
    dims: int, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, output_padding: Any,
    groups: int, dilation: Any, precision: str | None,
) -> Tensor:  # fmt: skip
    if not switch.uses_triton(x):
        return _transposed[dims](x, weight, bias, stride, padding, output_padding, groups, dilation)
    from ..kernels import convolution, geometry, launch

    if x.dim() == dims + 1:
        rest = (stride, padding, output_padding, groups, dilation, precision)
        return _transpose(dims, x[None], weight, bias, *rest)[0]
    geometry.launch.check_map(weight, dims)
    x, weight, bias = _checked(x, weight, bias, groups, transposed=True)
    size, window = geometry.transposed(x, weight, stride, padding, output_padding, dilation)
    return convolution.transposed(x, weight, bias, size, *window, groups, launch.precision(precision))


def _checked(
    x: Tensor, weight: Tensor, bias: Tensor | None, groups: int, *others: Tensor | None, transposed: bool = False
) -> Any:
    """Apply autocast, check that image and filters fit, and return all tensors."""
    from ..kernels import geometry

    x, weight, *rest = geometry.autocast(x, weight, bias, *others)  # type: ignore[assignment]
    geometry.check_filters(x, weight, rest[0], groups, transposed)
    return (x, weight, *rest)


def _at_once(tensors: tuple[Tensor | None, ...], activation: str | None) -> bool:
    """Whether one launch may do it all: on the Triton road, and nobody will ask for a gradient."""
    if activation is not None and activation not in ACTIVATIONS:
        raise unknown("activation", activation, ACTIVATIONS)
    x = tensors[0]
    assert x is not None
    wanted = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    return switch.uses_triton(x) and not wanted


def _finish(
    y: Tensor, scale: Tensor | None, shift: Tensor | None, residual: Tensor | None, name: str | None, slope: float
) -> Tensor:
    """Do step by step what follows a convolution, and answer in its dtype as one launch does."""
    shape, dtype = (1, -1, *[1] * (y.dim() - 2)), y.dtype
    if scale is not None:
        y = y * scale.reshape(shape)
    if shift is not None:
        y = y + shift.reshape(shape)
    if residual is not None:
        y = y + residual
    y = y.to(dtype)
    return y if name is None else activation(y, name, slope)
