"""Local response normalization across channels (Krizhevsky, Sutskever and Hinton 2012, section 3.3).

    s[c] = k + alpha / size * sum of x[j]^2 over j from c - size // 2 to c + (size - 1) // 2,   y[c] = x[c] * s[c]^-beta

    dx[i] = dy[i] * s[i]^-beta - 2 * alpha / size * beta * x[i] * sum of dy[c] * x[c] * s[c]^(-beta - 1)

over the channels c whose window holds i. Channels beyond the ends count as zeros, as torch has it (alpha divided by
size). One tile is BM pixels x BC channels; a window's other channels come from the L1 cache, size of them forward and
size squared backward, where remembering s would cost a map of memory.
"""

from __future__ import annotations

import triton
import triton.language as tl

from . import launch, tiles


@triton.jit
def scale(x, row, c, ok, C, size, alpha, k):
    """Return s for the channels c of the rows that begin at `row`."""
    total = tl.zeros(c.shape, tl.float32) + row.to(tl.float32) * 0.0
    for j in range(size):
        other = c - size // 2 + j
        value = tl.load(x + row + other, mask=ok & (other >= 0) & (other < C), other=0.0).to(tl.float32)
        total += value * value
    return k + alpha * total


@triton.jit
def lrn_forward(
    x,  # (M, C)
    y,  # (M, C)
    M, C, size, alpha, beta, k,  # alpha: already divided by size
    BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = (tl.program_id(1) * BC + tl.arange(0, BC))[None, :]
    row = m[:, None] * C
    ok = (m < M)[:, None] & (c < C)
    value = tl.load(x + row + c, mask=ok, other=0.0).to(tl.float32)
    s = scale(x, row, c, ok, C, size, alpha, k)
    tl.store(y + row + c, (value * tl.exp(-beta * tl.log(s))).to(y.dtype.element_ty), mask=ok)


@triton.jit
def lrn_backward(
    dy,  # (M, C)
    x,  # (M, C)
    dx,  # (M, C)
    M, C, size, alpha, beta, k,
    BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
    m = pm * BM + tl.arange(0, BM)
    i = (tl.program_id(1) * BC + tl.arange(0, BC))[None, :]
    row = m[:, None] * C
    ok = (m < M)[:, None] & (i < C)
    value = tl.load(x + row + i, mask=ok, other=0.0).to(tl.float32)
    g = tl.load(dy + row + i, mask=ok, other=0.0).to(tl.float32)
    total = tl.zeros((BM, BC), tl.float32)
    for j in range(size):
        c = i - (size - 1) // 2 + j  # the window of c reaches (size - 1) // 2 channels up and size // 2 down
        there = ok & (c >= 0) & (c < C)
        s = scale(x, row, c, there, C, size, alpha, k)
        product = tl.load(x + row + c, mask=there, other=0.0).to(tl.float32)
        product *= tl.load(dy + row + c, mask=there, other=0.0).to(tl.float32)
        total += tl.where(there, product * tl.exp((-beta - 1.0) * tl.log(s)), 0.0)
    s = scale(x, row, i, ok, C, size, alpha, k)
    out = g * tl.exp(-beta * tl.log(s)) - 2.0 * alpha * beta * value * total
    tl.store(dx + row + i, out.to(dx.dtype.element_ty), mask=ok)


def _cut(x):
    """Return the grid, the sizes and the tile for x as a matrix of pixels and channels."""
    rows, c = x.numel() // x.shape[1], x.shape[1]
    bm, bc = tiles.small_tile(rows, c)
    return (triton.cdiv(rows, bm), triton.cdiv(c, bc)), (rows, c), {"BM": bm, "BC": bc, "WIDE": launch.wide(x)}


def _forward(x, size, alpha, beta, k):
    y = launch.empty_map(x, x.shape)
    if x.numel():
        grid, sizes, tile = _cut(x)
        launch.run(lrn_forward, grid, launch.feature_map(x), y, *sizes, size, alpha / size, beta, k, **tile)
    return y


def _backward(dy, x, size, alpha, beta, k):
    dx = launch.empty_map(x, x.shape)
    if x.numel():
        grid, sizes, tile = _cut(x)
        maps = launch.feature_map(dy), launch.feature_map(x)
        launch.run(lrn_backward, grid, *maps, dx, *sizes, size, alpha / size, beta, k, **tile)
    return dx


def _setup(ctx, inputs, output):
    x, *ctx.settings = inputs
    ctx.save_for_backward(x)


SETTINGS = "int size, float alpha, float beta, float k"
gradient = launch.define(
    f"local_response_norm_gradient(Tensor dy, Tensor x, {SETTINGS}) -> Tensor",
    _backward,
    lambda dy, x, *_: launch.empty_map(dy, dy.shape),
)
apply = launch.differentiable(
    launch.define(
        f"local_response_norm(Tensor x, {SETTINGS}) -> Tensor",
        _forward,
        lambda x, *_: launch.empty_map(x, x.shape),
    ),
    _setup,
    lambda ctx, dy: (gradient(dy, *ctx.saved_tensors, *ctx.settings), None, None, None, None),
)
