"""Depthwise convolution: every filter reads one channel. Forward and gradients.

    y[n, oh, ow, k] = bias[k] + sum over r, s of x[n, oh*SH - PH + r*DH, ow*SW - PW + s*DW, k // MULT] * w[k, r, s]

with MULT = K / C filters per channel. There is no matrix product in it: as implicit GEMM one of 16 columns would be
used, so the taps are summed with plain multiply-adds in float32, over tiles of BM pixels x BC channels. The work is
bound by memory, and channels_last makes every access a row of channels.

Gradients are gathers and fixed-order sums, deterministic like those of conv2d_backward.py. Limit: int64 offsets from
2^31 elements of x or y on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import geometry, launch, tiles


@triton.jit
def depthwise_forward(
    x,  # (N, H, W, C)
    w,  # (K, R*S)
    bias,  # (K,)
    y,  # (N, OH, OW, K)
    N, H, W, C, OH, OW, K,
    R: tl.constexpr, S: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PH: tl.constexpr, PW: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    MULT: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, HAS_BIAS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
    m = pm * BM + tl.arange(0, BM)
    k = tl.program_id(1) * BC + tl.arange(0, BC)
    inside = m < N * OH * OW
    real = (k < K)[None, :]
    ih0 = (m // OW) % OH * SH - PH
    iw0 = m % OW * SW - PW
    n = m // (OW * OH)
    acc = tl.zeros((BM, BC), tl.float32)
    for tap in range(R * S):
        ih = ih0 + tap // S * DH
        iw = iw0 + tap % S * DW
        ok = inside & (ih >= 0) & (ih < H) & (iw >= 0) & (iw < W)
        source = x + (((n * H + ih) * W + iw) * C)[:, None] + (k // MULT)[None, :]
        a = tl.load(source, mask=ok[:, None] & real, other=0.0).to(tl.float32)
        b = tl.load(w + k * (R * S) + tap, mask=k < K, other=0.0).to(tl.float32)
        acc += a * b[None, :]
    if HAS_BIAS:
        acc += tl.load(bias + k, mask=k < K, other=0.0).to(tl.float32)[None, :]
    tl.store(y + m[:, None] * K + k[None, :], acc.to(y.dtype.element_ty), mask=inside[:, None] & real)


@triton.jit
def depthwise_input_gradient(
    dy,  # (N, OH, OW, K)
    w,  # (K, R*S)
    dx,  # (N, H, W, C)
    N, H, W, C, OH, OW, K,
    R: tl.constexpr, S: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PH: tl.constexpr, PW: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    MULT: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    inside = m < N * H * W
    real = (c < C)[None, :]
    h0 = (m // W) % H + PH
    w0 = m % W + PW
    n = m // (W * H)
    acc = tl.zeros((BM, BC), tl.float32)
    for tap in range(R * S):
        th = h0 - tap // S * DH
        tw = w0 - tap % S * DW
        oh = th // SH
        ow = tw // SW
        hit = (th >= 0) & (th % SH == 0) & (oh < OH) & (tw >= 0) & (tw % SW == 0) & (ow < OW) & inside
        for j in range(MULT):
            k = c * MULT + j
            source = dy + (((n * OH + oh) * OW + ow) * K)[:, None] + k[None, :]
            a = tl.load(source, mask=hit[:, None] & real, other=0.0).to(tl.float32)
            b = tl.load(w + k * (R * S) + tap, mask=c < C, other=0.0).to(tl.float32)
            acc += a * b[None, :]
    tl.store(dx + m[:, None] * C + c[None, :], acc.to(dx.dtype.element_ty), mask=inside[:, None] & real)


@triton.jit
def depthwise_weight_gradient(
    dy,  # (N, OH, OW, K)
    x,  # (N, H, W, C)
    parts,  # (SPLITS, K, R*S) float32, or dw itself when there is one part
    N, H, W, C, OH, OW, K, per,  # per: output pixels per part, a multiple of BM
    R: tl.constexpr, S: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PH: tl.constexpr, PW: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    MULT: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    k = tl.program_id(0) * BC + tl.arange(0, BC)
    tap = tl.program_id(1)
    part = tl.program_id(2)
    start = part * per
    if WIDE:
        start = start.to(tl.int64)
    stop = tl.minimum(start + per, N * OH * OW)
    real = (k < K)[None, :]
    acc = tl.zeros((BM, BC), tl.float32)
    for m0 in range(start, stop, BM):
        m = m0 + tl.arange(0, BM)
        ih = (m // OW) % OH * SH - PH + tap // S * DH
        iw = m % OW * SW - PW + tap % S * DW
        ok = (m < stop) & (ih >= 0) & (ih < H) & (iw >= 0) & (iw < W)
        source = x + (((m // (OW * OH) * H + ih) * W + iw) * C)[:, None] + (k // MULT)[None, :]
        a = tl.load(source, mask=ok[:, None] & real, other=0.0).to(tl.float32)
        b = tl.load(dy + m[:, None] * K + k[None, :], mask=ok[:, None] & real, other=0.0).to(tl.float32)
        acc += a * b
    out = parts + (part * K + k) * (R * S) + tap
    tl.store(out, tl.sum(acc, 0).to(parts.dtype.element_ty), mask=k < K)


def _window(weight, stride, padding, dilation, channels):
    return {
        "R": weight.shape[2], "S": weight.shape[3], "SH": stride[0], "SW": stride[1], "PH": padding[0],
        "PW": padding[1], "DH": dilation[0], "DW": dilation[1], "MULT": weight.shape[0] // channels,
    }  # fmt: skip


def _tile(rows, channels):
    """Return (BM, BC): 1,024 sums a program, a row of channels wide; larger tiles keep fewer programs in flight."""
    if launch.INTERPRETED:
        return tiles.column_tile(rows, channels)
    bc = tiles.power(channels, 64)
    return 1024 // bc, bc


def _fake(x, weight, bias, stride, padding, dilation, groups, precision):
    return launch.empty_map(x, geometry.conv_shape(x, weight, stride, padding, dilation))


def _launch(x, weight, bias, stride, padding, dilation, groups, precision):
    y = _fake(x, weight, bias, stride, padding, dilation, groups, precision)
    if y.numel() == 0:
        return y
    x, weight = launch.feature_map(x), weight.contiguous()
    (n, c, h, w), (k, oh, ow) = x.shape, y.shape[1:]
    bm, bc = _tile(n * oh * ow, k)
    launch.run(
        depthwise_forward, (triton.cdiv(n * oh * ow, bm), triton.cdiv(k, bc)),
        x, weight, weight if bias is None else bias.contiguous(), y, n, h, w, c, oh, ow, k,
        **_window(weight, stride, padding, dilation, c), BM=bm, BC=bc, HAS_BIAS=bias is not None,
        WIDE=launch.wide(x, y),
    )  # fmt: skip
    return y


def _fake_input(dy, weight, size, stride, padding, dilation, groups):
    return launch.empty_map(dy, (dy.shape[0], groups, *size))


def _launch_input(dy, weight, size, stride, padding, dilation, groups):
    dx = _fake_input(dy, weight, size, stride, padding, dilation, groups)
    if dx.numel() == 0 or dy.numel() == 0:
        return dx.zero_()
    dy, weight = launch.feature_map(dy), weight.contiguous()
    (n, c, h, w), (k, oh, ow) = dx.shape, dy.shape[1:]
    bm, bc = _tile(n * h * w, c)
    launch.run(
        depthwise_input_gradient, (triton.cdiv(n * h * w, bm), triton.cdiv(c, bc)),
        dy, weight, dx, n, h, w, c, oh, ow, k,
        **_window(weight, stride, padding, dilation, c), BM=bm, BC=bc, WIDE=launch.wide(dx, dy),
    )  # fmt: skip
    return dx


def _fake_weight(dy, x, size, stride, padding, dilation, groups):
    return dy.new_empty((dy.shape[1], 1, *size))


def _launch_weight(dy, x, size, stride, padding, dilation, groups):
    dw = _fake_weight(dy, x, size, stride, padding, dilation, groups)
    if dw.numel() == 0 or dy.numel() == 0:
        return dw.zero_()
    dy, x = launch.feature_map(dy), launch.feature_map(x)
    (n, c, h, w), (k, oh, ow) = x.shape, dy.shape[1:]
    bm, bc = _tile(n * oh * ow, k)
    taps = size[0] * size[1]
    splits, per = tiles.split(x, n * oh * ow, bm, triton.cdiv(k, bc) * taps, dw.numel())
    parts = dw if splits == 1 else torch.empty((splits, dw.numel()), dtype=torch.float32, device=x.device)
    launch.run(
        depthwise_weight_gradient, (triton.cdiv(k, bc), taps, splits), dy, x, parts, n, h, w, c, oh, ow, k, per,
        **_window(dw, stride, padding, dilation, c), BM=bm, BC=bc, WIDE=launch.wide(x, dy),
    )  # fmt: skip
    if splits > 1:
        tiles.add_parts(parts, dw)
    return dw


def _setup_context(ctx, inputs, output):
    x, weight, _, ctx.stride, ctx.padding, ctx.dilation, ctx.groups, _ = inputs
    ctx.save_for_backward(x, weight)


def _backward(ctx, dy):
    x, weight = ctx.saved_tensors
    window = (ctx.stride, ctx.padding, ctx.dilation, ctx.groups)
    ops = torch.ops.striate
    dx = ops.depthwise_input_gradient(dy, weight, list(x.shape[2:]), *window) if ctx.needs_input_grad[0] else None
    dw = ops.depthwise_weight_gradient(dy, x, list(weight.shape[2:]), *window) if ctx.needs_input_grad[1] else None
    db = ops.bias_gradient(dy) if ctx.needs_input_grad[2] else None
    return dx, dw, db, None, None, None, None, None


STEPS = "int[2] stride, int[2] padding, int[2] dilation, int groups"
launch.define(
    f"depthwise_input_gradient(Tensor dy, Tensor weight, int[2] size, {STEPS}) -> Tensor", _launch_input, _fake_input
)
launch.define(
    f"depthwise_weight_gradient(Tensor dy, Tensor x, int[2] size, {STEPS}) -> Tensor", _launch_weight, _fake_weight
)

# (x, weight, bias, stride, padding, dilation, groups, precision) -> y, as conv.conv2d; products are always exact here.
conv2d = launch.differentiable(
    launch.define(
        f"depthwise_conv2d(Tensor x, Tensor weight, Tensor? bias, {STEPS}, str precision) -> Tensor", _launch, _fake
    ),
    _setup_context,
    _backward,
)
