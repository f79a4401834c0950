"""Convolution and transposed convolution as raw operations, joined to autograd; depthwise or general kernels by weight.

The transposed convolution is the gradient of a convolution's input taken as a forward, and its own gradients are a
convolution and the gradient of that convolution's weight with the two maps exchanged.
"""

from __future__ import annotations

import torch

from . import column_sums, conv2d, conv2d_backward, depthwise, geometry, launch
from .epilogue import Epilogue

del column_sums  # imported because importing it registers the gradient of the bias


def _depthwise(weight, groups):
    """Whether every filter reads one channel."""
    return weight.shape[1] == 1 and groups > 1


def _forward(x, weight, after, stride, padding, dilation, groups, precision):
    family = depthwise if _depthwise(weight, groups) else conv2d
    return family.forward(x, weight, after, stride, padding, dilation, groups, precision)


def _transpose(dy, weight, size, after, stride, padding, dilation, groups, precision):
    family = depthwise if _depthwise(weight, groups) else conv2d_backward
    return family.transpose(dy, weight, size, after, stride, padding, dilation, groups, precision)


def _map(x, weight, stride, padding, dilation, groups, precision):
    return launch.empty_map(x, geometry.output_shape(x, weight, stride, padding, dilation))


def _image(dy, weight, size, stride, padding, dilation, groups, precision):
    return launch.empty_map(dy, (dy.shape[0], weight.shape[1] * groups, *size))


def _launch_fused(x, weight, bias, scale, shift, residual, activation, slope, *window):
    return _forward(x, weight, Epilogue(bias, scale, shift, residual, activation, slope), *window)


def _launch_input(dy, weight, size, *window):
    if dy.numel() == 0:
        return _image(dy, weight, size, *window).zero_()
    return _transpose(dy, weight, size, Epilogue(), *window)


def _launch_weight(dy, x, size, stride, padding, dilation, groups, precision):
    family = depthwise if groups > 1 and x.shape[1] == groups else conv2d_backward
    return family.weight_gradient(dy, x, size, stride, padding, dilation, groups, precision)


def _fake_weight(dy, x, size, stride, padding, dilation, groups, precision):
    shape = (dy.shape[1], x.shape[1] // groups, *size)
    return dy.new_empty(shape) if groups > 1 and x.shape[1] == groups else launch.empty_map(x, shape)


def _launch_fused_transposed(x, weight, bias, scale, shift, residual, activation, slope, size, *window):
    return _transpose(x, weight, size, Epilogue(bias, scale, shift, residual, activation, slope), *window)


def _setup(ctx, inputs, output):
    x, weight, _, *ctx.window = inputs
    ctx.save_for_backward(x, weight)


def _backward(ctx, dy):
    x, weight = ctx.saved_tensors
    wants = ctx.needs_input_grad
    dx = input_gradient(dy, weight, list(x.shape[2:]), *ctx.window) if wants[0] else None
    dw = weight_gradient(dy, x, list(weight.shape[2:]), *ctx.window) if wants[1] else None
    return dx, dw, _bias_gradient(dy) if wants[2] else None, *[None] * 5


def _setup_transposed(ctx, inputs, output):
    x, weight, _, _, *ctx.window = inputs
    ctx.save_for_backward(x, weight)


def _backward_transposed(ctx, dy):
    x, weight = ctx.saved_tensors
    wants = ctx.needs_input_grad
    dx = torch.ops.striate.convolution(dy, weight, None, *ctx.window) if wants[0] else None
    dw = weight_gradient(x, dy, list(weight.shape[2:]), *ctx.window) if wants[1] else None
    return dx, dw, _bias_gradient(dy) if wants[2] else None, *[None] * 6


def _bias_gradient(dy):
    return torch.ops.striate.bias_gradient(dy)


WINDOW = "int[] stride, int[] padding, int[] dilation, int groups, str precision"
AFTER = "Tensor? bias, Tensor? scale, Tensor? shift, Tensor? residual, str? activation, float slope"

input_gradient = launch.define(
    f"convolution_input_gradient(Tensor dy, Tensor weight, int[] size, {WINDOW}) -> Tensor", _launch_input, _image
)
weight_gradient = launch.define(
    f"convolution_weight_gradient(Tensor dy, Tensor x, int[] size, {WINDOW}) -> Tensor", _launch_weight, _fake_weight
)
# (x, weight, bias, stride, padding, dilation, groups, precision) -> y, as `striate.core.ops.conv2d` documents them.
convolution = launch.differentiable(
    launch.define(
        f"convolution(Tensor x, Tensor weight, Tensor? bias, {WINDOW}) -> Tensor",
        lambda x, weight, bias, *window: _forward(x, weight, Epilogue(bias), *window),
        lambda x, weight, bias, *window: _map(x, weight, *window),
    ),
    _setup,
    _backward,
)
fused = launch.define(
    f"fused_convolution(Tensor x, Tensor weight, {AFTER}, {WINDOW}) -> Tensor",
    _launch_fused,
    lambda x, weight, bias, scale, shift, residual, activation, slope, *window: _map(x, weight, *window),
)
# (x, weight, bias, output size, stride, padding, dilation, groups, precision) -> y
transposed = launch.differentiable(
    launch.define(
        f"transposed_convolution(Tensor x, Tensor weight, Tensor? bias, int[] size, {WINDOW}) -> Tensor",
        lambda x, weight, bias, size, *window: _transpose(x, weight, size, Epilogue(bias), *window),
        lambda x, weight, bias, size, *window: _image(x, weight, size, *window),
    ),
    _setup_transposed,
    _backward_transposed,
)
fused_transposed = launch.define(
    f"fused_transposed_convolution(Tensor x, Tensor weight, {AFTER}, int[] size, {WINDOW}) -> Tensor",
    _launch_fused_transposed,
    lambda x, weight, bias, scale, shift, residual, activation, slope, size, *window: _image(x, weight, size, *window),
)
