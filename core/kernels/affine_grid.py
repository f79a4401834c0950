"""Grids of affine transformations (Jaderberg et al. 2015, equation 1) and the gradient of the six numbers of each.

    grid[n, h, w] = theta[n] (2 x 3) times (x[w], y[h], 1),   dtheta[n] = sum over h, w of dgrid[n, h, w] (x, y, 1)

x and y go from -1 to 1 over the pixels' centres (ALIGN) or over the map's edges. One program sums an image's gradient,
its points in their order.
"""

from __future__ import annotations

import triton
import triton.language as tl

from . import launch, tiles
from .geometry import unravel


@triton.jit
def _base(i, size, ALIGN: tl.constexpr):
    """Return the coordinate of pixel i of `size`."""
    if ALIGN:
        return tl.where(size > 1, 2.0 * i.to(tl.float32) / tl.maximum(size - 1, 1).to(tl.float32) - 1.0, 0.0)
    return (2.0 * i.to(tl.float32) + 1.0) / size.to(tl.float32) - 1.0


@triton.jit
def affine_forward(
    theta,  # (N, 2, 3)
    grid,  # (N, H, W, 2)
    N, H, W,
    ALIGN: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    ok = m < tl.cast(N, tl.int64) * H * W
    n, _, h, w = unravel(m, 1, H, W)
    x = _base(w, W + m * 0, ALIGN)
    y = _base(h, H + m * 0, ALIGN)
    for i in tl.static_range(2):
        row = theta + n * 6 + 3 * i
        value = tl.load(row, mask=ok, other=0.0).to(tl.float32) * x
        value += tl.load(row + 1, mask=ok, other=0.0).to(tl.float32) * y
        value += tl.load(row + 2, mask=ok, other=0.0).to(tl.float32)
        tl.store(grid + 2 * m + i, value.to(grid.dtype.element_ty), mask=ok)


@triton.jit
def affine_backward(
    dgrid,  # (N, H, W, 2)
    dtheta,  # (N, 2, 3)
    H, W, P,  # P = H * W
    ALIGN: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1)
    by_x = tl.zeros((B,), tl.float32)
    by_y = tl.zeros((B,), tl.float32)
    plain = tl.zeros((B,), tl.float32)
    for p0 in range(0, P, B):
        p = p0 + tl.arange(0, B)
        g = tl.load(dgrid + (n * P + p) * 2 + i, mask=p < P, other=0.0).to(tl.float32)
        by_x += g * _base(p % W, W + p * 0, ALIGN)
        by_y += g * _base(p // W, H + p * 0, ALIGN)
        plain += g
    out = dtheta + n * 6 + i * 3
    tl.store(out, tl.sum(by_x, 0).to(dtheta.dtype.element_ty))
    tl.store(out + 1, tl.sum(by_y, 0).to(dtheta.dtype.element_ty))
    tl.store(out + 2, tl.sum(plain, 0).to(dtheta.dtype.element_ty))


def _forward(theta, size, align):
    n = theta.shape[0]
    grid = theta.new_empty((n, *size, 2))
    points = grid.numel() // 2
    if points:
        b = tiles.power(points, 4096) if launch.INTERPRETED else 256
        launch.run(
            affine_forward, (triton.cdiv(points, b),), theta.contiguous(), grid, n, *size, ALIGN=align, B=b
        )  # fmt: skip
    return grid


def _backward(dgrid, align):
    n, h, w, _ = dgrid.shape
    dtheta = dgrid.new_empty((n, 2, 3))
    if dgrid.numel() == 0:
        return dtheta.zero_()
    b = tiles.power(h * w, 1024)
    launch.run(affine_backward, (n, 2), dgrid.contiguous(), dtheta, h, w, h * w, ALIGN=align, B=b)
    return dtheta


def _setup(ctx, inputs, output):
    _, _, ctx.align = inputs


gradient = launch.define(
    "affine_grid_gradient(Tensor dgrid, bool align) -> Tensor",
    _backward,
    lambda dgrid, align: dgrid.new_empty((dgrid.shape[0], 2, 3)),
)
affine_grid = launch.differentiable(
    launch.define(
        "affine_grid(Tensor theta, int[2] size, bool align) -> Tensor",
        _forward,
        lambda theta, size, align: theta.new_empty((theta.shape[0], *size, 2)),
    ),
    _setup,
    lambda ctx, dgrid: (gradient(dgrid, ctx.align), None, None),
)
