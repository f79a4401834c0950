"""Overlap of every box of one list with every box of another.

    inter = max(0, min(x2, X2) - max(x1, X1)) max(0, min(y2, Y2) - max(y1, Y1))
    out   = inter / (area + AREA - inter)       intersection over union
    out   = inter / AREA                        over the second box, as COCO counts on crowd regions

in float32, each operation rounded, so that the answer is the CPU's to the last bit. 0 where the denominator is 0; NaN
where a coordinate is. One tile is BM x BN pairs. Limits: 4 million boxes in the second list; int64 offsets from 2^31
pairs on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import launch, tiles
from .box_pairs import corners, overlap


@triton.jit
def box_iou_forward(
    first,  # (M, 4)
    second,  # (N, 4)
    out,  # (M, N) float32
    M, N,
    UNION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    if WIDE:
        m = m.to(tl.int64)
    x1, y1, x2, y2, area = corners(first, m, m < M)
    X1, Y1, X2, Y2, AREA = corners(second, n, n < N)
    inter, union = overlap(
        x1[:, None], y1[:, None], x2[:, None], y2[:, None], area[:, None],
        X1[None, :], Y1[None, :], X2[None, :], Y2[None, :], AREA[None, :],
    )  # fmt: skip
    whole = union if UNION else AREA[None, :] + tl.where(area == area, 0.0, area)[:, None]
    share = tl.div_rn(inter, tl.where(whole == 0, 1.0, whole))
    tl.store(out + m[:, None] * N + n[None, :], share, mask=(m < M)[:, None] & (n < N)[None, :])


def _fake(first, second, over_union):
    return first.new_empty((first.shape[0], second.shape[0]), dtype=torch.float32)


def _launch(first, second, over_union):
    out = _fake(first, second, over_union)
    if out.numel() == 0:
        return out
    (m, n), (bm, bn) = out.shape, tiles.column_tile(*out.shape)
    launch.run(
        box_iou_forward, (triton.cdiv(m, bm), triton.cdiv(n, bn)), first.contiguous(), second.contiguous(), out, m, n,
        UNION=over_union, BM=bm, BN=bn, WIDE=launch.wide(out),
    )  # fmt: skip
    return out


# No gradient: the public function refuses boxes that want one.
box_iou = launch.define("box_iou(Tensor first, Tensor second, bool over_union) -> Tensor", _launch, _fake)
