"""Pooling to a given size: means and maxima over bins that divide the image as evenly as whole pixels can.

    rows of output oh: floor(oh * H / OH) <= h < ceil((oh + 1) * H / OH), and columns alike

Bins may overlap. The relation is its own mirror: pixel h lies in the bins floor(h * OH / H) to ceil((h + 1) * OH / H),
so that one kernel computes both the means (every sum divided by its bin's pixels) and their gradient (every incoming
gradient divided by its own bin's pixels). Bins of a large image and few outputs, global pooling above all, are summed
in parts that a second pass adds in order. Both gradients are gathers.

Maximum: the first of equal values wins, NaN wins (the last one, as in torch); the winner's place in its image
(h * W + w) is kept. One program holds BO bins x BT pixels x BC channels of channels_last maps. Limits: an image of
fewer than 2^31 pixels; a bin of maxima is one program's work, however large; int64 offsets from 2^31 elements on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ..checks import UsageError
from . import geometry, launch, tiles

NOWHERE = tl.constexpr(2**31 - 1)


@triton.jit
def _bin(i, FROM, TO):
    """Return the first pixel, of FROM, in bin i of TO, and the one behind the last."""
    return (i * FROM) // TO, ((i + 1) * FROM + TO - 1) // TO


@triton.jit
def _taps(h0, h1, w0, w1, tap, KW):
    """Return rows, columns and whether they lie in the bin, for the taps of bins at most KW wide: each (BO, BT)."""
    h = h0[:, None] + (tap // KW)[None, :]
    w = w0[:, None] + (tap % KW)[None, :]
    return h, w, (h < h1[:, None]) & (w < w1[:, None])


@triton.jit
def adaptive_means(
    x,  # (N, H, W, C)
    out,  # (SPLITS, N, OH, OW, C) float32, or the result itself when there is one part
    N, H, W, C, OH, OW, KW, taps, per,  # KW: columns of a bin, at most; taps: pixels, at most; per: of a part
    GRADIENT: tl.constexpr, BO: tl.constexpr, BT: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    part = tl.program_id(2)
    if WIDE:
        pm = pm.to(tl.int64)
        part = part.to(tl.int64)
        N = tl.cast(N, tl.int64)
    start = part * per
    m = pm * BO + tl.arange(0, BO)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    n, _, oh, ow = geometry.unravel(m, 1, OH, OW)
    h0, h1 = _bin(oh, H, OH)
    w0, w1 = _bin(ow, W, OW)
    rows = m < N * OH * OW
    acc = tl.zeros((BO, BC), tl.float32)
    for t in range(start, start + tl.minimum(per, taps - start), BT):
        h, w, hit = _taps(h0, h1, w0, w1, t + tl.arange(0, BT), KW)
        ok = (rows[:, None] & hit)[:, :, None] & (c < C)[None, None, :]
        source = x + (((n * H)[:, None] + h) * W + w)[:, :, None] * C + c[None, None, :]
        value = tl.load(source, mask=ok, other=0.0).to(tl.float32)
        if GRADIENT:
            g0, g1 = _bin(h, OH, H)
            f0, f1 = _bin(w, OW, W)
            value /= ((g1 - g0) * (f1 - f0)).to(tl.float32)[:, :, None]
        acc += tl.sum(value, 1)
    if not GRADIENT:
        acc /= ((h1 - h0) * (w1 - w0)).to(tl.float32)[:, None]
    place = (part * (N * OH * OW) + m)[:, None] * C + c[None, :]
    tl.store(out + place, acc.to(out.dtype.element_ty), mask=rows[:, None] & (c < C)[None, :])


@triton.jit
def adaptive_maxima(
    x,  # (N, H, W, C)
    y,  # (N, OH, OW, C)
    places,  # (N, OH, OW, C) int32
    N, H, W, C, OH, OW, KW, taps,
    BO: tl.constexpr, BT: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
        N = tl.cast(N, tl.int64)
    m = pm * BO + tl.arange(0, BO)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    n, _, oh, ow = geometry.unravel(m, 1, OH, OW)
    h0, h1 = _bin(oh, H, OH)
    w0, w1 = _bin(ow, W, OW)
    inside = (m < N * OH * OW)[:, None] & (c < C)[None, :]
    best = tl.full((BO, BC), float("-inf"), tl.float32)
    place = tl.full((BO, BC), NOWHERE, tl.int32)
    nan = tl.full((BO, BC), -1, tl.int32)
    for t in range(0, taps, BT):
        h, w, hit = _taps(h0, h1, w0, w1, t + tl.arange(0, BT), KW)
        ok = inside[:, None, :] & hit[:, :, None]
        source = x + (((n * H)[:, None] + h) * W + w)[:, :, None] * C + c[None, None, :]
        value = tl.load(source, mask=ok, other=float("-inf")).to(tl.float32)
        here = tl.zeros_like(value).to(tl.int32) + (h * W + w).to(tl.int32)[:, :, None]
        number = tl.where(value != value, float("-inf"), value)
        top = tl.max(number, 1)
        first = tl.min(tl.where(ok & (value == top[:, None, :]), here, NOWHERE), 1)
        better = (top > best) | (place == NOWHERE)  # taps go on to later pixels: of equal values the first stays
        best = tl.where(better, top, best)
        place = tl.where(better, first, place)
        last = tl.max(tl.where(ok & (value != value), here, -1), 1)
        nan = tl.where(last > nan, last, nan)
    best = tl.where(nan >= 0, float("nan"), best)
    place = tl.where(nan >= 0, nan, place)
    out = m[:, None] * C + c[None, :]
    tl.store(y + out, best.to(y.dtype.element_ty), mask=inside)
    tl.store(places + out, place, mask=inside)


@triton.jit
def adaptive_maxima_backward(
    dy,  # (N, OH, OW, C)
    places,  # (N, OH, OW, C) int32
    dx,  # (N, H, W, C)
    N, H, W, C, OH, OW, KW, taps,
    BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
        N = tl.cast(N, tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    n, _, h, w = geometry.unravel(m, 1, H, W)
    h0, h1 = _bin(h, OH, H)
    w0, w1 = _bin(w, OW, W)
    inside = (m < N * H * W)[:, None] & (c < C)[None, :]
    acc = tl.zeros((BM, BC), tl.float32)
    for tap in range(taps):
        oh = h0 + tap // KW
        ow = w0 + tap % KW
        ok = inside & ((oh < h1) & (ow < w1))[:, None]
        source = ((n * OH + oh) * OW + ow)[:, None] * C + c[None, :]
        mine = tl.load(places + source, mask=ok, other=-1) == (h * W + w)[:, None]
        acc += tl.load(dy + source, mask=ok & mine, other=0.0).to(tl.float32)
    tl.store(dx + m[:, None] * C + c[None, :], acc.to(dx.dtype.element_ty), mask=inside)


def _widest(size, bins):
    """Return the pixels of a bin, at most."""
    return size // bins if size % bins == 0 else min(size, size // bins + 2)


def _cut(x, shape):
    """Return (bins, columns of a bin, pixels of a bin, BO, BT, BC) for pooling x to `shape`."""
    n, c, oh, ow = shape
    across = _widest(x.shape[3], ow)
    taps = _widest(x.shape[2], oh) * across
    bm, bc = tiles.column_tile(n * oh * ow * taps, c)
    bt = min(bm, triton.next_power_of_2(taps))
    return n * oh * ow, across, taps, bm // bt, bt, bc


def _sum(x, size, gradient):
    """Launch the means to `size`, or the gradient of the means from `size`."""
    out = launch.empty_map(x, (*x.shape[:2], *size))
    if out.numel() == 0 or x.numel() == 0:
        return out.zero_()
    x = launch.feature_map(x)
    n, c, h, w = x.shape
    bins, across, taps, bo, bt, bc = _cut(x, out.shape)
    grid = triton.cdiv(bins, bo), triton.cdiv(c, bc)
    splits, per = tiles.split(x, taps, bt, grid[0] * grid[1], out.numel())
    parts = out if splits == 1 else torch.empty((splits, out.numel()), dtype=torch.float32, device=x.device)
    launch.run(
        adaptive_means, (*grid, splits), x, parts, n, h, w, c, *size, across, taps, per,
        GRADIENT=gradient, BO=bo, BT=bt, BC=bc, WIDE=launch.wide(x, parts),
    )  # fmt: skip
    if splits > 1:
        tiles.add_parts(parts, out)
    return out


def _fake_max(x, size):
    shape = (*x.shape[:2], *size)
    return launch.empty_map(x, shape), launch.empty_map(x, shape, torch.int32)


def _max(x, size):
    y, places = _fake_max(x, size)
    if y.numel() == 0:
        return y, places
    x = launch.feature_map(x)
    n, c, h, w = x.shape
    bins, across, taps, bo, bt, bc = _cut(x, y.shape)
    launch.run(
        adaptive_maxima, (triton.cdiv(bins, bo), triton.cdiv(c, bc)), x, y, places, n, h, w, c, *size, across, taps,
        BO=bo, BT=bt, BC=bc, WIDE=launch.wide(x, y),
    )  # fmt: skip
    return y, places


def _max_gradient(dy, places, size):
    dx = launch.empty_map(dy, (*dy.shape[:2], *size))
    if dx.numel() == 0 or dy.numel() == 0:
        return dx.zero_()
    dy = launch.feature_map(dy)
    (n, c, h, w), (oh, ow) = dx.shape, dy.shape[2:]
    across = _widest(ow, w)
    bm, bc = tiles.column_tile(n * h * w, c)
    launch.run(
        adaptive_maxima_backward, (triton.cdiv(n * h * w, bm), triton.cdiv(c, bc)),
        dy, launch.feature_map(places), dx, n, h, w, c, oh, ow, across, _widest(oh, h) * across,
        BM=bm, BC=bc, WIDE=launch.wide(dx, dy),
    )  # fmt: skip
    return dx


average_gradient = launch.define(
    "adaptive_avg_pool2d_gradient(Tensor dy, int[2] size) -> Tensor",
    lambda dy, size: _sum(dy, size, True),
    lambda dy, size: launch.empty_map(dy, (*dy.shape[:2], *size)),
)
max_gradient = launch.define(
    "adaptive_max_pool2d_gradient(Tensor dy, Tensor places, int[2] size) -> Tensor",
    _max_gradient,
    lambda dy, places, size: launch.empty_map(dy, (*dy.shape[:2], *size)),
)


def _setup_average(ctx, inputs, output):
    ctx.size = list(inputs[0].shape[2:])


def _setup_max(ctx, inputs, output):
    ctx.size = list(inputs[0].shape[2:])
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1])


apply_average = launch.differentiable(
    launch.define(
        "adaptive_avg_pool2d(Tensor x, int[2] size) -> Tensor",
        lambda x, size: _sum(x, size, False),
        lambda x, size: launch.empty_map(x, (*x.shape[:2], *size)),
    ),
    _setup_average,
    lambda ctx, dy: (average_gradient(dy, ctx.size), None),
)
apply_max = launch.differentiable(
    launch.define("adaptive_max_pool2d(Tensor x, int[2] size) -> (Tensor, Tensor)", _max, _fake_max),
    _setup_max,
    lambda ctx, dy, _: (max_gradient(dy, *ctx.saved_tensors, ctx.size), None),
)


def _size(x, size):
    launch.check_map(x)
    pair = (size, size) if size is None or isinstance(size, int) else tuple(size)
    pair = geometry.pair([x.shape[i + 2] if s is None else s for i, s in enumerate(pair)])
    if min(*pair, *x.shape[2:]) < 1:
        raise UsageError(
            "an image and an output size of at least one pixel", f"{tuple(x.shape[2:])} to {pair}", "pass a larger one"
        )
    return pair


def adaptive_avg_pool2d(x, size):
    """Take the means of bins, as `striate.core.ops.adaptive_avg_pool2d` documents it."""
    return apply_average(x, _size(x, size))


def adaptive_max_pool2d(x, size):
    """Take maxima of bins and their places, as `striate.core.ops.adaptive_max_pool2d` documents it."""
    return apply_max(x, _size(x, size))
