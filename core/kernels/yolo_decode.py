"""From an anchor-free head's maps to boxes: one pass over each level, into memory of fixed size.

    probability = sigmoid(class logit)
    distance    = stride sum_b b softmax(distance logits)_b          left, top, right, bottom
    box         = (cx - left, cy - top, cx + right, cy + bottom),    cx = (x + 1/2) stride, cy = (y + 1/2) stride

Every cell of every level has its row in the outputs. A cell answers with its best class (of equal ones the first), or
with each class (MULTI). Below the threshold, and for NaN, the score is -1 and the box 0; distances are read only where
a class is found. One program is BM cells of one level. Limits: forward only; int64 offsets from 2^31 elements on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import launch, tiles


@triton.jit
def yolo_decode_forward(
    distances,  # (N, H, W, 4 * BINS)
    classes,  # (N, H, W, C)
    boxes,  # (N, A, 4) float32
    scores,  # (N, A, C) float32 if MULTI, else (N, A, 1)
    class_ids,  # (N, A) int64, not written if MULTI
    N, H, W, C, A, first, stride, confidence,  # first: row of the level's first cell
    BINS: tl.constexpr, MULTI: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, BB: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
        H = tl.cast(H, tl.int64)
    m = pm * BM + tl.arange(0, BM)
    ok = m < H * W * N
    cell = m % (H * W)
    row = m // (H * W) * A + first + cell
    best = tl.full((BM,), -1.0, tl.float32)
    label = tl.zeros((BM,), tl.int32)
    for start in range(0, C, BC):
        c = start + tl.arange(0, BC)
        inside = ok[:, None] & (c < C)[None, :]
        logit = tl.load(classes + m[:, None] * C + c[None, :], mask=inside, other=0.0).to(tl.float32)
        p = 1.0 / (1.0 + tl.exp(-logit))
        if MULTI:
            p = tl.where(inside & (p >= confidence), p, -1.0)
            tl.store(scores + row[:, None] * C + c[None, :], p, mask=inside)
        else:
            p = tl.where(p == p, p, 2.0)  # NaN is the largest to torch, and reaches no threshold
            p = tl.where(inside, p, -1.0)
        top, place = tl.max(p, axis=1, return_indices=True)
        label = tl.where(top > best, start + place, label)
        best = tl.maximum(best, top)
    found = ok & (best >= confidence) & (best <= 1.0)
    if not MULTI:
        tl.store(scores + row, tl.where(found, best, -1.0), mask=ok)
        tl.store(class_ids + row, label.to(tl.int64), mask=ok)
    b = tl.arange(0, BB)
    read = found[:, None] & (b < BINS)[None, :]
    for side in tl.static_range(4):
        logit = tl.load(distances + (m * 4 + side)[:, None] * BINS + b[None, :], mask=read, other=0.0).to(tl.float32)
        logit = tl.where((b < BINS)[None, :], logit, float("-inf"))
        e = tl.exp(logit - tl.max(logit, axis=1)[:, None])
        distance = tl.sum(e * b.to(tl.float32)[None, :], axis=1) / tl.sum(e, axis=1) * stride
        centre = ((cell % W if side % 2 == 0 else cell // W).to(tl.float32) + 0.5) * stride
        edge = centre - distance if side < 2 else centre + distance
        tl.store(boxes + row * 4 + side, tl.where(found, edge, 0.0), mask=ok)


def _fake(distances, classes, strides, confidence, multi_label):
    images, width = classes[0].shape[:2]
    cells = sum(level.shape[2] * level.shape[3] for level in classes)
    like = classes[0]
    return (
        like.new_empty((images, cells, 4), dtype=torch.float32),
        like.new_empty((images, cells, width if multi_label else 1), dtype=torch.float32),
        like.new_empty((images, 0 if multi_label else cells), dtype=torch.int64),
    )


def _launch(distances, classes, strides, confidence, multi_label):
    boxes, scores, class_ids = _fake(distances, classes, strides, confidence, multi_label)
    first = 0
    for sides, level, stride in zip(distances, classes, strides, strict=True):
        n, c, h, w = level.shape
        if level.numel() == 0:
            continue
        sides, level = launch.feature_map(sides), launch.feature_map(level)
        bins = sides.shape[1] // 4
        bm = tiles.column_tile(n * h * w, 64)[0]
        launch.run(
            yolo_decode_forward, (triton.cdiv(n * h * w, bm),), sides, level, boxes, scores, class_ids,
            n, h, w, c, boxes.shape[1], first, float(stride), confidence,
            BINS=bins, MULTI=multi_label, BM=bm, BC=tiles.power(c, 64), BB=triton.next_power_of_2(bins),
            WIDE=launch.wide(sides, level, boxes, scores),
        )  # fmt: skip
        first += h * w
    return boxes, scores, class_ids


# No gradient: the public function refuses maps that want one.
yolo_decode = launch.define(
    "yolo_decode(Tensor[] distances, Tensor[] classes, int[] strides, float confidence, bool multi_label)"
    " -> (Tensor, Tensor, Tensor)",
    _launch,
    _fake,
)
