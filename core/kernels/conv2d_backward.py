"""Convolution as implicit matrix multiplication: the gradients, the first of which is the transposed convolution.

Of the input, as a gather: every input pixel collects the output pixels that read it. In one dimension

    dx[n, i, c] = sum over t, k of dy[n, (i + padding - t * dilation) / stride, k] * w[k, t, c]

over the taps whose divisions leave no rest. Pixels are handled by phase (i mod stride): within a phase the same taps
count for all pixels, so a stride of 2 in two dimensions does a quarter of the work four times and multiplies no zeros.

Of the weight, as a sum over all output pixels in SPLITS parts and a second pass that adds them in order:

    dw[k, t, c] = sum over n, o of dy[n, o, k] * x[n, o * stride - padding + t * dilation, c]

Both are deterministic: no atomics, and the number of parts depends on the sizes and the row of the tile table alone.
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
def first_tap(phase, P: tl.constexpr, S: tl.constexpr, D: tl.constexpr, TAPS: tl.constexpr, STEP: tl.constexpr):
    """Return the first tap that reaches the pixels of a phase, TAPS if none does; from it on every STEP-th reaches."""
    found = phase * 0 + TAPS
    for t in tl.static_range(STEP):
        found = tl.where((phase + P - t * D) % S == 0, tl.minimum(found, t), found)
    return found


@triton.jit
def conv_input_gradient(
    dy,  # (N, OD, OH, OW, K)
    w,  # (K, T*R*S*CG), CG = C / groups
    bias, scale, shift,  # (C,) each, or None: for the transposed convolution
    residual,  # (N, D, H, W, C), or None
    dx,  # (N, D, H, W, C)
    N, D, H, W, C, OD, OH, OW, K, CG, KG, slope,
    T: tl.constexpr, R: tl.constexpr, S: tl.constexpr, ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PT: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, DT: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    STEP_T: tl.constexpr, STEP_H: tl.constexpr, STEP_W: tl.constexpr,  # stride / gcd(stride, dilation)
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, EVEN: tl.constexpr, ACTIVATION: tl.constexpr,
    PRECISION: tl.constexpr, UPCAST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    tiles_n = tl.cdiv(CG, BN)
    group = tl.program_id(1)
    phase_w = tl.program_id(2) % SW
    phase_h = tl.program_id(2) // SW % SH
    phase_d = tl.program_id(2) // (SW * SH) if ST > 1 else tl.program_id(2) * 0
    pm = tl.program_id(0) // tiles_n
    pn = tl.program_id(0) % tiles_n
    if WIDE:
        pm = pm.to(tl.int64)
        N = tl.cast(N, tl.int64)

    # The pixels of this phase: an image narrower than the stride has empty phases, by whose size we must not divide.
    planes = (D - phase_d + ST - 1) // ST if ST > 1 else D
    rows = (H - phase_h + SH - 1) // SH
    columns = (W - phase_w + SW - 1) // SW
    m = pm * BM + tl.arange(0, BM)
    inside = m < N * planes * rows * columns
    n, d, h, v = unravel(m, tl.maximum(planes, 1) if ST > 1 else D, tl.maximum(rows, 1), tl.maximum(columns, 1))
    d = d * ST + phase_d if ST > 1 else d
    ih = h * SH + phase_h
    iw = v * SW + phase_w

    # The taps that reach them.
    t0 = first_tap(phase_d, PT, ST, DT, T, STEP_T)
    r0 = first_tap(phase_h, PH, SH, DH, R, STEP_H)
    s0 = first_tap(phase_w, PW, SW, DW, S, STEP_W)
    taps_h = (R - r0 + STEP_H - 1) // STEP_H
    taps_w = (S - s0 + STEP_W - 1) // STEP_W
    taps = taps_h * taps_w
    if T > 1:
        taps = taps * ((T - t0 + STEP_T - 1) // STEP_T)
    elif ST > 1:
        taps = tl.where(t0 < T, taps, 0)
    taps_h = tl.maximum(taps_h, 1)  # a phase may have no taps: nothing is multiplied then, nor may it be divided by 0
    taps_w = tl.maximum(taps_w, 1)

    c = pn * BN + tl.arange(0, BN)
    real = c < CG
    blocks = tl.cdiv(KG, BK)
    acc = tl.zeros((BM, BN), tl.float32)
    for i in range(taps * blocks):
        tap = i // blocks
        k = (i % blocks) * BK + tl.arange(0, BK)
        t = t0 + tap // (taps_w * taps_h) * STEP_T if T > 1 else 0
        r = r0 + tap // taps_w % taps_h * STEP_H if T > 1 else r0 + tap // taps_w * STEP_H
        s = s0 + tap % taps_w * STEP_W
        # Which output pixel reads each input pixel through this tap, and whether there is one.
        td = d + PT - t * DT
        th = ih + PH - r * DH
        tw = iw + PW - s * DW
        od = td // ST
        oh = th // SH
        ow = tw // SW
        ok = inside & (td >= 0) & (od < OD) & (th >= 0) & (oh < OH) & (tw >= 0) & (ow < OW)
        ok = ok[:, None]
        there = real[None, :]
        if not EVEN:
            ok = ok & (k < KG)[None, :]
            there = there & (k < KG)[:, None]
        source = (((n * OD + od) * OH + oh) * OW + ow) * K + group * KG
        a = tl.load(dy + source[:, None] + k[None, :], mask=ok, other=0.0)
        row = (group * KG + k) * (T * R * S * CG) + ((t * R + r) * S + s) * CG
        b = tl.load(w + row[:, None] + c[None, :], mask=there, other=0.0)
        if UPCAST:
            a = a.to(tl.float32)
            b = b.to(tl.float32)
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
    offset = ((((n * D + d) * H + ih) * W + iw) * C + group * CG)[:, None] + c[None, :]
    acc = finish(acc, bias, scale, shift, residual, offset, group * CG + c, inside, real, slope, ACTIVATION)
    tl.store(dx + offset, acc.to(dx.dtype.element_ty), mask=inside[:, None] & real[None, :])


@triton.jit
def conv_weight_gradient(
    dy,  # (N, OD, OH, OW, K)
    x,  # (N, D, H, W, C)
    parts,  # (SPLITS, K, T*R*S*CG) float32, or dw itself when there is one part
    N, D, H, W, C, OD, OH, OW, K, CG, KG, per,  # per: output pixels per part, a multiple of BP
    T: tl.constexpr, R: tl.constexpr, S: tl.constexpr, ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PT: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, DT: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BP: tl.constexpr, ALIGNED: tl.constexpr,  # one tap per tile: CG % BN == 0
    PRECISION: tl.constexpr, UPCAST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    # This program's filters k and columns j = (tap, channel) of the gradient, and its part of the output pixels.
    tiles_n = tl.cdiv(T * R * S * CG, BN)
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
    dd = tap // (R * S) * DT if T > 1 else tap * 0
    dh = tap // S % R * DH if T > 1 else tap // S * DH
    dw = tap % S * DW
    if WIDE:
        part = part.to(tl.int64)
        dd = dd.to(tl.int64)
        N = tl.cast(N, tl.int64)
    start = part * per
    stop = start + tl.minimum(per, N * OD * OH * OW - start)

    acc = tl.zeros((BM, BN), tl.float32)
    for p0 in range(start, stop, BP):
        # BP output pixels, and where their windows begin.
        p = p0 + tl.arange(0, BP)
        inside = p < stop
        n, d, h, v = unravel(p, OD, OH, OW)
        d = d * ST - PT
        h = h * SH - PH
        v = v * SW - PW
        base = (((n * D + d) * H + h) * W + v) * C + group * CG
        if ALIGNED:
            ok = inside & (h + dh >= 0) & (h + dh < H) & (v + dw >= 0) & (v + dw < W)
            if T > 1 or PT > 0:
                ok = ok & (d + dd >= 0) & (d + dd < D)
            ok = ok[:, None]
            offset = (base + ((dd * H + dh) * W + dw) * C)[:, None] + c[None, :]
        else:
            th = h[:, None] + dh[None, :]
            tw = v[:, None] + dw[None, :]
            ok = inside[:, None] & (th >= 0) & (th < H) & (tw >= 0) & (tw < W) & (j < T * R * S * CG)[None, :]
            if T > 1 or PT > 0:
                td = d[:, None] + dd[None, :]
                ok = ok & (td >= 0) & (td < D)
            offset = base[:, None] + (((dd * H + dh) * W + dw) * C + c)[None, :]
        a = tl.load(
            dy + (p * K + group * KG)[None, :] + k[:, None], mask=inside[None, :] & (k < KG)[:, None], other=0.0
        )
        b = tl.load(x + offset, mask=ok, other=0.0)
        if UPCAST:
            a = a.to(tl.float32)
            b = b.to(tl.float32)
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
    out = parts + (part * K + group * KG + k)[:, None] * (T * R * S * CG) + j[None, :]
    tl.store(out, acc.to(parts.dtype.element_ty), mask=(k < KG)[:, None] & (j < T * R * S * CG)[None, :])


def transpose(dy, weight, size, after, stride, padding, dilation, groups, precision):
    """Launch the gradient of the input, with the `Epilogue` of a transposed convolution after it."""
    dx = launch.empty_map(dy, (dy.shape[0], weight.shape[1] * groups, *size))
    if dx.numel() == 0:
        return dx
    dy, weight = launch.feature_map(dy), launch.feature_map(weight)
    n, (k, cg) = dx.shape[0], weight.shape[:2]
    kg, phases = k // groups, math.prod(stride)
    pixels = n * math.prod(triton.cdiv(length, step) for length, step in zip(size, stride, strict=True))
    t = tiles.tile(dy, pixels, cg, kg, precision, phases, gather=kg % 8 > 0)
    step_t, step_h, step_w = geometry.volume([s // math.gcd(s, d) for s, d in zip(stride, dilation, strict=True)])
    launch.run(
        conv_input_gradient, (triton.cdiv(pixels, t.BM) * triton.cdiv(cg, t.BN), groups, phases),
        dy, weight, *after.tensors(), dx,
        n, *geometry.volume(size), cg * groups, *geometry.volume(dy.shape[2:]), k, cg, kg, after.slope,
        **geometry.steps(weight.shape[2:], stride, padding, dilation), STEP_T=step_t, STEP_H=step_h, STEP_W=step_w,
        BM=t.BM, BN=t.BN, BK=t.BK, EVEN=kg % t.BK == 0, ACTIVATION=after.activation,
        PRECISION=precision, UPCAST=launch.upcast(dy), WIDE=launch.wide(dx, dy), num_stages=t.stages,
    )  # fmt: skip
    return dx


def weight_gradient(dy, x, size, stride, padding, dilation, groups, precision):
    """Launch the gradient of the weight (K, C / groups, ...)."""
    dw = launch.empty_map(x, (dy.shape[1], x.shape[1] // groups, *size))
    if dw.numel() == 0 or dy.numel() == 0:
        return dw.zero_()
    dy, x = launch.feature_map(dy), launch.feature_map(x)
    (n, c), (k, cg) = x.shape[:2], dw.shape[:2]
    pixels, columns = dy.numel() // k, math.prod(size) * cg
    t = tiles.weight_tile(x, k // groups, columns, pixels, precision)
    programs = triton.cdiv(k // groups, t.BM) * triton.cdiv(columns, t.BN)
    splits, per = tiles.split(x, pixels, t.BK, programs * groups, dw.numel())
    parts = dw if splits == 1 else torch.empty((splits, dw.numel()), dtype=torch.float32, device=x.device)
    launch.run(
        conv_weight_gradient, (programs, groups, splits), dy, x, parts,
        n, *geometry.volume(x.shape[2:]), c, *geometry.volume(dy.shape[2:]), k, cg, k // groups, per,
        **geometry.steps(size, stride, padding, dilation), BM=t.BM, BN=t.BN, BP=t.BK, ALIGNED=cg % t.BN == 0,
        PRECISION=precision, UPCAST=launch.upcast(x), WIDE=launch.wide(x, dy), num_stages=t.stages,
    )  # fmt: skip
    if splits > 1:
        tiles.add_parts(parts, dw)
    return dw
