"""RoI align (He et al. 2017): a map of one size from boxes of any, and its gradient.

A box is cut into OH x OW bins, and each bin is the mean of gh x gw bilinear samples in it,

    y[k, ph, pw, c] = 1 / (gh * gw) * sum over samples of x at (y1 + (ph + (i + 1/2) / gh) * height / OH, likewise)

with gh = RATIO or ceil(height / OH). Samples beyond one pixel outside the map are zero, those nearer are moved to its
edge, as torchvision has it. A box on an image that is not there, or with NaN or infinity, gives 0. Of a box far larger
than the map only the samples on the map are visited, so that a wild box costs no more than the map has pixels.

The gradient of the map is a scatter: with atomics, whose order changes from run to run; or, when torch asks for
determinism, by one program for each block of channels that takes bins and samples in their order. Boxes get no
gradient. Limit: int64 offsets from 2^31 elements on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import launch, tiles
from .geometry import unravel
from .roi_boxes import blocks, box_of, give


@triton.jit
def _side(low, high, scale, bins, p, length, RATIO: tl.constexpr, ALIGNED: tl.constexpr):
    """Return, of bin p along one side: where it begins, how long it is, its samples (a float, at least 1), and which of
    them to visit: the first and how many."""
    begin = low * scale
    end = high * scale
    if ALIGNED:
        begin -= 0.5
        end -= 0.5
    extent = end - begin
    if not ALIGNED:
        extent = tl.maximum(extent, 1.0)
    size = extent / bins
    begin += p.to(tl.float32) * size
    first = tl.zeros(low.shape, tl.int32)
    number = first + RATIO
    samples = number.to(tl.float32)
    if RATIO <= 0:
        samples = tl.minimum(tl.maximum(tl.ceil(size), 0.0), 1e9)
        # Samples between -1 and `length` count; one more on either side covers the rounding of this division.
        step = tl.where(samples > 0, size / tl.maximum(samples, 1.0), 1.0)
        before = tl.minimum(tl.maximum(tl.floor((-1.0 - begin) / step) - 1.0, 0.0), samples)
        after = tl.minimum(tl.maximum(tl.ceil((length - begin) / step) + 1.0, 0.0), samples)
        first = before.to(tl.int32)
        number = tl.maximum(after.to(tl.int32) - first, 0)
    return begin, size, tl.maximum(samples, 1.0), first, number


@triton.jit
def _pixels(at, length):
    """Return the two pixels around a position, the share of the second, and whether the sample counts."""
    ok = (at >= -1.0) & (at <= length)
    at = tl.where(at > 0, at, 0.0)
    low = tl.minimum(tl.where(ok, at, 0.0).to(tl.int32), length - 1)
    high = tl.minimum(low + 1, length - 1)
    share = tl.where(high > low, at - low.to(tl.float32), 0.0)
    return low, high, share, ok


@triton.jit
def roi_align_forward(
    x,  # (N, H, W, C)
    boxes,  # (K, 5): image, x1, y1, x2, y2
    y,  # (K, OH, OW, C)
    N, H, W, C, K, OH, OW, scale,
    RATIO: tl.constexpr, ALIGNED: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
        K = tl.cast(K, tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = (tl.program_id(1) * BC + tl.arange(0, BC))[None, :]
    there = m < K * OH * OW
    k, _, ph, pw = unravel(m, 1, OH, OW)
    image, x1, y1, x2, y2, ok = box_of(boxes, k, N, there, WIDE)
    top, bin_h, gh, h_first, rows = _side(y1, y2, scale, OH, ph, H, RATIO, ALIGNED)
    left, bin_w, gw, v_first, columns = _side(x1, x2, scale, OW, pw, W, RATIO, ALIGNED)
    count = tl.where(ok, rows * columns, 0)
    columns = tl.maximum(columns, 1)
    base = image * H
    acc = tl.zeros((BM, BC), tl.float32)
    for i in range(tl.max(count, 0)):
        h = top + ((h_first + i // columns).to(tl.float32) + 0.5) * bin_h / gh
        v = left + ((v_first + i % columns).to(tl.float32) + 0.5) * bin_w / gw
        h0, h1, down, ok_h = _pixels(h, H)
        v0, v1, right, ok_v = _pixels(v, W)
        seen = (ok_h & ok_v & (i < count))[:, None] & (c < C)
        down = down[:, None]
        right = right[:, None]
        a = tl.load(x + ((base + h0) * W + v0)[:, None] * C + c, mask=seen, other=0.0).to(tl.float32)
        b = tl.load(x + ((base + h0) * W + v1)[:, None] * C + c, mask=seen, other=0.0).to(tl.float32)
        d = tl.load(x + ((base + h1) * W + v0)[:, None] * C + c, mask=seen, other=0.0).to(tl.float32)
        e = tl.load(x + ((base + h1) * W + v1)[:, None] * C + c, mask=seen, other=0.0).to(tl.float32)
        value = (1.0 - down) * ((1.0 - right) * a + right * b) + down * ((1.0 - right) * d + right * e)
        acc += tl.where(seen, value, 0.0)
    acc /= (gh * gw)[:, None]
    tl.store(y + m[:, None] * C + c, acc.to(y.dtype.element_ty), mask=there[:, None] & (c < C))


@triton.jit
def roi_align_backward(
    dy,  # (K, OH, OW, C)
    boxes,  # (K, 5)
    dx,  # (N, H, W, C) float32, zeros
    N, H, W, C, K, OH, OW, scale, each,  # each: blocks of BM bins that a program takes, all of them if ORDERED
    RATIO: tl.constexpr, ALIGNED: tl.constexpr, ORDERED: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    c = (tl.program_id(1) * BC + tl.arange(0, BC))[None, :]
    if WIDE:
        K = tl.cast(K, tl.int64)
    for block in range(each):
        pm = tl.program_id(0) * each + block
        if WIDE:
            pm = pm.to(tl.int64)
        m = pm * BM + tl.arange(0, BM)
        there = m < K * OH * OW
        k, _, ph, pw = unravel(m, 1, OH, OW)
        image, x1, y1, x2, y2, ok = box_of(boxes, k, N, there, WIDE)
        top, bin_h, gh, h_first, rows = _side(y1, y2, scale, OH, ph, H, RATIO, ALIGNED)
        left, bin_w, gw, v_first, columns = _side(x1, x2, scale, OW, pw, W, RATIO, ALIGNED)
        count = tl.where(ok, rows * columns, 0)
        columns = tl.maximum(columns, 1)
        base = image * H
        g = tl.load(dy + m[:, None] * C + c, mask=there[:, None] & (c < C), other=0.0).to(tl.float32)
        g /= (gh * gw)[:, None]
        for i in range(tl.max(count, 0)):
            h = top + ((h_first + i // columns).to(tl.float32) + 0.5) * bin_h / gh
            v = left + ((v_first + i % columns).to(tl.float32) + 0.5) * bin_w / gw
            h0, h1, down, ok_h = _pixels(h, H)
            v0, v1, right, ok_v = _pixels(v, W)
            seen = (ok_h & ok_v & (i < count))[:, None] & (c < C)
            down = down[:, None]
            right = right[:, None]
            give(dx + ((base + h0) * W + v0)[:, None] * C + c, g * (1.0 - down) * (1.0 - right), seen, ORDERED)
            give(dx + ((base + h0) * W + v1)[:, None] * C + c, g * (1.0 - down) * right, seen, ORDERED)
            give(dx + ((base + h1) * W + v0)[:, None] * C + c, g * down * (1.0 - right), seen, ORDERED)
            give(dx + ((base + h1) * W + v1)[:, None] * C + c, g * down * right, seen, ORDERED)


def _fake(x, boxes, size, scale, ratio, aligned):
    return launch.empty_map(x, (boxes.shape[0], x.shape[1], *size))


def _forward(x, boxes, size, scale, ratio, aligned):
    y = _fake(x, boxes, size, scale, ratio, aligned)
    if y.numel() == 0:
        return y
    x, rows = launch.feature_map(x), y.numel() // y.shape[1]
    (n, c, h, w), (k, _, oh, ow) = x.shape, y.shape
    bm, bc = tiles.small_tile(rows, c)
    launch.run(
        roi_align_forward, (triton.cdiv(rows, bm), triton.cdiv(c, bc)), x, boxes.contiguous(), y,
        n, h, w, c, k, oh, ow, float(scale), RATIO=ratio, ALIGNED=aligned, BM=bm, BC=bc, WIDE=launch.wide(x, y, boxes),
    )  # fmt: skip
    return y


def _backward(dy, boxes, shape, scale, ratio, aligned, ordered):
    dx = torch.zeros_like(launch.empty_map(dy, shape), dtype=torch.float32)
    if dy.numel() and dx.numel():
        dy, rows = launch.feature_map(dy), dy.numel() // dy.shape[1]
        (n, c, h, w), (k, _, oh, ow) = shape, dy.shape
        bm, bc = (1, tiles.power(c, 64)) if ordered else tiles.small_tile(rows, c)
        programs, each = blocks(rows, bm, ordered)
        launch.run(
            roi_align_backward, (programs, triton.cdiv(c, bc)), dy, boxes.contiguous(), dx,
            n, h, w, c, k, oh, ow, float(scale), each, RATIO=ratio, ALIGNED=aligned, ORDERED=ordered, BM=bm, BC=bc,
            WIDE=launch.wide(dx, dy, boxes),
        )  # fmt: skip
    return dx.to(dy.dtype)


def _setup(ctx, inputs, output):
    x, boxes, _, *ctx.how = inputs
    ctx.shape = list(x.shape)
    ctx.save_for_backward(boxes)


HOW = "float scale, int ratio, bool aligned"
gradient = launch.define(
    f"roi_align_gradient(Tensor dy, Tensor boxes, int[] shape, {HOW}, bool ordered) -> Tensor",
    _backward,
    lambda dy, boxes, shape, *_: launch.empty_map(dy, shape),
)
roi_align = launch.differentiable(
    launch.define(f"roi_align(Tensor x, Tensor boxes, int[2] size, {HOW}) -> Tensor", _forward, _fake),
    _setup,
    lambda ctx, dy: (
        gradient(dy, *ctx.saved_tensors, ctx.shape, *ctx.how, torch.are_deterministic_algorithms_enabled()),
        *[None] * 5,
    ),
)
