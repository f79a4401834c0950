"""Gradients of batch normalization.

With normalized n = (x - mean) / sqrt(var + eps), z = n * weight + bias + residual and sums over the M rows:

    g = dy * act'(z),   dresidual = g,   dweight = sum(g * n),   dbias = sum(g)
    dx = weight / sqrt(var + eps) * (g - dbias / M - n * dweight / M)      (training; in inference the means drop out)

z is computed anew rather than remembered: it costs no memory, and reading y instead of x would not be cheaper.

All sums run in a fixed order. Limit: int64 offsets from 2^31 elements on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import launch, tiles
from .norm import normalized, vectors
from .pointwise import activation_derivative


@triton.jit
def batch_gradient_sums(
    dy,  # (M, C)
    x,  # (M, C)
    weight, bias,  # (C,) each, or None
    residual,  # (M, C), or None
    mean, var,  # (C,) each
    weights,  # (SPLITS, C) float32: sums of g * n
    biases,  # (SPLITS, C) float32: sums of g
    M, C, per, eps, slope,
    ACTIVATION: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    part = tl.program_id(1)
    if WIDE:
        part = part.to(tl.int64)
    start = part * per
    stop = start + tl.minimum(per, M - start)
    centre = tl.load(mean + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    factor = 1.0 / tl.sqrt(tl.load(var + c, mask=c < C, other=1.0).to(tl.float32) + eps)
    products = tl.zeros((BM, BC), tl.float32)
    plain = tl.zeros((BM, BC), tl.float32)
    for m0 in range(start, stop, BM):
        m = m0 + tl.arange(0, BM)
        ok = (m < stop)[:, None] & (c < C)[None, :]
        offset = m[:, None] * C + c[None, :]
        g = tl.load(dy + offset, mask=ok, other=0.0).to(tl.float32)
        value = tl.load(x + offset, mask=ok, other=0.0).to(tl.float32)
        if ACTIVATION is not None:
            z = normalized(value, offset, c, ok, C, weight, bias, residual, mean, var, eps)
            g *= activation_derivative(z, slope, ACTIVATION)
        products += g * (value - centre)
        plain += g
    tl.store(weights + part * C + c, tl.sum(products, 0) * factor, mask=c < C)
    tl.store(biases + part * C + c, tl.sum(plain, 0), mask=c < C)


@triton.jit
def batch_input_gradient(
    dy,  # (M, C)
    x,  # (M, C)
    weight, bias,  # (C,) each, or None
    residual,  # (M, C), or None
    mean, var,  # (C,) each
    dweight, dbias,  # (C,) float32 each
    dx,  # (M, C)
    dresidual,  # (M, C), or None
    M, C, eps, slope,
    ACTIVATION: tl.constexpr, TRAINING: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    ok = (m < M)[:, None] & (c < C)[None, :]
    offset = m[:, None] * C + c[None, :]
    g = tl.load(dy + offset, mask=ok, other=0.0).to(tl.float32)
    factor = 1.0 / tl.sqrt(tl.load(var + c, mask=c < C, other=1.0).to(tl.float32) + eps)
    if TRAINING or ACTIVATION is not None:
        value = tl.load(x + offset, mask=ok, other=0.0).to(tl.float32)
    if ACTIVATION is not None:
        z = normalized(value, offset, c, ok, C, weight, bias, residual, mean, var, eps)
        g *= activation_derivative(z, slope, ACTIVATION)
    if dresidual is not None:
        tl.store(dresidual + offset, g.to(dresidual.dtype.element_ty), mask=ok)
    if TRAINING:
        centre = tl.load(mean + c, mask=c < C, other=0.0).to(tl.float32)
        tilt = tl.load(dweight + c, mask=c < C, other=0.0) / M * factor
        g = g - (tl.load(dbias + c, mask=c < C, other=0.0) / M)[None, :] - (value - centre[None, :]) * tilt[None, :]
    if weight is not None:
        factor *= tl.load(weight + c, mask=c < C, other=0.0).to(tl.float32)
    tl.store(dx + offset, (g * factor[None, :]).to(dx.dtype.element_ty), mask=ok)


def _fake(dy, x, weight, bias, residual, mean, var, activation, slope, eps, training, wanted):
    sums = x.new_empty((2, x.shape[1]), dtype=torch.float32)
    return launch.empty_map(x, x.shape), launch.empty_map(x, x.shape if wanted else (0,) * x.dim()), sums


def _gradient(dy, x, weight, bias, residual, mean, var, activation, slope, eps, training, wanted):
    dx, dresidual, sums = _fake(
        dy, x, weight, bias, residual, mean, var, activation, slope, eps, training, wanted
    )  # fmt: skip
    if x.numel() == 0:
        return dx, dresidual, sums.zero_()
    dy, x = launch.feature_map(dy), launch.feature_map(x)
    residual = None if residual is None else launch.feature_map(residual)
    rows, c = x.numel() // x.shape[1], x.shape[1]
    bm, bc = tiles.small_tile(rows, c)
    splits, per = tiles.split(x, rows, bm, triton.cdiv(c, bc), c)
    parts = sums[:, None] if splits == 1 else torch.empty((2, splits, c), dtype=torch.float32, device=x.device)
    common = {"ACTIVATION": activation, "BM": bm, "BC": bc, "WIDE": launch.wide(x)}
    given = (dy, x, *vectors(weight, bias), residual, *vectors(mean, var))
    grid = (triton.cdiv(c, bc), splits)
    launch.run(batch_gradient_sums, grid, *given, parts[0], parts[1], rows, c, per, eps, slope, **common)
    if splits > 1:
        tiles.add_parts(parts[0], sums[0])
        tiles.add_parts(parts[1], sums[1])
    launch.run(
        batch_input_gradient, (triton.cdiv(rows, bm), triton.cdiv(c, bc)), *given, sums[0], sums[1],
        dx, dresidual if wanted else None, rows, c, eps, slope, TRAINING=training, **common,
    )  # fmt: skip
    return dx, dresidual, sums


launch.define(
    "batch_norm_gradient(Tensor dy, Tensor x, Tensor? weight, Tensor? bias, Tensor? residual, Tensor mean, Tensor var, "
    "str? activation, float slope, float eps, bool training, bool wanted) -> (Tensor, Tensor, Tensor)",
    _gradient,
    _fake,
)
