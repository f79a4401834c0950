"""Gradients of batch normalization.

With normalized n = (x - mean) / sqrt(var + eps) and sums over the M rows:

    dweight = sum(dy * n),   dbias = sum(dy)
    dx = weight / sqrt(var + eps) * (dy - dbias / M - n * dweight / M)      (training; in inference the means drop out)

All sums run in a fixed order. Limit: int64 offsets from 2^31 elements on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import launch, tiles


@triton.jit
def batch_gradient_sums(
    dy,  # (M, C)
    x,  # (M, C)
    mean,  # (C,)
    var,  # (C,)
    weights,  # (SPLITS, C) float32: sums of dy * n
    biases,  # (SPLITS, C) float32: sums of dy
    M, C, per, eps,
    BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    part = tl.program_id(1)
    start = part * per
    if WIDE:
        start = start.to(tl.int64)
    stop = tl.minimum(start + per, M)
    centre = tl.load(mean + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    factor = 1.0 / tl.sqrt(tl.load(var + c, mask=c < C, other=1.0).to(tl.float32) + eps)
    products = tl.zeros((BM, BC), tl.float32)
    plain = tl.zeros((BM, BC), tl.float32)
    for m0 in range(start, stop, BM):
        m = m0 + tl.arange(0, BM)
        ok = (m < stop)[:, None] & (c < C)[None, :]
        g = tl.load(dy + m[:, None] * C + c[None, :], mask=ok, other=0.0).to(tl.float32)
        value = tl.load(x + m[:, None] * C + c[None, :], mask=ok, other=0.0).to(tl.float32)
        products += g * (value - centre)
        plain += g
    tl.store(weights + part * C + c, tl.sum(products, 0) * factor, mask=c < C)
    tl.store(biases + part * C + c, tl.sum(plain, 0), mask=c < C)


@triton.jit
def batch_input_gradient(
    dy,  # (M, C)
    x,  # (M, C)
    weight,  # (C,)
    mean,  # (C,)
    var,  # (C,)
    dweight,  # (C,) float32
    dbias,  # (C,) float32
    dx,  # (M, C)
    M, C, eps,
    BM: tl.constexpr, BC: tl.constexpr, HAS_WEIGHT: tl.constexpr, TRAINING: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    ok = (m < M)[:, None] & (c < C)[None, :]
    g = tl.load(dy + m[:, None] * C + c[None, :], mask=ok, other=0.0).to(tl.float32)
    factor = 1.0 / tl.sqrt(tl.load(var + c, mask=c < C, other=1.0).to(tl.float32) + eps)
    if TRAINING:
        value = tl.load(x + m[:, None] * C + c[None, :], mask=ok, other=0.0).to(tl.float32)
        centre = tl.load(mean + c, mask=c < C, other=0.0).to(tl.float32)
        slope = tl.load(dweight + c, mask=c < C, other=0.0) / M * factor
        g = g - (tl.load(dbias + c, mask=c < C, other=0.0) / M)[None, :] - (value - centre[None, :]) * slope[None, :]
    if HAS_WEIGHT:
        factor *= tl.load(weight + c, mask=c < C, other=0.0).to(tl.float32)
    tl.store(dx + m[:, None] * C + c[None, :], (g * factor[None, :]).to(dx.dtype.element_ty), mask=ok)


def _fake_gradient(dy, x, weight, mean, var, eps, training):
    sums = x.new_empty((2, x.shape[1]), dtype=torch.float32)
    return launch.empty_map(x, x.shape), sums


def _gradient(dy, x, weight, mean, var, eps, training):
    dx, sums = _fake_gradient(dy, x, weight, mean, var, eps, training)
    if x.numel() == 0:
        return dx, sums.zero_()
    dy, x = launch.feature_map(dy), launch.feature_map(x)
    rows, c, bm, bc = tiles.matrix(x)
    splits, per = tiles.split(x, rows, bm, triton.cdiv(c, bc), c)
    parts = sums[:, None] if splits == 1 else torch.empty((2, splits, c), dtype=torch.float32, device=x.device)
    grid = (triton.cdiv(c, bc), splits)
    wide = launch.wide(x)
    launch.run(
        batch_gradient_sums, grid, dy, x, mean, var, parts[0], parts[1], rows, c, per, eps, BM=bm, BC=bc, WIDE=wide
    )
    if splits > 1:
        tiles.add_parts(parts[0], sums[0])
        tiles.add_parts(parts[1], sums[1])
    launch.run(
        batch_input_gradient, (triton.cdiv(rows, bm), triton.cdiv(c, bc)),
        dy, x, x if weight is None else weight, mean, var, sums[0], sums[1], dx, rows, c, eps,
        BM=bm, BC=bc, HAS_WEIGHT=weight is not None, TRAINING=training, WIDE=wide,
    )  # fmt: skip
    return dx, sums


GRADIENT = "Tensor dy, Tensor x, Tensor? weight, Tensor mean, Tensor var, float eps, bool training"
launch.define(f"batch_norm_gradient({GRADIENT}) -> (Tensor, Tensor)", _gradient, _fake_gradient)
