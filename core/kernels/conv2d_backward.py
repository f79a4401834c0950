"""Convolution as implicit matrix multiplication: the gradients.

Of the input, as a gather: every input pixel collects the output pixels that read it.

    dx[n, h, w, c] = sum over r, s, k of dy[n, (h + PH - r*DH) / SH, (w + PW - s*DW) / SW, k] * w[k, r, s, c]

over the taps whose divisions leave no rest. Pixels are handled by phase (h mod SH, w mod SW): within a phase the same
taps count for all pixels, so a stride of 2 does a quarter of the work four times and multiplies no zeros.

Of the weight, as a sum over all output pixels in SPLITS parts and a second pass that adds them in order:

    dw[k, r, s, c] = sum over n, oh, ow of dy[n, oh, ow, k] * x[n, oh*SH - PH + r*DH, ow*SW - PW + s*DW, c]

Both are deterministic: no atomics, and the number of parts depends on the sizes and the row of the tile table alone.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

from . import launch, tiles


@triton.jit
def conv_input_gradient(
    dy,  # (N, OH, OW, K)
    w,  # (K, R*S*CG), CG = C / groups
    dx,  # (N, H, W, C)
    N, H, W, C, OH, OW, K, CG, KG,
    R: tl.constexpr, S: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PH: tl.constexpr, PW: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    STEP_H: tl.constexpr, STEP_W: tl.constexpr,  # every STEP-th tap reaches a phase: S / gcd(S, D)
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, EVEN: tl.constexpr,
    PRECISION: tl.constexpr, UPCAST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    tiles_n = tl.cdiv(CG, BN)
    pid = tl.program_id(0)
    group = tl.program_id(1)
    phase_h = tl.program_id(2) // SW
    phase_w = tl.program_id(2) % SW
    pm = pid // tiles_n
    pn = pid % tiles_n
    if WIDE:
        pm = pm.to(tl.int64)
    rows = (H - phase_h + SH - 1) // SH
    columns = (W - phase_w + SW - 1) // SW
    m = pm * BM + tl.arange(0, BM)
    inside = m < N * rows * columns
    rows = tl.maximum(rows, 1)  # an image narrower than the stride has empty phases: do not divide by 0
    columns = tl.maximum(columns, 1)
    ih = (m // columns) % rows * SH + phase_h
    iw = m % columns * SW + phase_w
    n = m // (columns * rows)
    r0 = phase_h * 0 + R
    for t in tl.static_range(STEP_H):
        r0 = tl.where((phase_h + PH - t * DH) % SH == 0, tl.minimum(r0, t), r0)
    s0 = phase_w * 0 + S
    for t in tl.static_range(STEP_W):
        s0 = tl.where((phase_w + PW - t * DW) % SW == 0, tl.minimum(s0, t), s0)
    taps_h = (R - r0 + STEP_H - 1) // STEP_H
    taps_w = (S - s0 + STEP_W - 1) // STEP_W
    c = pn * BN + tl.arange(0, BN)
    real = c < CG
    blocks = tl.cdiv(KG, BK)
    acc = tl.zeros((BM, BN), tl.float32)
    for i in range(taps_h * taps_w * blocks):
        tap = i // blocks
        k = (i % blocks) * BK + tl.arange(0, BK)
        r = r0 + tap // taps_w * STEP_H
        s = s0 + tap % taps_w * STEP_W
        th = ih + PH - r * DH
        tw = iw + PW - s * DW
        oh = th // SH
        ow = tw // SW
        ok = (inside & (th >= 0) & (oh < OH) & (tw >= 0) & (ow < OW))[:, None]
        there = real[None, :]
        if not EVEN:
            ok = ok & (k < KG)[None, :]
            there = there & (k < KG)[:, None]
        a = tl.load(dy + (((n * OH + oh) * OW + ow) * K + group * KG)[:, None] + k[None, :], mask=ok, other=0.0)
        row = (group * KG + k) * (R * S * CG) + (r * S + s) * CG
        b = tl.load(w + row[:, None] + c[None, :], mask=there, other=0.0)
        if UPCAST:
            a = a.to(tl.float32)
            b = b.to(tl.float32)
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
    out = dx + (((n * H + ih) * W + iw) * C + group * CG)[:, None] + c[None, :]
    tl.store(out, acc.to(dx.dtype.element_ty), mask=inside[:, None] & real[None, :])


@triton.jit
def conv_weight_gradient(
    dy,  # (N, OH, OW, K)
    x,  # (N, H, W, C)
    parts,  # (SPLITS, K, R*S*CG) float32, or dw itself when there is one part
    N, H, W, C, OH, OW, K, CG, KG, per,  # per: output pixels per part, a multiple of BP
    R: tl.constexpr, S: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PH: tl.constexpr, PW: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BP: tl.constexpr, ALIGNED: tl.constexpr,  # one tap per tile: CG % BN == 0
    PRECISION: tl.constexpr, UPCAST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    tiles_n = tl.cdiv(R * S * CG, BN)
    pid = tl.program_id(0)
    group = tl.program_id(1)
    part = tl.program_id(2)
    k = pid // tiles_n * BM + tl.arange(0, BM)
    j = pid % tiles_n * BN + tl.arange(0, BN)
    tap = j // CG
    c = j % CG
    if ALIGNED:
        tap = pid % tiles_n * BN // CG
        c = j - tap * CG
    dh = tap // S * DH
    dw = tap % S * DW
    start = part * per
    pixels = N * OH * OW
    if WIDE:
        start = start.to(tl.int64)
        pixels = pixels.to(tl.int64)
    stop = tl.minimum(start + per, pixels)
    acc = tl.zeros((BM, BN), tl.float32)
    for p0 in range(start, stop, BP):
        p = p0 + tl.arange(0, BP)
        inside = p < stop
        ih = (p // OW) % OH * SH - PH
        iw = p % OW * SW - PW
        base = ((p // (OW * OH) * H + ih) * W + iw) * C + group * CG
        if ALIGNED:
            ok = (inside & (ih + dh >= 0) & (ih + dh < H) & (iw + dw >= 0) & (iw + dw < W))[:, None]
            offset = (base + (dh * W + dw) * C)[:, None] + c[None, :]
        else:
            h = ih[:, None] + dh[None, :]
            v = iw[:, None] + dw[None, :]
            ok = inside[:, None] & (h >= 0) & (h < H) & (v >= 0) & (v < W) & (j < R * S * CG)[None, :]
            offset = base[:, None] + ((dh * W + dw) * C + c)[None, :]
        a = tl.load(
            dy + (p * K + group * KG)[None, :] + k[:, None], mask=inside[None, :] & (k < KG)[:, None], other=0.0
        )
        b = tl.load(x + offset, mask=ok, other=0.0)
        if UPCAST:
            a = a.to(tl.float32)
            b = b.to(tl.float32)
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
    out = parts + (part * K + group * KG + k)[:, None] * (R * S * CG) + j[None, :]
    tl.store(out, acc.to(parts.dtype.element_ty), mask=(k < KG)[:, None] & (j < R * S * CG)[None, :])


@triton.jit
def column_sums(
    x,  # (M, C)
    parts,  # (SPLITS, C) float32, or the result itself when there is one part
    M, C, per,  # per: rows per part, a multiple of BM
    BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    part = tl.program_id(1)
    start = part * per
    if WIDE:
        start = start.to(tl.int64)
    stop = tl.minimum(start + per, M)
    acc = tl.zeros((BM, BC), tl.float32)
    for m0 in range(start, stop, BM):
        m = m0 + tl.arange(0, BM)
        ok = (m < stop)[:, None] & (c < C)[None, :]
        acc += tl.load(x + m[:, None] * C + c[None, :], mask=ok, other=0.0).to(tl.float32)
    tl.store(parts + part * C + c, tl.sum(acc, 0).to(parts.dtype.element_ty), mask=c < C)


def _fake_input(dy, weight, size, stride, padding, dilation, groups, precision):
    return launch.empty_map(dy, (dy.shape[0], weight.shape[1] * groups, *size))


def _launch_input(dy, weight, size, stride, padding, dilation, groups, precision):
    dx = _fake_input(dy, weight, size, stride, padding, dilation, groups, precision)
    if dx.numel() == 0 or dy.numel() == 0:
        return dx.zero_()
    dy, weight = launch.feature_map(dy), launch.feature_map(weight)
    (n, c, h, w), (k, cg, r, s), (oh, ow) = dx.shape, weight.shape, dy.shape[2:]
    phases = stride[0] * stride[1]
    pixels = n * triton.cdiv(h, stride[0]) * triton.cdiv(w, stride[1])
    t = tiles.tile(dy, pixels, cg, k // groups, precision, phases, gather=(k // groups) % 8 > 0)
    grid = (triton.cdiv(pixels, t.BM) * triton.cdiv(cg, t.BN), groups, phases)
    launch.run(
        conv_input_gradient, grid, dy, weight, dx,
        n, h, w, c, oh, ow, k, cg, k // groups,
        R=r, S=s, SH=stride[0], SW=stride[1], PH=padding[0], PW=padding[1], DH=dilation[0], DW=dilation[1],
        STEP_H=stride[0] // math.gcd(stride[0], dilation[0]), STEP_W=stride[1] // math.gcd(stride[1], dilation[1]),
        BM=t.BM, BN=t.BN, BK=t.BK, EVEN=(k // groups) % t.BK == 0,
        PRECISION=precision, UPCAST=launch.upcast(dy), WIDE=launch.wide(dx, dy), num_stages=t.stages,
    )  # fmt: skip
    return dx


def _fake_weight(dy, x, size, stride, padding, dilation, groups, precision):
    return launch.empty_map(x, (dy.shape[1], x.shape[1] // groups, *size))


def _launch_weight(dy, x, size, stride, padding, dilation, groups, precision):
    dw = _fake_weight(dy, x, size, stride, padding, dilation, groups, precision)
    if dw.numel() == 0 or dy.numel() == 0:
        return dw.zero_()
    dy, x = launch.feature_map(dy), launch.feature_map(x)
    (n, c, h, w), (k, cg, r, s), (oh, ow) = x.shape, dw.shape, dy.shape[2:]
    t = tiles.weight_tile(x, k // groups, r * s * cg, n * oh * ow, precision)
    programs = triton.cdiv(k // groups, t.BM) * triton.cdiv(r * s * cg, t.BN)
    splits, per = tiles.split(x, n * oh * ow, t.BK, programs * groups, dw.numel())
    parts = dw if splits == 1 else torch.empty((splits, dw.numel()), dtype=torch.float32, device=x.device)
    launch.run(
        conv_weight_gradient, (programs, groups, splits), dy, x, parts,
        n, h, w, c, oh, ow, k, cg, k // groups, per,
        R=r, S=s, SH=stride[0], SW=stride[1], PH=padding[0], PW=padding[1], DH=dilation[0], DW=dilation[1],
        BM=t.BM, BN=t.BN, BP=t.BK, ALIGNED=cg % t.BN == 0,
        PRECISION=precision, UPCAST=launch.upcast(x), WIDE=launch.wide(x, dy), num_stages=t.stages,
    )  # fmt: skip
    if splits > 1:
        tiles.add_parts(parts, dw)
    return dw


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


WINDOW = "int[2] size, int[2] stride, int[2] padding, int[2] dilation, int groups, str precision"
launch.define(f"conv2d_input_gradient(Tensor dy, Tensor weight, {WINDOW}) -> Tensor", _launch_input, _fake_input)
launch.define(f"conv2d_weight_gradient(Tensor dy, Tensor x, {WINDOW}) -> Tensor", _launch_weight, _fake_weight)
launch.define("bias_gradient(Tensor dy) -> Tensor", _launch_bias, _fake_bias)
