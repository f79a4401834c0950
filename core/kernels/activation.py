"""Elementwise non-linearities and their derivatives, in float32.

Written with tl.where on the value itself, because tl.maximum and tl.minimum return the other argument for NaN, while
torch's relu(NaN) is NaN. At the kinks the derivative is the one torch takes. Any strides: dense tensors keep theirs.
Limit: int64 offsets from 2^31 elements on.

| name | f(x) | f'(x) |
| relu | x if x > 0 else 0 | 1 if x > 0 else 0 |
| leaky_relu | x if x > 0 else slope x | 1 or slope |
| relu6, hardtanh | x clamped to [0, 6], [-1, 1] | 1 inside, 0 from the bounds on |
| hardsigmoid | clamp(x + 3, 0, 6) / 6 | 1/6 for -3 < x < 3 |
| hardswish | x hardsigmoid(x) | x/3 + 1/2 for -3 < x < 3 |
| sigmoid, tanh | s = 1 / (1 + e^-x), t | s (1 - s), 1 - t^2 |
| silu | x s | s (1 + x (1 - s)) |
| elu | x if x > 0 else slope (e^x - 1) | 1 or slope e^x |
| gelu | x (1 + erf(x / sqrt 2)) / 2 | f / x + x e^(-x^2/2) / sqrt(2 pi) |
| mish | x tanh(log(1 + e^x)) | t + x s (1 - t^2) |
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import launch, tiles


@triton.jit
def _tanh(x):
    # (1 - e) / (1 + e) cancels near 0, where four terms of the series are exact to 2e-9 relative below 0.1.
    e = tl.exp(-2.0 * tl.abs(x))
    far = (1.0 - e) / (1.0 + e)
    x2 = x * x
    near = x * (1.0 + x2 * (-1.0 / 3.0 + x2 * (2.0 / 15.0 - x2 * (17.0 / 315.0))))
    return tl.where(tl.abs(x) < 0.1, near, tl.where(x < 0, -far, far))


@triton.jit
def _exp_less_one(x):
    near = x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0)))))
    return tl.where(tl.abs(x) < 0.1, near, tl.exp(x) - 1.0)


@triton.jit
def _softplus_tanh(x):
    # tanh(log(1 + e^x)) = (u^2 + 2u) / (u^2 + 2u + 2) with u = e^x; from 20 on it is 1 in float32 and u^2 may overflow.
    u = tl.exp(tl.where(x > 20.0, 20.0, x))
    return u * (u + 2.0) / (u * (u + 2.0) + 2.0)


@triton.jit
def value(x, slope, NAME: tl.constexpr):
    if NAME == "relu":
        return tl.where(x <= 0, 0.0, x)
    elif NAME == "leaky_relu":
        return tl.where(x > 0, x, x * slope)
    elif NAME == "relu6":
        return tl.where(x <= 0, 0.0, tl.where(x >= 6.0, 6.0, x))
    elif NAME == "hardtanh":
        return tl.where(x <= -1.0, -1.0, tl.where(x >= 1.0, 1.0, x))
    elif NAME == "hardsigmoid":
        return tl.where(x <= -3.0, 0.0, tl.where(x >= 3.0, 1.0, (x + 3.0) / 6.0))
    elif NAME == "hardswish":
        return x * tl.where(x <= -3.0, 0.0, tl.where(x >= 3.0, 1.0, (x + 3.0) / 6.0))
    elif NAME == "sigmoid":
        return 1.0 / (1.0 + tl.exp(-x))
    elif NAME == "tanh":
        return _tanh(x)
    elif NAME == "silu":
        return x / (1.0 + tl.exp(-x))
    elif NAME == "elu":
        return tl.where(x > 0, x, slope * _exp_less_one(x))
    elif NAME == "gelu":
        return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    else:
        tl.static_assert(NAME == "mish")
        return x * _softplus_tanh(x)


@triton.jit
def derivative(x, slope, NAME: tl.constexpr):
    if NAME == "relu":
        return tl.where(x <= 0, 0.0, 1.0)
    elif NAME == "leaky_relu":
        return tl.where(x > 0, 1.0, slope)
    elif NAME == "relu6":
        return tl.where((x > 0) & (x < 6.0), 1.0, 0.0)
    elif NAME == "hardtanh":
        return tl.where((x > -1.0) & (x < 1.0), 1.0, 0.0)
    elif NAME == "hardsigmoid":
        return tl.where((x > -3.0) & (x < 3.0), 1.0 / 6.0, 0.0)
    elif NAME == "hardswish":
        return tl.where(x <= -3.0, 0.0, tl.where(x >= 3.0, 1.0, x / 3.0 + 0.5))
    elif NAME == "sigmoid":
        return 1.0 / (1.0 + tl.exp(-x)) / (1.0 + tl.exp(x))
    elif NAME == "tanh":
        t = _tanh(x)
        return 1.0 - t * t
    elif NAME == "silu":
        # 1 - s as a sigmoid of its own: the difference is wrong by 2^-24, times x
        return (1.0 + x / (1.0 + tl.exp(x))) / (1.0 + tl.exp(-x))
    elif NAME == "elu":
        return tl.where(x > 0, 1.0, slope * tl.exp(x))
    elif NAME == "gelu":
        density = tl.exp(-0.5 * x * x) * 0.3989422804014327
        return 0.5 * (1.0 + tl.erf(x * 0.7071067811865476)) + x * density
    else:
        tl.static_assert(NAME == "mish")
        t = _softplus_tanh(x)
        return t + x * (1.0 - t * t) / (1.0 + tl.exp(-x))


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
    tl.store(y + i, value(v, slope, NAME).to(y.dtype.element_ty), mask=i < L)


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
    tl.store(dx + i, (g * derivative(v, slope, NAME)).to(dx.dtype.element_ty), mask=i < L)


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
    ctx.save_for_backward(x)


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
