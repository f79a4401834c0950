"""RoI pooling (Girshick 2015, section 2.1): the maximum over the bins of a box, and its gradient.

Corners are rounded to pixels, and each of OH x OW bins is the maximum over the pixels from the floor to the ceiling of
its edges, or 0 where it has none, as torchvision has it. A box on an image that is not there, or with NaN or infinity,
gives 0.

The gradient of the map is a scatter: with atomics, whose order changes from run to run; or, when torch asks for
determinism, by one program for each block of channels that takes the bins in their order. Boxes get no gradient.
Limits: maps of fewer than 2^31 pixels; int64 offsets from 2^31 elements on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import launch, tiles
from .geometry import unravel
from .roi_boxes import blocks, box_of, give


@triton.jit
def _edges(low, high, scale, p, bins, length):
    """Return the first pixel of bin p and the one after its last, along one side."""
    begin = tl.where(low < 0, -tl.floor(0.5 - low * scale), tl.floor(low * scale + 0.5))  # halves away from zero
    end = tl.where(high < 0, -tl.floor(0.5 - high * scale), tl.floor(high * scale + 0.5))
    size = tl.maximum(end - begin + 1.0, 1.0) / bins
    first = begin + tl.floor(p.to(tl.float32) * size)
    after = begin + tl.ceil((p + 1).to(tl.float32) * size)
    top = length.to(tl.float32)
    first = tl.minimum(tl.maximum(first, 0.0), top)
    return first.to(tl.int32), tl.minimum(tl.maximum(after, 0.0), top).to(tl.int32)


@triton.jit
def roi_pool_forward(
    x,  # (N, H, W, C)
    boxes,  # (K, 5)
    y,  # (K, OH, OW, C)
    places,  # (K, OH, OW, C) int32: pixel of the maximum in its map, -1 for none
    N, H, W, C, K, OH, OW, scale,
    BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
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
    h0, h1 = _edges(y1, y2, scale, ph, OH, H + m * 0)
    v0, v1 = _edges(x1, x2, scale, pw, OW, W + m * 0)
    count = tl.where(ok, tl.maximum(h1 - h0, 0) * tl.maximum(v1 - v0, 0), 0)
    columns = tl.maximum(v1 - v0, 1)
    base = image * H * W
    best = tl.full((BM, BC), float("-inf"), tl.float32)
    place = tl.full((BM, BC), -1, tl.int32)
    for i in range(tl.max(count, 0)):
        pixel = (h0 + i // columns) * W + v0 + i % columns
        seen = (i < count)[:, None] & (c < C)
        value = tl.load(x + (base + pixel)[:, None] * C + c, mask=seen, other=float("-inf")).to(tl.float32)
        better = seen & ((value > best) | (place < 0))
        best = tl.where(better, value, best)
        place = tl.where(better, pixel[:, None], place)
    out = m[:, None] * C + c
    tl.store(y + out, tl.where(place < 0, 0.0, best).to(y.dtype.element_ty), mask=there[:, None] & (c < C))
    tl.store(places + out, place, mask=there[:, None] & (c < C))


@triton.jit
def roi_pool_backward(
    dy,  # (K, OH, OW, C)
    boxes,  # (K, 5)
    places,  # (K, OH, OW, C) int32
    dx,  # (N, H, W, C) float32, zeros
    N, P, C, K, bins, each,  # P: pixels of a map; bins: OH * OW
    ORDERED: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    c = (tl.program_id(1) * BC + tl.arange(0, BC))[None, :]
    if WIDE:
        K = tl.cast(K, tl.int64)
    for block in range(each):
        pm = tl.program_id(0) * each + block
        if WIDE:
            pm = pm.to(tl.int64)
        m = pm * BM + tl.arange(0, BM)
        there = (m < K * bins)[:, None] & (c < C)
        image, _, _, _, _, _ = box_of(boxes, m // bins, N, m < K * bins, WIDE)
        place = tl.load(places + m[:, None] * C + c, mask=there, other=-1)
        g = tl.load(dy + m[:, None] * C + c, mask=there, other=0.0).to(tl.float32)
        at = dx + ((image * P)[:, None] + tl.maximum(place, 0)) * C + c
        give(at, g, there & (place >= 0), ORDERED)


def _fake(x, boxes, size, scale):
    shape = (boxes.shape[0], x.shape[1], *size)
    return launch.empty_map(x, shape), launch.empty_map(x, shape, torch.int32)


def _forward(x, boxes, size, scale):
    y, places = _fake(x, boxes, size, scale)
    if y.numel() == 0:
        return y, places
    x, rows = launch.feature_map(x), y.numel() // y.shape[1]
    (n, c, h, w), (k, _, oh, ow) = x.shape, y.shape
    bm, bc = tiles.small_tile(rows, c)
    launch.run(
        roi_pool_forward, (triton.cdiv(rows, bm), triton.cdiv(c, bc)), x, boxes.contiguous(), y, places,
        n, h, w, c, k, oh, ow, float(scale), BM=bm, BC=bc, WIDE=launch.wide(x, y, boxes),
    )  # fmt: skip
    return y, places


def _backward(dy, boxes, places, shape, ordered):
    dx = torch.zeros_like(launch.empty_map(dy, shape), dtype=torch.float32)
    if dy.numel() and dx.numel():
        dy, places, rows = launch.feature_map(dy), launch.feature_map(places), dy.numel() // dy.shape[1]
        (n, c, h, w), (k, _, oh, ow) = shape, dy.shape
        bm, bc = (1, tiles.power(c, 64)) if ordered else tiles.small_tile(rows, c)
        programs, each = blocks(rows, bm, ordered)
        launch.run(
            roi_pool_backward, (programs, triton.cdiv(c, bc)), dy, boxes.contiguous(), places, dx,
            n, h * w, c, k, oh * ow, each, ORDERED=ordered, BM=bm, BC=bc, WIDE=launch.wide(dx, dy, boxes),
        )  # fmt: skip
    return dx.to(dy.dtype)


def _setup(ctx, inputs, output):
    x, boxes, _, _ = inputs
    ctx.shape = list(x.shape)
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(boxes, output[1])


gradient = launch.define(
    "roi_pool_gradient(Tensor dy, Tensor boxes, Tensor places, int[] shape, bool ordered) -> Tensor",
    _backward,
    lambda dy, boxes, places, shape, ordered: launch.empty_map(dy, shape),
)
roi_pool = launch.differentiable(
    launch.define("roi_pool(Tensor x, Tensor boxes, int[2] size, float scale) -> (Tensor, Tensor)", _forward, _fake),
    _setup,
    lambda ctx, dy, _: (
        gradient(dy, *ctx.saved_tensors, ctx.shape, torch.are_deterministic_algorithms_enabled()),
        None,
        None,
        None,
    ),
)
