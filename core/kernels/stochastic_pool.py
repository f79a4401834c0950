"""Stochastic pooling (Zeiler and Fergus 2013): a window answers with one of its numbers, drawn by their sizes.

    a = max(x, 0),  T = sum over the window of a,  p = a / T
    training: y = a[k], k drawn with probability p[k]          dx[k] = dy
    test:     y = sum of p a = (sum of a^2) / T                dx[j] = dy (2 a[j] - y) / T where x[j] > 0

The draw is the last k with a[k] > 0 whose predecessors sum to at most u T; u is Philox 4x32-10 of the seed and the
place of the output in memory, channels last, so that it depends on the shape and the seed alone. The winner's place in
its window is kept and the gradient gathered as in max pooling. Padding and negative numbers have probability 0; a
window without a positive number gives 0 and takes no gradient (its place is R * S); NaN or infinity in a window gives
NaN. Sums are float32, in the order of taps. One tile is BM pixels x BC channels of a channels_last map.

The backward pass of the test form computes y and T anew, in float32, rather than keep them. Limit: int64 offsets from
2^31 elements on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import launch, pooling, tiles
from .geometry import unravel


@triton.jit
def _positive(x, n, ih, iw, c, inside, H, W, C):
    """Return max(x, 0) of a tile of pixels, 0 outside of the image; NaN stays."""
    ok = inside & ((ih >= 0) & (ih < H) & (iw >= 0) & (iw < W))[:, None]
    value = tl.load(x + (((n * H + ih) * W + iw) * C)[:, None] + c[None, :], mask=ok, other=0.0).to(tl.float32)
    return tl.where(value <= 0, 0.0, value)


@triton.jit
def stochastic_pool_forward(
    x,  # (N, H, W, C)
    seed,  # (1,) int64; any pointer for the test form
    y,  # (N, OH, OW, C)
    more,  # (N, OH, OW, C): places, uint8 or int32, of a draw; T, float32, if TOTALS; any pointer otherwise
    N, H, W, C, OH, OW,
    R: tl.constexpr, S: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr,
    DRAW: tl.constexpr, TOTALS: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
        N = tl.cast(N, tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    n, _, oh, ow = unravel(m, 1, OH, OW)
    ih0 = oh * SH - PH
    iw0 = ow * SW - PW
    inside = (m < N * OH * OW)[:, None] & (c < C)[None, :]
    out = m[:, None] * C + c[None, :]
    total = tl.zeros((BM, BC), tl.float32)
    for tap in range(R * S):
        total += _positive(x, n, ih0 + tap // S, iw0 + tap % S, c, inside, H, W, C)
    result = tl.zeros((BM, BC), tl.float32)
    if DRAW:
        goal = tl.rand(tl.load(seed), out) * total
        before = tl.zeros((BM, BC), tl.float32)
        place = tl.full((BM, BC), R * S, tl.int32)
        for tap in range(R * S):
            a = _positive(x, n, ih0 + tap // S, iw0 + tap % S, c, inside, H, W, C)
            take = (a > 0) & (before <= goal)
            result = tl.where(take, a, result)
            place = tl.where(take, tap, place)
            before += a
        finite = total < float("inf")
        result = tl.where(finite, result, float("nan"))
        place = tl.where(finite, place, R * S)
        tl.store(more + out, place.to(more.dtype.element_ty), mask=inside)
    else:
        share = 1.0 / tl.where(total == 0, 1.0, total)
        for tap in range(R * S):
            a = _positive(x, n, ih0 + tap // S, iw0 + tap % S, c, inside, H, W, C)
            result += a * (a * share)
        if TOTALS:
            tl.store(more + out, total, mask=inside)
    tl.store(y + out, result.to(y.dtype.element_ty), mask=inside)


@triton.jit
def stochastic_pool_mean_backward(
    dy,  # (N, OH, OW, C)
    x,  # (N, H, W, C)
    y,  # (N, OH, OW, C) float32
    totals,  # (N, OH, OW, C) float32
    dx,  # (N, H, W, C)
    N, H, W, C, OH, OW,
    R: tl.constexpr, S: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr,
    BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
        N = tl.cast(N, tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    n, _, h, w = unravel(m, 1, H, W)
    inside = (m < N * H * W)[:, None] & (c < C)[None, :]
    value = tl.load(x + m[:, None] * C + c[None, :], mask=inside, other=0.0).to(tl.float32)
    acc = tl.zeros((BM, BC), tl.float32)
    for tap in range(R * S):
        th = h + PH - tap // S
        tw = w + PW - tap % S
        oh = th // SH
        ow = tw // SW
        hit = (th >= 0) & (th % SH == 0) & (oh < OH) & (tw >= 0) & (tw % SW == 0) & (ow < OW)
        ok = inside & hit[:, None]
        source = (((n * OH + oh) * OW + ow) * C)[:, None] + c[None, :]
        g = tl.load(dy + source, mask=ok, other=0.0).to(tl.float32)
        mean = tl.load(y + source, mask=ok, other=0.0)
        total = tl.load(totals + source, mask=ok, other=1.0)
        acc += g * (2.0 * value - mean) / tl.where(total == 0, 1.0, total)
    acc = tl.where(value <= 0, 0.0, acc)
    tl.store(dx + m[:, None] * C + c[None, :], acc.to(dx.dtype.element_ty), mask=inside)


def _grid(shape):
    n, c, h, w = shape
    bm, bc = tiles.small_tile(n * h * w, c)
    return (triton.cdiv(n * h * w, bm), triton.cdiv(c, bc)), {"BM": bm, "BC": bc}


def _forward(x, seed, y, more, kernel, stride, padding):
    """Launch the draw, or without a seed the test form; `more` is None or keeps what the kernel's argument says."""
    (n, c, h, w), (oh, ow) = x.shape, y.shape[2:]
    grid, tile = _grid(y.shape)
    launch.run(
        stochastic_pool_forward, grid, x, x if seed is None else seed, y, y if more is None else more,
        n, h, w, c, oh, ow, **pooling.steps(kernel, stride, padding),
        DRAW=seed is not None, TOTALS=seed is None and more is not None, **tile, WIDE=launch.wide(x, y),
    )  # fmt: skip


def _fake_draw(x, seed, kernel, stride, padding):
    shape = pooling.output_shape(x, kernel, stride, padding)
    small = torch.uint8 if kernel[0] * kernel[1] < 256 else torch.int32  # R * S stands for no place
    return launch.empty_map(x, shape), launch.empty_map(x, shape, small)


def _draw(x, seed, kernel, stride, padding):
    y, places = _fake_draw(x, seed, kernel, stride, padding)
    if y.numel():
        _forward(launch.feature_map(x), seed, y, places, kernel, stride, padding)
    return y, places


def _mean(x, kernel, stride, padding):
    y = launch.empty_map(x, pooling.output_shape(x, kernel, stride, padding))
    if y.numel():
        _forward(launch.feature_map(x), None, y, None, kernel, stride, padding)
    return y


def _mean_gradient(dy, x, kernel, stride, padding):
    dx = launch.empty_map(x, x.shape)
    if dx.numel() == 0:
        return dx
    x, dy = launch.feature_map(x), launch.feature_map(dy)
    y, totals = (launch.empty_map(dy, dy.shape, torch.float32) for _ in range(2))
    _forward(x, None, y, totals, kernel, stride, padding)
    (n, c, h, w), (oh, ow) = x.shape, dy.shape[2:]
    grid, tile = _grid(x.shape)
    launch.run(
        stochastic_pool_mean_backward, grid, dy, x, y, totals, dx, n, h, w, c, oh, ow,
        **pooling.steps(kernel, stride, padding), **tile, WIDE=launch.wide(x, dy),
    )  # fmt: skip
    return dx


mean_gradient = launch.define(
    f"stochastic_pool2d_mean_gradient(Tensor dy, Tensor x, {pooling.WINDOW}) -> Tensor",
    _mean_gradient,
    lambda dy, x, *_: launch.empty_map(x, x.shape),
)


def _setup_draw(ctx, inputs, output):
    x, _, *ctx.window = inputs
    ctx.size = list(x.shape[2:])
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1])


def _setup_mean(ctx, inputs, output):
    x, *ctx.window = inputs
    ctx.save_for_backward(x)


apply_draw = launch.differentiable(
    launch.define(
        f"stochastic_pool2d(Tensor x, Tensor seed, {pooling.WINDOW}) -> (Tensor, Tensor)", _draw, _fake_draw
    ),
    _setup_draw,
    lambda ctx, dy, _: (
        pooling.max_gradient(dy, *ctx.saved_tensors, ctx.size, *ctx.window, (1, 1)), None, None, None, None
    ),
)  # fmt: skip
apply_mean = launch.differentiable(
    launch.define(
        f"stochastic_pool2d_mean(Tensor x, {pooling.WINDOW}) -> Tensor",
        _mean,
        lambda x, *window: launch.empty_map(x, pooling.output_shape(x, *window)),
    ),
    _setup_mean,
    lambda ctx, dy: (mean_gradient(dy, *ctx.saved_tensors, *ctx.window), None, None, None),
)


def stochastic_pool2d(x, kernel, stride, padding, training):
    """Draw from windows, or average them, as `striate.core.ops.stochastic_pool2d` documents it."""
    pairs = pooling.window(x, kernel, stride, padding)
    if not training:
        return apply_mean(x, *pairs)
    return apply_draw(x, torch.randint(2**62, (1,), dtype=torch.int64, device=x.device), *pairs)[0]
