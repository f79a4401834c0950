"""Kernel matrices of histograms for support vector machines: chi-squared and intersection.

    chi2[m, n] = sum over d of (a[m, d] - b[n, d])^2 / (a[m, d] + b[n, d]), 0 / 0 counting as 0
    intersection[m, n] = sum over d of min(a[m, d], b[n, d])

One program makes a tile of BM x BN, adding BD bins at a time in float32; there is no matrix product in either. Limit:
int64 offsets from 2^31 elements on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import launch, tiles


@triton.jit
def histogram_forward(
    a,  # (M, D)
    b,  # (N, D)
    y,  # (M, N) float32
    M, N, D, gamma,  # chi-squared only: y = exp(-gamma * chi2), or -chi2 if gamma is 0
    CHI2: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    pn = tl.program_id(1)
    if WIDE:
        pm = pm.to(tl.int64)
        pn = pn.to(tl.int64)
    m = pm * BM + tl.arange(0, BM)
    n = pn * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.float32)
    for d0 in range(0, D, BD):
        d = d0 + tl.arange(0, BD)
        u = tl.load(a + m[:, None] * D + d[None, :], mask=(m < M)[:, None] & (d < D)[None, :], other=0.0)
        v = tl.load(b + n[:, None] * D + d[None, :], mask=(n < N)[:, None] & (d < D)[None, :], other=0.0)
        u = u.to(tl.float32)[:, None, :]
        v = v.to(tl.float32)[None, :, :]
        if CHI2:
            total = u + v
            away = u - v
            acc += tl.sum(tl.where(total == 0.0, 0.0, away * away / tl.where(total == 0.0, 1.0, total)), 2)
        else:
            acc += tl.sum(tl.where(u < v, u, tl.where(u >= v, v, u + v)), 2)  # u + v is NaN where one of them is
    if CHI2:
        acc = -acc
        if gamma != 0.0:
            acc = tl.exp(gamma * acc)
    ok = (m < M)[:, None] & (n < N)[None, :]
    tl.store(y + m[:, None] * N + n[None, :], acc, mask=ok)


def _fake(a, b, gamma, chi2):
    return a.new_empty((a.shape[0], b.shape[0]), dtype=torch.float32)


def _launch(a, b, gamma, chi2):
    y = _fake(a, b, gamma, chi2)
    if y.numel() == 0:
        return y
    (m, d), n = a.shape, b.shape[0]
    bm, bn, bd = (tiles.power(m, 64), tiles.power(n, 64), 16) if launch.INTERPRETED else (32, 32, 4)
    launch.run(
        histogram_forward, (triton.cdiv(m, bm), triton.cdiv(n, bn)), a.contiguous(), b.contiguous(), y,
        m, n, d, float(gamma), CHI2=chi2, BM=bm, BN=bn, BD=bd, WIDE=launch.wide(a, b, y),
    )  # fmt: skip
    return y


matrix = launch.define("histogram_kernel(Tensor a, Tensor b, float gamma, bool chi2) -> Tensor", _launch, _fake)
