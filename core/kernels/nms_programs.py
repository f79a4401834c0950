"""The programs of `nms`: pairs of boxes, tiles of 64, lists of what is kept. There stands what they compute.

Jitted functions only, in a file of their own because both ways and Soft-NMS share the arithmetic of a pair.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .box_pairs import corners, overlap, product


@triton.jit
def _hits(boxes, groups, rows, rows_ok, columns, columns_ok, threshold):
    """Return whether the box at each of `rows` would suppress the one at each of `columns`, were it kept."""
    x1, y1, x2, y2, area = corners(boxes, rows.to(tl.int32), rows_ok)
    X1, Y1, X2, Y2, AREA = corners(boxes, columns.to(tl.int32), columns_ok)
    inter, union = overlap(
        x1[:, None], y1[:, None], x2[:, None], y2[:, None], area[:, None],
        X1[None, :], Y1[None, :], X2[None, :], Y2[None, :], AREA[None, :],
    )  # fmt: skip
    hit = (inter > threshold * union) & rows_ok[:, None] & columns_ok[None, :]
    if groups is not None:
        row_group = tl.load(groups + rows, mask=rows_ok, other=0)
        column_group = tl.load(groups + columns, mask=columns_ok, other=0)
        hit = hit & (row_group[:, None] == column_group[None, :])
    return hit


@triton.jit
def _resolve(hit, alive):
    """Return 1 for the boxes of a tile that stay, 0 for others; `hit` (T, T) of a box with later ones, `alive` (T,)."""
    keep = alive
    changed = 1
    while changed > 0:
        dead = tl.max(tl.where(hit & (keep > 0)[:, None], 1, 0), axis=0)
        now = tl.where(dead > 0, 0, alive)
        changed = tl.max(tl.where(now != keep, 1, 0), axis=0)
        keep = now
    return keep


@triton.jit
def _finish(kept, number, image, count, limit):
    """Write the count, and -1 behind the last kept box."""
    tl.store(number + image, tl.minimum(count, limit).to(tl.int64))
    for start in range(count, limit, 1024):
        i = start + tl.arange(0, 1024)
        tl.store(kept + i, tl.full((1024,), -1, tl.int64), mask=i < limit)


@triton.jit
def nms_greedy(
    boxes,  # (B, M, 4)
    order,  # (B, M) int64: the boxes of an image, best first
    groups,  # (B, M) class ids, or None
    counts,  # (B,) boxes of an image, or None: M
    kept,  # (B, limit) int64
    number,  # (B,) int64
    M, limit, threshold,
    T: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(0).to(tl.int64)
    boxes += image * M * 4
    order += image * M
    kept += image * limit
    n = M
    if counts is not None:
        n = tl.minimum(tl.load(counts + image), M).to(tl.int32)
    if groups is not None:
        groups += image * M
    i = tl.arange(0, T)
    count = 0
    start = 0
    while (start < n) & (count < limit):
        ok = start + i < n
        mine = tl.load(order + start + i, mask=ok, other=0)
        hit = tl.zeros((T, T), tl.int1)
        for first in range(0, count, T):
            known = first + i < count
            rows = tl.load(kept + first + i, mask=known, other=0)
            hit = hit | _hits(boxes, groups, rows, known, mine, ok, threshold)
        dead = tl.max(tl.where(hit, 1, 0), axis=0)
        later = i[:, None] < i[None, :]
        within = _hits(boxes, groups, mine, ok, mine, ok, threshold) & later
        keep = _resolve(within, tl.where(ok & (dead == 0), 1, 0))
        place = count + tl.cumsum(keep, 0) - 1
        tl.store(kept + place, mine, mask=(keep > 0) & (place < limit))
        tl.debug_barrier()  # other threads of the program read the list in the next round
        count += tl.sum(keep, axis=0)
        start += T
    _finish(kept, number, image, count, limit)


@triton.jit
def nms_matrix(
    boxes,  # (B, M, 4)
    order,  # (B, M) int64
    groups,  # (B, M), or None
    counts,  # (B,), or None
    words,  # (B, M / 64, M) int64: bit j of word (c, i) says that place i suppresses place 64 c + j, later than i
    M, threshold,
    T: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(2).to(tl.int64)
    boxes += image * M * 4
    order += image * M
    n = M
    if counts is not None:
        n = tl.minimum(tl.load(counts + image), M).to(tl.int32)
    if groups is not None:
        groups += image * M
    i = tl.program_id(0) * T + tl.arange(0, T)
    column = tl.program_id(1)
    j = column * T + tl.arange(0, T)
    if (tl.program_id(0) <= column) & (column * T < n):  # the rest is never read
        rows = tl.load(order + i, mask=i < n, other=0)
        columns = tl.load(order + j, mask=j < n, other=0)
        hit = _hits(boxes, groups, rows, i < n, columns, j < n, threshold) & (i[:, None] < j[None, :])
        bits = tl.where(hit, 1, 0).to(tl.int64) << tl.arange(0, T).to(tl.int64)[None, :]
        words += (image * tl.num_programs(1) + column) * M
        tl.store(words + i, tl.sum(bits, axis=1), mask=i < n)


@triton.jit
def nms_reduce(
    words,  # (B, W, M) int64
    order,  # (B, M) int64
    counts,  # (B,), or None
    places,  # (B, M) int32, free: the places of kept boxes
    kept,  # (B, limit) int64
    number,  # (B,) int64
    M, W, limit,
    T: tl.constexpr, R: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(0).to(tl.int64)
    words += image * W * M
    order += image * M
    places += image * M
    kept += image * limit
    n = M
    if counts is not None:
        n = tl.minimum(tl.load(counts + image), M).to(tl.int32)
    i = tl.arange(0, T)
    chunk = tl.arange(0, R)
    count = 0
    start = 0
    while (start < n) & (count < limit):
        ok = start + i < n
        dead = tl.zeros((R,), tl.int64)
        for first in range(0, count, R):
            known = first + chunk < count
            place = tl.load(places + first + chunk, mask=known, other=0)
            dead = dead | tl.load(words + place, mask=known, other=0)
        alive = ok & (((tl.reduce_or(dead, 0) >> i.to(tl.int64)) & 1) == 0)
        own = tl.load(words + start + i, mask=ok, other=0)
        hit = ((own[:, None] >> i.to(tl.int64)[None, :]) & 1) > 0
        keep = _resolve(hit, tl.where(alive, 1, 0))
        place = count + tl.cumsum(keep, 0) - 1
        mine = tl.load(order + start + i, mask=ok, other=0)
        tl.store(places + place, start + i, mask=keep > 0)
        tl.store(kept + place, mine, mask=(keep > 0) & (place < limit))
        tl.debug_barrier()
        count += tl.sum(keep, axis=0)
        start += T
        words += M
    _finish(kept, number, image, count, limit)


@triton.jit
def _first_best(scores, M, T: tl.constexpr):
    """Return the highest of scores (M,) and its place, the first of equal ones."""
    best = float("-inf")
    at = 0
    for start in range(0, M, T):
        i = start + tl.arange(0, T)
        top, where = tl.max(tl.load(scores + i, mask=i < M, other=float("-inf")), axis=0, return_indices=True)
        at = tl.where(top > best, start + where, at)
        best = tl.maximum(best, top)
    return best, at


@triton.jit
def soft_nms_forward(
    boxes,  # (M, 4)
    scores,  # (M,) float32, changed on the way: minus infinity where taken
    kept,  # (M,) int64
    values,  # (M,) float32: the score of each when it was taken
    number,  # (1,) int64
    M, threshold, sigma, least,
    GAUSSIAN: tl.constexpr, T: tl.constexpr,
):  # fmt: skip
    best, at = _first_best(scores, M, T)
    count = 0
    while (best >= least) & (count < M):  # taken boxes score minus infinity, which `least` may be, too
        tl.store(kept + count, at.to(tl.int64))
        tl.store(values + count, best)
        tl.store(scores + at, float("-inf"))
        tl.debug_barrier()
        count += 1
        x1, y1, x2, y2, area = corners(boxes, at, at >= 0)
        best = float("-inf")
        at = 0
        for start in range(0, M, T):
            i = start + tl.arange(0, T)
            s = tl.load(scores + i, mask=i < M, other=float("-inf"))
            X1, Y1, X2, Y2, AREA = corners(boxes, i, i < M)
            inter, union = overlap(x1, y1, x2, y2, area, X1, Y1, X2, Y2, AREA)
            iou = tl.where(union > 0, tl.div_rn(inter, tl.where(union > 0, union, 1.0)), 0.0)
            if GAUSSIAN:
                factor = tl.exp(-tl.div_rn(product(iou, iou), tl.zeros_like(iou) + sigma))
            else:
                factor = tl.where(iou > threshold, 1.0 - iou, 1.0)
            s *= tl.where(s == float("-inf"), 1.0, factor)
            tl.store(scores + i, s, mask=i < M)
            top, where = tl.max(s, axis=0, return_indices=True)
            at = tl.where(top > best, start + where, at)
            best = tl.maximum(best, top)
        tl.debug_barrier()
    _finish(kept, number, 0, count, M)
