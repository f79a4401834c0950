"""Sums over all pixels of a map, one for each channel: the gradient of a bias.

    db[c] = sum over m of dy[m, c]

in SPLITS parts, which a second pass adds in order.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import launch, tiles


@triton.jit
def column_sums(
    x,  # (M, C)
    parts,  # (SPLITS, C) float32, or the result itself when there is one part
    M, C, per,  # per: rows per part, a multiple of BM
    BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    part = tl.program_id(1)
    if WIDE:
        part = part.to(tl.int64)
    start = part * per
    stop = start + tl.minimum(per, M - start)
    acc = tl.zeros((BM, BC), tl.float32)
    for m0 in range(start, stop, BM):
        m = m0 + tl.arange(0, BM)
        ok = (m < stop)[:, None] & (c < C)[None, :]
        acc += tl.load(x + m[:, None] * C + c[None, :], mask=ok, other=0.0).to(tl.float32)
    tl.store(parts + part * C + c, tl.sum(acc, 0).to(parts.dtype.element_ty), mask=c < C)


def _fake_bias(dy):
    return dy.new_empty(dy.shape[1])


def _launch_bias(dy):
    db = _fake_bias(dy)
    if dy.numel() == 0:
        return db.zero_()
    dy = launch.feature_map(dy)
    rows, c = dy.numel() // dy.shape[1], dy.shape[1]
    bm, bc = tiles.column_tile(rows, c)
    splits, per = tiles.split(dy, rows, bm, triton.cdiv(c, bc), c)
    parts = db if splits == 1 else torch.empty((splits, c), dtype=torch.float32, device=dy.device)
    grid = (triton.cdiv(c, bc), splits)
    launch.run(column_sums, grid, dy, parts, rows, c, per, BM=bm, BC=bc, WIDE=launch.wide(dy))
    if splits > 1:
        tiles.add_parts(parts, db)
    return db


launch.define("bias_gradient(Tensor dy) -> Tensor", _launch_bias, _fake_bias)
