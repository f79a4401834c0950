"""Reading a map at the points of a grid, the sampler of spatial transformers (Jaderberg et al. 2015), and gradients.

A grid holds (x, y) in [-1, 1]; -1 and 1 are the centres of the corner pixels (ALIGN) or the edges of the map:

    position = (g + 1) / 2 * (size - 1)     if ALIGN,     ((g + 1) * size - 1) / 2     if not

Bilinear reading takes the four pixels around a position with the weights of their distances, nearest the one it rounds
to (halves to even). Points outside read zeros, the border, or the map's mirror image (PADDING), with torch's rules for
the gradient: none where a position was clipped, a turned sign where it was reflected.

The gradient of the grid is a sum over channels, one program for its points. The gradient of the map is a scatter: with
atomics, whose order changes from run to run; or, when torch asks for determinism, by one program for each image and
block of channels that takes the points in their order. Limit: int64 offsets from 2^31 elements on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import launch, tiles
from .sampling_points import corner_pixel, position, whole


@triton.jit
def sample_forward(
    x,  # (N, H, W, C)
    grid,  # (N, OH, OW, 2)
    y,  # (N, OH, OW, C)
    N, H, W, C, P,  # P = OH * OW
    NEAREST: tl.constexpr, ALIGN: tl.constexpr, PADDING: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
        N = tl.cast(N, tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = (tl.program_id(1) * BC + tl.arange(0, BC))[None, :]
    inside = m < N * P
    gx = tl.load(grid + 2 * m, mask=inside, other=0.0).to(tl.float32)
    gy = tl.load(grid + 2 * m + 1, mask=inside, other=0.0).to(tl.float32)
    v, _ = position(gx, W, ALIGN, PADDING)
    h, _ = position(gy, H, ALIGN, PADDING)
    n = m // P
    acc = tl.zeros((BM, BC), tl.float32)
    if NEAREST:
        pixel, ok = corner_pixel(n, whole(h), whole(v), H, W)
        ok = (inside & ok)[:, None] & (c < C)
        acc = tl.load(x + pixel[:, None] * C + c, mask=ok, other=0.0).to(tl.float32)
    else:
        h0 = tl.floor(h)
        v0 = tl.floor(v)
        for corner in tl.static_range(4):
            down = corner // 2
            right = corner % 2
            share = (h - h0 if down else h0 + 1.0 - h) * (v - v0 if right else v0 + 1.0 - v)
            pixel, ok = corner_pixel(n, h0 + down, v0 + right, H, W)
            ok = (inside & ok)[:, None] & (c < C)
            value = tl.load(x + pixel[:, None] * C + c, mask=ok, other=0.0).to(tl.float32)
            acc += tl.where(ok, value * share[:, None], 0.0)
        acc = tl.where(((h != h) | (v != v))[:, None], h[:, None] + v[:, None], acc)
    tl.store(y + m[:, None] * C + c, acc.to(y.dtype.element_ty), mask=inside[:, None] & (c < C))


@triton.jit
def sample_grid_gradient(
    dy,  # (N, OH, OW, C)
    x,  # (N, H, W, C)
    grid,  # (N, OH, OW, 2)
    dgrid,  # (N, OH, OW, 2)
    N, H, W, C, P,
    ALIGN: tl.constexpr, PADDING: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
        N = tl.cast(N, tl.int64)
    m = pm * BM + tl.arange(0, BM)
    inside = m < N * P
    gx = tl.load(grid + 2 * m, mask=inside, other=0.0).to(tl.float32)
    gy = tl.load(grid + 2 * m + 1, mask=inside, other=0.0).to(tl.float32)
    v, slope_v = position(gx, W, ALIGN, PADDING)
    h, slope_h = position(gy, H, ALIGN, PADDING)
    h0 = tl.floor(h)
    v0 = tl.floor(v)
    n = m // P
    dv = tl.zeros((BM,), tl.float32)
    dh = tl.zeros((BM,), tl.float32)
    for c0 in range(0, C, BC):
        c = (c0 + tl.arange(0, BC))[None, :]
        g = tl.load(dy + m[:, None] * C + c, mask=inside[:, None] & (c < C), other=0.0).to(tl.float32)
        for corner in tl.static_range(4):
            down = corner // 2
            right = corner % 2
            pixel, ok = corner_pixel(n, h0 + down, v0 + right, H, W)
            ok = (inside & ok)[:, None] & (c < C)
            value = tl.load(x + pixel[:, None] * C + c, mask=ok, other=0.0).to(tl.float32)
            product = tl.sum(tl.where(ok, value * g, 0.0), 1)
            dv += product * (h - h0 if down else h0 + 1.0 - h) * (1.0 if right else -1.0)
            dh += product * (v - v0 if right else v0 + 1.0 - v) * (1.0 if down else -1.0)
    seen = inside & (h == h) & (v == v)
    tl.store(dgrid + 2 * m, tl.where(seen, dv * slope_v, 0.0).to(dgrid.dtype.element_ty), mask=inside)
    tl.store(dgrid + 2 * m + 1, tl.where(seen, dh * slope_h, 0.0).to(dgrid.dtype.element_ty), mask=inside)


@triton.jit
def sample_map_gradient(
    dy,  # (N, OH, OW, C)
    grid,  # (N, OH, OW, 2)
    dx,  # (N, H, W, C) float32, zeros
    N, H, W, C, P,
    NEAREST: tl.constexpr, ALIGN: tl.constexpr, PADDING: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
        N = tl.cast(N, tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = (tl.program_id(1) * BC + tl.arange(0, BC))[None, :]
    inside = m < N * P
    gx = tl.load(grid + 2 * m, mask=inside, other=0.0).to(tl.float32)
    gy = tl.load(grid + 2 * m + 1, mask=inside, other=0.0).to(tl.float32)
    v, _ = position(gx, W, ALIGN, PADDING)
    h, _ = position(gy, H, ALIGN, PADDING)
    n = m // P
    g = tl.load(dy + m[:, None] * C + c, mask=inside[:, None] & (c < C), other=0.0).to(tl.float32)
    if NEAREST:
        pixel, ok = corner_pixel(n, whole(h), whole(v), H, W)
        tl.atomic_add(dx + pixel[:, None] * C + c, g, mask=(inside & ok)[:, None] & (c < C))
    else:
        h0 = tl.floor(h)
        v0 = tl.floor(v)
        for corner in tl.static_range(4):
            down = corner // 2
            right = corner % 2
            share = (h - h0 if down else h0 + 1.0 - h) * (v - v0 if right else v0 + 1.0 - v)
            pixel, ok = corner_pixel(n, h0 + down, v0 + right, H, W)
            ok = (inside & ok)[:, None] & (c < C)
            tl.atomic_add(dx + pixel[:, None] * C + c, g * share[:, None], mask=ok)


@triton.jit
def sample_map_gradient_in_order(
    dy,  # (N, OH, OW, C)
    grid,  # (N, OH, OW, 2)
    dx,  # (N, H, W, C) float32, zeros
    H, W, C, P,
    NEAREST: tl.constexpr, ALIGN: tl.constexpr, PADDING: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64)
    c = (tl.program_id(1) * BC + tl.arange(0, BC))[None, :]
    for p in range(P):
        m = n * P + p + tl.arange(0, 1)
        v, _ = position(tl.load(grid + 2 * m).to(tl.float32), W, ALIGN, PADDING)
        h, _ = position(tl.load(grid + 2 * m + 1).to(tl.float32), H, ALIGN, PADDING)
        g = tl.load(dy + m[:, None] * C + c, mask=c < C, other=0.0).to(tl.float32)
        for corner in tl.static_range(1 if NEAREST else 4):
            down = corner // 2
            right = corner % 2
            if NEAREST:
                pixel, ok = corner_pixel(n, whole(h), whole(v), H, W)
                share = v * 0.0 + 1.0
            else:
                h0 = tl.floor(h)
                v0 = tl.floor(v)
                pixel, ok = corner_pixel(n, h0 + down, v0 + right, H, W)
                share = (h - h0 if down else h0 + 1.0 - h) * (v - v0 if right else v0 + 1.0 - v)
            at = dx + pixel[:, None] * C + c
            ok = ok[:, None] & (c < C)
            tl.store(at, tl.load(at, mask=ok, other=0.0) + g * share[:, None], mask=ok)
            tl.debug_barrier()  # the next load may be another thread's


def _tile(x, points):
    bm, bc = tiles.small_tile(points, x.shape[1])
    return bm, bc, {"BM": bm, "BC": bc}


def _fake(x, grid, nearest, align, padding):
    return launch.empty_map(x, (*x.shape[:2], *grid.shape[1:3]))


def _forward(x, grid, nearest, align, padding):
    y = _fake(x, grid, nearest, align, padding)
    if y.numel() == 0:
        return y
    x, grid = launch.feature_map(x), grid.contiguous()
    (n, c, h, w), points = x.shape, grid.shape[1] * grid.shape[2]
    bm, bc, tile = _tile(x, n * points)
    launch.run(
        sample_forward, (triton.cdiv(n * points, bm), triton.cdiv(c, bc)), x, grid, y, n, h, w, c, points,
        NEAREST=nearest, ALIGN=align, PADDING=padding, **tile, WIDE=launch.wide(x, y, grid),
    )  # fmt: skip
    return y


def _map_gradient(dy, grid, size, nearest, align, padding, ordered):
    dx = torch.zeros_like(launch.empty_map(dy, (*dy.shape[:2], *size)), dtype=torch.float32)
    if dy.numel() and dx.numel():
        dy, grid = launch.feature_map(dy), grid.contiguous()
        (n, c), (h, w), points = dy.shape[:2], size, grid.shape[1] * grid.shape[2]
        bm, bc, tile = _tile(dy, n * points)
        how = {"NEAREST": nearest, "ALIGN": align, "PADDING": padding}
        if ordered:
            launch.run(
                sample_map_gradient_in_order, (n, triton.cdiv(c, bc)), dy, grid, dx, h, w, c, points, **how, BC=bc
            )  # fmt: skip
        else:
            launch.run(
                sample_map_gradient, (triton.cdiv(n * points, bm), triton.cdiv(c, bc)), dy, grid, dx, n, h, w, c,
                points, **how, **tile, WIDE=launch.wide(dx, dy, grid),
            )  # fmt: skip
    return dx.to(dy.dtype)


def _grid_gradient(dy, x, grid, align, padding):
    dgrid = torch.empty_like(grid, memory_format=torch.contiguous_format)
    if dy.numel() == 0:
        return dgrid.zero_()
    dy, x, grid = launch.feature_map(dy), launch.feature_map(x), grid.contiguous()
    (n, c, h, w), points = x.shape, grid.shape[1] * grid.shape[2]
    bm, _, tile = _tile(x, n * points)
    launch.run(
        sample_grid_gradient, (triton.cdiv(n * points, bm),), dy, x, grid, dgrid, n, h, w, c, points,
        ALIGN=align, PADDING=padding, **tile, WIDE=launch.wide(x, dy, grid),
    )  # fmt: skip
    return dgrid


def _setup(ctx, inputs, output):
    x, grid, *ctx.how = inputs
    ctx.save_for_backward(x, grid)


def _backward(ctx, dy):
    x, grid = ctx.saved_tensors
    nearest, align, padding = ctx.how
    ordered = torch.are_deterministic_algorithms_enabled()
    dx = map_gradient(dy, grid, list(x.shape[2:]), *ctx.how, ordered) if ctx.needs_input_grad[0] else None
    if not ctx.needs_input_grad[1]:
        return dx, None, None, None, None
    # A step from one pixel to the next has no slope.
    dgrid = torch.zeros_like(grid) if nearest else grid_gradient(dy, x, grid, align, padding)
    return dx, dgrid, None, None, None


HOW = "bool nearest, bool align, str padding"
map_gradient = launch.define(
    f"grid_sample_map_gradient(Tensor dy, Tensor grid, int[2] size, {HOW}, bool ordered) -> Tensor",
    _map_gradient,
    lambda dy, grid, size, *_: launch.empty_map(dy, (*dy.shape[:2], *size)),
)
grid_gradient = launch.define(
    "grid_sample_grid_gradient(Tensor dy, Tensor x, Tensor grid, bool align, str padding) -> Tensor",
    _grid_gradient,
    lambda dy, x, grid, *_: torch.empty_like(grid, memory_format=torch.contiguous_format),
)
grid_sample = launch.differentiable(
    launch.define(f"grid_sample(Tensor x, Tensor grid, {HOW}) -> Tensor", _forward, _fake), _setup, _backward
)
