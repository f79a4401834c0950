"""Elementwise non-linearities and their derivatives: the formulas of pointwise.py over whole tensors.

Any strides: dense tensors keep theirs. Limit: int64 offsets from 2^31 elements on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import launch, tiles
from .pointwise import activate, activation_derivative

FROM_OUTPUT = ("relu", "relu6", "hardtanh")  # f(f(x)) = f(x), and f' is the same at x and f(x)


@triton.jit
def activation_forward(
    x,  # (L,)
    y,  # (L,)
    L, slope,
    NAME: tl.constexpr, B: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    if WIDE:
        pid = pid.to(tl.int64)
    i = pid * B + tl.arange(0, B)
    v = tl.load(x + i, mask=i < L, other=0.0).to(tl.float32)
    tl.store(y + i, activate(v, slope, NAME).to(y.dtype.element_ty), mask=i < L)


@triton.jit
def activation_backward(
    dy,  # (L,)
    x,  # (L,)
    dx,  # (L,)
    L, slope,
    NAME: tl.constexpr, B: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    if WIDE:
        pid = pid.to(tl.int64)
    i = pid * B + tl.arange(0, B)
    v = tl.load(x + i, mask=i < L, other=0.0).to(tl.float32)
    g = tl.load(dy + i, mask=i < L, other=0.0).to(tl.float32)
    tl.store(dx + i, (g * activation_derivative(v, slope, NAME)).to(dx.dtype.element_ty), mask=i < L)


def _block(length):
    return tiles.power(length, 65536) if launch.INTERPRETED else 1024


def _dense(x):
    """Return x, or a copy of it, in strides that fill its memory without gaps: those torch.empty_like gives."""
    strides = torch.empty_like(x, device="meta").stride()
    return x if x.stride() == strides else torch.empty_like(x).copy_(x)


def _forward(x, name, slope):
    x = _dense(x)
    y = torch.empty_like(x)
    if x.numel():
        b = _block(x.numel())
        grid = (triton.cdiv(x.numel(), b),)
        launch.run(activation_forward, grid, x, y, x.numel(), slope, NAME=name, B=b, WIDE=launch.wide(x))
    return y


def _backward(dy, x, name, slope):
    x = _dense(x)
    dx = torch.empty_like(x)
    if dy.stride() != dx.stride():  # expanded by sum(), or in the strides of another layer
        dy = torch.empty_like(dx).copy_(dy)
    if x.numel():
        b = _block(x.numel())
        grid = (triton.cdiv(x.numel(), b),)
        launch.run(activation_backward, grid, dy, x, dx, x.numel(), slope, NAME=name, B=b, WIDE=launch.wide(x))
    return dx


def _setup_context(ctx, inputs, output):
    x, ctx.name, ctx.slope = inputs
    # The next layer remembers the output, too: where the derivative can be told from it, x need not be kept, and a
    # training step holds no more maps than with torch's relu in place.
    told = ctx.name in FROM_OUTPUT or (ctx.name == "leaky_relu" and ctx.slope > 0)
    ctx.save_for_backward(output if told else x)


gradient = launch.define(
    "activation_gradient(Tensor dy, Tensor x, str name, float slope) -> Tensor",
    _backward,
    lambda dy, x, name, slope: torch.empty_like(x),
)
apply = launch.differentiable(
    launch.define(
        "activation(Tensor x, str name, float slope) -> Tensor", _forward, lambda x, name, slope: torch.empty_like(x)
    ),
    _setup_context,
    lambda ctx, dy: (gradient(dy, *ctx.saved_tensors, ctx.name, ctx.slope), None, None),
)


def activation(x, name, slope):
    """Apply a non-linearity, as `striate.core.ops.activation` documents it."""
    launch.check_dtype(x)
    return apply(x, name, slope)
