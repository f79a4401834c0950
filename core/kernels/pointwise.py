"""Formulas of the activations, in float32, for kernels that apply one to a tile they hold.

Written with tl.where on the value itself, because tl.maximum and tl.minimum return the other argument for NaN, while
torch's relu(NaN) is NaN. At the kinks the derivative is the one torch takes.

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

import triton
import triton.language as tl


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
def activate(x, slope, NAME: tl.constexpr):
    """Return f(x) of the float32 tile x."""
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
def activation_derivative(x, slope, NAME: tl.constexpr):
    """Return f'(x) of the float32 tile x."""
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
