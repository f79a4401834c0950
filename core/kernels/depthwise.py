"""Depthwise convolution: every filter reads one channel. Forward and gradients, in one, two or three dimensions.

    y[n, o, k] = sum over taps t of x[n, o * stride - padding + t * dilation, k // MULT] * w[k, t]

with MULT = K / C filters per channel. There is no matrix product in it: as implicit GEMM one of 16 columns would be
used, so the taps are summed with plain multiply-adds in float32, over tiles of BM pixels x BC channels. The work is
bound by memory, and channels_last makes every access a row of channels.

Gradients are gathers and fixed-order sums, deterministic like those of conv2d_backward.py. Limit: int64 offsets from
2^31 elements of x or y on.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

from . import geometry, launch, tiles
from .epilogue import finish
from .geometry import unravel


@triton.jit
def depthwise_forward(
    x,  # (N, D, H, W, C)
    w,  # (K, T*R*S)
    bias, scale, shift,  # (K,) each, or None
    residual,  # (N, OD, OH, OW, K), or None
    y,  # (N, OD, OH, OW, K)
    N, D, H, W, C, OD, OH, OW, K, slope,
    T: tl.constexpr, R: tl.constexpr, S: tl.constexpr, ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PT: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, DT: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    MULT: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, ACTIVATION: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
        N = tl.cast(N, tl.int64)
    m = pm * BM + tl.arange(0, BM)
    k = tl.program_id(1) * BC + tl.arange(0, BC)
    inside = m < N * OD * OH * OW
    real = k < K
    n, od, oh, ow = unravel(m, OD, OH, OW)
    acc = tl.zeros((BM, BC), tl.float32)
    for tap in range(T * R * S):
        d = od * ST - PT + tap // (R * S) * DT if T > 1 else od * ST - PT
        h = oh * SH - PH + tap // S % R * DH
        v = ow * SW - PW + tap % S * DW
        ok = inside & (d >= 0) & (d < D) & (h >= 0) & (h < H) & (v >= 0) & (v < W)
        source = x + (((n * D + d) * H + h) * W + v)[:, None] * C + (k // MULT)[None, :]
        a = tl.load(source, mask=ok[:, None] & real[None, :], other=0.0).to(tl.float32)
        b = tl.load(w + k * (T * R * S) + tap, mask=real, other=0.0).to(tl.float32)
        acc += a * b[None, :]
    offset = m[:, None] * K + k[None, :]
    acc = finish(acc, bias, scale, shift, residual, offset, k, inside, real, slope, ACTIVATION)
    tl.store(y + offset, acc.to(y.dtype.element_ty), mask=inside[:, None] & real[None, :])


@triton.jit
def depthwise_input_gradient(
    dy,  # (N, OD, OH, OW, K)
    w,  # (K, T*R*S)
    bias, scale, shift,  # (C,) each, or None: for the transposed convolution
    residual,  # (N, D, H, W, C), or None
    dx,  # (N, D, H, W, C)
    N, D, H, W, C, OD, OH, OW, K, slope,
    T: tl.constexpr, R: tl.constexpr, S: tl.constexpr, ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PT: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, DT: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    MULT: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, ACTIVATION: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
        N = tl.cast(N, tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    inside = m < N * D * H * W
    real = c < C
    n, d, h, v = unravel(m, D, H, W)
    acc = tl.zeros((BM, BC), tl.float32)
    for tap in range(T * R * S):
        # The output pixel that reads each input pixel through this tap, where the division leaves no rest.
        td = d + PT - tap // (R * S) * DT if T > 1 else d + PT
        th = h + PH - tap // S % R * DH
        tw = v + PW - tap % S * DW
        od = td // ST
        oh = th // SH
        ow = tw // SW
        hit = inside & (td >= 0) & (td % ST == 0) & (od < OD) & (th >= 0) & (th % SH == 0) & (oh < OH)
        hit = hit & (tw >= 0) & (tw % SW == 0) & (ow < OW)
        for j in range(MULT):
            k = c * MULT + j
            source = dy + (((n * OD + od) * OH + oh) * OW + ow)[:, None] * K + k[None, :]
            a = tl.load(source, mask=hit[:, None] & real[None, :], other=0.0).to(tl.float32)
            b = tl.load(w + k * (T * R * S) + tap, mask=real, other=0.0).to(tl.float32)
            acc += a * b[None, :]
    offset = m[:, None] * C + c[None, :]
    acc = finish(acc, bias, scale, shift, residual, offset, c, inside, real, slope, ACTIVATION)
    tl.store(dx + offset, acc.to(dx.dtype.element_ty), mask=inside[:, None] & real[None, :])


@triton.jit
def depthwise_weight_gradient(
    dy,  # (N, OD, OH, OW, K)
    x,  # (N, D, H, W, C)
    parts,  # (SPLITS, K, T*R*S) float32, or dw itself when there is one part
    N, D, H, W, C, OD, OH, OW, K, per,  # per: output pixels per part, a multiple of BM
    T: tl.constexpr, R: tl.constexpr, S: tl.constexpr, ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PT: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, DT: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    MULT: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    k = tl.program_id(0) * BC + tl.arange(0, BC)
    tap = tl.program_id(1)
    part = tl.program_id(2)
    if WIDE:
        part = part.to(tl.int64)
        N = tl.cast(N, tl.int64)
    start = part * per
    stop = start + tl.minimum(per, N * OD * OH * OW - start)
    real = (k < K)[None, :]
    acc = tl.zeros((BM, BC), tl.float32)
    for m0 in range(start, stop, BM):
        m = m0 + tl.arange(0, BM)
        n, d, h, v = unravel(m, OD, OH, OW)
        d = d * ST - PT + tap // (R * S) * DT if T > 1 else d * ST - PT
        h = h * SH - PH + tap // S % R * DH
        v = v * SW - PW + tap % S * DW
        ok = (m < stop) & (d >= 0) & (d < D) & (h >= 0) & (h < H) & (v >= 0) & (v < W)
        source = x + (((n * D + d) * H + h) * W + v)[:, None] * C + (k // MULT)[None, :]
        a = tl.load(source, mask=ok[:, None] & real, other=0.0).to(tl.float32)
        b = tl.load(dy + m[:, None] * K + k[None, :], mask=ok[:, None] & real, other=0.0).to(tl.float32)
        acc += a * b
    out = parts + (part * K + k) * (T * R * S) + tap
    tl.store(out, tl.sum(acc, 0).to(parts.dtype.element_ty), mask=k < K)


def forward(x, weight, after, stride, padding, dilation, groups, precision):
    """Launch a depthwise convolution with the `Epilogue` after it."""
    y = launch.empty_map(x, geometry.output_shape(x, weight, stride, padding, dilation))
    if y.numel() == 0:
        return y
    x, weight = launch.feature_map(x), weight.contiguous()
    (n, c), k = x.shape[:2], y.shape[1]
    rows = y.numel() // k
    bm, bc = tiles.small_tile(rows, k)
    launch.run(
        depthwise_forward, (triton.cdiv(rows, bm), triton.cdiv(k, bc)), x, weight, *after.tensors(), y,
        n, *geometry.volume(x.shape[2:]), c, *geometry.volume(y.shape[2:]), k, after.slope,
        **geometry.steps(weight.shape[2:], stride, padding, dilation), MULT=k // c, BM=bm, BC=bc,
        ACTIVATION=after.activation, WIDE=launch.wide(x, y),
    )  # fmt: skip
    return y


def transpose(dy, weight, size, after, stride, padding, dilation, groups, precision):
    """Launch the gradient of the input, with the `Epilogue` of a transposed convolution after it."""
    dx = launch.empty_map(dy, (dy.shape[0], groups, *size))
    if dx.numel() == 0:
        return dx
    dy, weight = launch.feature_map(dy), weight.contiguous()
    (n, k), c = dy.shape[:2], groups
    rows = dx.numel() // c
    bm, bc = tiles.small_tile(rows, c)
    launch.run(
        depthwise_input_gradient, (triton.cdiv(rows, bm), triton.cdiv(c, bc)), dy, weight, *after.tensors(), dx,
        n, *geometry.volume(size), c, *geometry.volume(dy.shape[2:]), k, after.slope,
        **geometry.steps(weight.shape[2:], stride, padding, dilation), MULT=k // c, BM=bm, BC=bc,
        ACTIVATION=after.activation, WIDE=launch.wide(dx, dy),
    )  # fmt: skip
    return dx


def weight_gradient(dy, x, size, stride, padding, dilation, groups, precision):
    """Launch the gradient of the weight (K, 1, ...)."""
    dw = dy.new_empty((dy.shape[1], 1, *size))
    if dw.numel() == 0 or dy.numel() == 0:
        return dw.zero_()
    dy, x = launch.feature_map(dy), launch.feature_map(x)
    (n, c), k = x.shape[:2], dy.shape[1]
    rows, taps = dy.numel() // k, math.prod(size)
    bm, bc = tiles.small_tile(rows, k)
    splits, per = tiles.split(x, rows, bm, triton.cdiv(k, bc) * taps, dw.numel())
    parts = dw if splits == 1 else torch.empty((splits, dw.numel()), dtype=torch.float32, device=x.device)
    launch.run(
        depthwise_weight_gradient, (triton.cdiv(k, bc), taps, splits), dy, x, parts,
        n, *geometry.volume(x.shape[2:]), c, *geometry.volume(dy.shape[2:]), k, per,
        **geometry.steps(size, stride, padding, dilation), MULT=k // c, BM=bm, BC=bc, WIDE=launch.wide(x, dy),
    )  # fmt: skip
    if splits > 1:
        tiles.add_parts(parts, dw)
    return dw
