"""Nearest centroid and the sums of each cluster: the two halves of Lloyd's k-means, and visual words.

    index[m] = argmin over k of |c[k]|^2 - 2 x[m].c[k],   distance[m] = max(0, that + |x[m]|^2)

One program keeps BM points and walks over all centroids, BN at a time, so that no M x K matrix is ever made; ties go to
the lowest index. The K_BEST nearest are kept as a list of 16 in which a block's minima replace the farthest.

    sum[k] = sum of x[m] with index[m] = k

is taken over the points sorted by index, one program a cluster, in their order: deterministic, no atomics. Limits: D
of any size; int64 offsets from 2^31 elements on; a point that holds NaN gets index 0 and distance NaN, and centroids
must be finite.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import launch, tiles


@triton.jit
def _scores(
    x, row, inside, centroids, norms, k, D, K,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr, UPCAST: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    """Return |c|^2 - 2 x.c for BM points and the BN centroids k; infinity where there is no centroid."""
    column = k.to(tl.int64) if WIDE else k
    acc = tl.zeros((BM, BN), tl.float32)
    for d0 in range(0, D, BK):
        d = d0 + tl.arange(0, BK)
        a = tl.load(x + row[:, None] * D + d[None, :], mask=inside[:, None] & (d < D)[None, :], other=0.0)
        b = tl.load(centroids + column[None, :] * D + d[:, None], mask=(k < K)[None, :] & (d < D)[:, None], other=0.0)
        if UPCAST:
            a = a.to(tl.float32)
            b = b.to(tl.float32)
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
    norm = tl.load(norms + k, mask=k < K, other=float("inf"))
    score = norm[None, :] - 2.0 * acc
    return tl.where(score == score, score, float("inf"))  # a point with NaN is near to nothing


@triton.jit
def nearest_forward(
    x,  # (M, D)
    centroids,  # (K, D)
    norms,  # (K,) float32: |c|^2
    squares,  # (M,) float32: |x|^2
    indices,  # (M,) int64
    distances,  # (M,) float32
    M, D, K,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr, UPCAST: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    if WIDE:
        pid = pid.to(tl.int64)
    m = pid * BM + tl.arange(0, BM)
    inside = m < M
    best = tl.full((BM,), float("inf"), tl.float32)
    place = tl.zeros((BM,), tl.int32)
    for k0 in range(0, K, BN):
        k = k0 + tl.arange(0, BN)
        score = _scores(x, m, inside, centroids, norms, k, D, K, BM, BN, BK, PRECISION, UPCAST, WIDE)
        least = tl.min(score, 1)
        first = tl.min(tl.where(score == least[:, None], k[None, :], K), 1)
        place = tl.where(least < best, first, place)
        best = tl.where(least < best, least, best)
    square = tl.load(squares + m, mask=inside, other=0.0)
    total = best + square
    tl.store(indices + m, place.to(tl.int64), mask=inside)
    tl.store(distances + m, tl.where(square != square, square, tl.where(total < 0, 0.0, total)), mask=inside)


@triton.jit
def nearest_several(
    x,  # (M, D)
    centroids,  # (K, D)
    norms,  # (K,) float32
    indices,  # (M, 16) int64, in no order
    scores,  # (M, 16) float32: |c|^2 - 2 x.c, infinity where fewer are asked for
    M, D, K, wanted,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr, UPCAST: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    if WIDE:
        pid = pid.to(tl.int64)
    m = pid * BM + tl.arange(0, BM)
    inside = m < M
    slot = tl.arange(0, 16)[None, :]
    # Slots beyond those wanted hold minus infinity while we search, so that they are never the farthest.
    kept = tl.where(slot < wanted, float("inf"), -float("inf")) + tl.zeros((BM, 16), tl.float32)
    places = slot + tl.zeros((BM, 16), tl.int32)
    for k0 in range(0, K, BN):
        k = k0 + tl.arange(0, BN)
        score = _scores(x, m, inside, centroids, norms, k, D, K, BM, BN, BK, PRECISION, UPCAST, WIDE)
        for _ in range(wanted):
            least = tl.min(score, 1)
            first = tl.min(tl.where(score == least[:, None], k[None, :], K), 1)
            farthest = tl.max(kept, 1)
            where = tl.min(tl.where(kept == farthest[:, None], slot, 16), 1)
            into = (slot == where[:, None]) & (least < farthest)[:, None]
            kept = tl.where(into, least[:, None], kept)
            places = tl.where(into, first[:, None], places)
            score = tl.where(k[None, :] == first[:, None], float("inf"), score)
    kept = tl.where(slot < wanted, kept, float("inf"))
    tl.store(indices + m[:, None] * 16 + slot, places.to(tl.int64), mask=inside[:, None])
    tl.store(scores + m[:, None] * 16 + slot, kept, mask=inside[:, None])


@triton.jit
def cluster_sums(
    x,  # (M, D)
    order,  # (M,) int64: points sorted by cluster
    starts,  # (K + 1,) int64: where each cluster's points begin in `order`
    sums,  # (K, D) float32
    D,
    BM: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    k = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * BD + tl.arange(0, BD)
    start = tl.load(starts + k)
    stop = tl.load(starts + k + 1)
    acc = tl.zeros((BM, BD), tl.float32)
    for i0 in range(start, stop, BM):
        i = i0 + tl.arange(0, BM)
        m = tl.load(order + i, mask=i < stop, other=0)
        ok = (i < stop)[:, None] & (d < D)[None, :]
        acc += tl.load(x + m[:, None] * D + d[None, :], mask=ok, other=0.0).to(tl.float32)
    tl.store(sums + k * D + d, tl.sum(acc, 0), mask=d < D)


def _squares(x):
    return x.float().square().sum(1)


def _search(x, centroids, precision, wanted=1):
    """Return the grid, and the tile of points x centroids x coordinates with the other constants."""
    d = x.shape[1]
    if launch.INTERPRETED:
        bm, bn, bk = tiles.power(x.shape[0], 1024), 64, tiles.power(d, 128)
    else:
        exact = x.dtype == torch.float32 and precision == "ieee"
        bm, bn, bk = 64, 32 if exact or wanted > 1 else 64, 16 if exact else min(32, tiles.power(d, 64))
    wide = launch.wide(x, centroids, 16 * x.shape[0])  # `nearest_several` answers with lists of 16
    constants = {"PRECISION": precision, "UPCAST": launch.upcast(x), "WIDE": wide, "num_stages": 2}
    return (triton.cdiv(x.shape[0], bm),), {"BM": bm, "BN": bn, "BK": bk, **constants}


def _fake_nearest(x, centroids, precision):
    return x.new_empty(x.shape[0], dtype=torch.int64), x.new_empty(x.shape[0], dtype=torch.float32)


def _nearest(x, centroids, precision):
    indices, distances = _fake_nearest(x, centroids, precision)
    if indices.numel() == 0:
        return indices, distances
    x, centroids = x.contiguous(), centroids.contiguous()
    grid, tile = _search(x, centroids, precision)
    launch.run(
        nearest_forward, grid, x, centroids, _squares(centroids), _squares(x), indices, distances,
        *x.shape, centroids.shape[0], **tile,
    )  # fmt: skip
    return indices, distances


def _fake_several(x, centroids, wanted, precision):
    shape = (x.shape[0], wanted)
    return x.new_empty(shape, dtype=torch.int64), x.new_empty(shape, dtype=torch.float32)


def _several(x, centroids, wanted, precision):
    m = x.shape[0]
    if m == 0:
        return _fake_several(x, centroids, wanted, precision)
    x, centroids = x.contiguous(), centroids.contiguous()
    indices = torch.empty((m, 16), dtype=torch.int64, device=x.device)
    scores = torch.empty((m, 16), dtype=torch.float32, device=x.device)
    grid, tile = _search(x, centroids, precision, wanted)
    launch.run(
        nearest_several, grid, x, centroids, _squares(centroids), indices, scores,
        *x.shape, centroids.shape[0], wanted, **tile,
    )  # fmt: skip
    indices, by_index = indices.sort(1)  # so that equal distances come in the order of their indices
    scores, nearest = scores.gather(1, by_index).sort(dim=1, stable=True)
    distances = (scores[:, :wanted] + _squares(x)[:, None]).clamp(min=0)
    return indices.gather(1, nearest)[:, :wanted].contiguous(), distances


def _fake_sums(x, indices, clusters):
    return x.new_empty((clusters, x.shape[1]), dtype=torch.float32), indices.new_empty(clusters, dtype=torch.int64)


def _sums(x, indices, clusters):
    sums, counts = _fake_sums(x, indices, clusters)
    if x.numel() == 0:
        return sums.zero_(), counts.zero_()
    labels, order = indices.sort(stable=True)
    starts = torch.searchsorted(labels, torch.arange(clusters + 1, device=x.device))
    d = x.shape[1]
    bm, bd = tiles.small_tile(64, d)
    launch.run(
        cluster_sums, (clusters, triton.cdiv(d, bd)), x.contiguous(), order, starts, sums, d, BM=bm, BD=bd
    )  # fmt: skip
    return sums, starts.diff()


nearest = launch.define(
    "nearest_centroid(Tensor x, Tensor centroids, str precision) -> (Tensor, Tensor)", _nearest, _fake_nearest
)
several = launch.define(
    "nearest_centroids(Tensor x, Tensor centroids, int wanted, str precision) -> (Tensor, Tensor)",
    _several,
    _fake_several,
)
sums = launch.define("centroid_sums(Tensor x, Tensor indices, int clusters) -> (Tensor, Tensor)", _sums, _fake_sums)
