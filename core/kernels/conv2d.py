"""Convolution as implicit matrix multiplication: forward.

    y[n, oh, ow, k] = bias[k] + sum over r, s, c of x[n, oh*SH - PH + r*DH, ow*SW - PW + s*DW, c] * w[k, r, s, c]

Rows of the product are output pixels, columns are filters, the reduction runs over taps and channels. Feature maps are
channels_last, filters packed (K, R*S*C/groups); sums are float32. One program makes a tile of BM pixels x BN filters.

The reduction is one flat loop over (tap, channel block), because a loop nested in taps restarts the pipeline at every
tap. Flat loops of this kind have been miscompiled with 8 warps (84.7 % wrong elements, pytorch#173068), so every tile
here has 4 warps; 8 come when a GPU has shown them right. With fewer than 16 channels a block per tap would be mostly
padding (3 of 16 for pictures), so taps and channels are then flattened into one index (PACKED).

Limits: fewer than 2^31 weights; int64 offsets from 2^31 elements of x or y on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import geometry, launch, tiles


@triton.jit
def conv_forward(
    x,  # (N, H, W, C)
    w,  # (K, R*S*CG), CG = C / groups
    bias,  # (K,)
    y,  # (N, OH, OW, K)
    N, H, W, C, OH, OW, K, CG, KG,
    R: tl.constexpr, S: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PH: tl.constexpr, PW: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
    PACKED: tl.constexpr, EVEN: tl.constexpr, HAS_BIAS: tl.constexpr,
    PRECISION: tl.constexpr, UPCAST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    tiles_n = tl.cdiv(KG, BN)
    pid = tl.program_id(0)
    group = tl.program_id(1)
    pm = pid // tiles_n  # neighbours share pixels, which are more than the filters, so that they meet in the L2 cache
    pn = pid % tiles_n
    if WIDE:
        pm = pm.to(tl.int64)
    m = pm * BM + tl.arange(0, BM)
    ow = m % OW
    oh = (m // OW) % OH
    n = m // (OW * OH)
    k = pn * BN + tl.arange(0, BN)
    inside = m < N * OH * OW
    real = k < KG
    ih0 = oh * SH - PH
    iw0 = ow * SW - PW
    base = ((n * H + ih0) * W + iw0) * C + group * CG
    row = (group * KG + k) * (R * S * CG)
    acc = tl.zeros((BM, BN), tl.float32)
    if PACKED:
        for j0 in range(0, R * S * CG, BK):
            j = j0 + tl.arange(0, BK)
            c = j % CG
            dh = (j // CG) // S * DH
            dw = (j // CG) % S * DW
            ih = ih0[:, None] + dh[None, :]
            iw = iw0[:, None] + dw[None, :]
            ok = (ih >= 0) & (ih < H) & (iw >= 0) & (iw < W) & inside[:, None] & (j < R * S * CG)[None, :]
            a = tl.load(x + base[:, None] + ((dh * W + dw) * C + c)[None, :], mask=ok, other=0.0)
            b = tl.load(w + row[None, :] + j[:, None], mask=real[None, :] & (j < R * S * CG)[:, None], other=0.0)
            if UPCAST:
                a = a.to(tl.float32)
                b = b.to(tl.float32)
            acc = tl.dot(a, b, acc, input_precision=PRECISION)
    else:
        blocks = tl.cdiv(CG, BK)
        for i in range(R * S * blocks):
            tap = i // blocks
            c = (i % blocks) * BK + tl.arange(0, BK)
            dh = tap // S * DH
            dw = tap % S * DW
            ih = ih0 + dh
            iw = iw0 + dw
            ok = (inside & (ih >= 0) & (ih < H) & (iw >= 0) & (iw < W))[:, None]
            there = real[None, :]
            if not EVEN:
                ok = ok & (c < CG)[None, :]
                there = there & (c < CG)[:, None]
            a = tl.load(x + (base + (dh * W + dw) * C)[:, None] + c[None, :], mask=ok, other=0.0)
            b = tl.load(w + (row + tap * CG)[None, :] + c[:, None], mask=there, other=0.0)
            if UPCAST:
                a = a.to(tl.float32)
                b = b.to(tl.float32)
            acc = tl.dot(a, b, acc, input_precision=PRECISION)
    if HAS_BIAS:
        acc += tl.load(bias + group * KG + k, mask=real, other=0.0).to(tl.float32)[None, :]
    out = y + (m * K + group * KG)[:, None] + k[None, :]
    tl.store(out, acc.to(y.dtype.element_ty), mask=inside[:, None] & real[None, :])


def _fake(x, weight, bias, stride, padding, dilation, groups, precision):
    return launch.empty_map(x, geometry.conv_shape(x, weight, stride, padding, dilation))


def _launch(x, weight, bias, stride, padding, dilation, groups, precision):
    y = launch.empty_map(x, geometry.conv_shape(x, weight, stride, padding, dilation))
    if y.numel() == 0:
        return y
    x, weight = launch.feature_map(x), launch.feature_map(weight)
    (n, c, h, w), (k, cg, r, s), (oh, ow) = x.shape, weight.shape, y.shape[2:]
    packed = cg < 16
    t = tiles.tile(x, n * oh * ow, k // groups, r * s * cg if packed else cg, precision, gather=cg % 8 > 0)
    grid = (triton.cdiv(n * oh * ow, t.BM) * triton.cdiv(k // groups, t.BN), groups)
    launch.run(
        conv_forward, grid, x, weight, weight if bias is None else bias.contiguous(), y,
        n, h, w, c, oh, ow, k, cg, k // groups,
        R=r, S=s, SH=stride[0], SW=stride[1], PH=padding[0], PW=padding[1], DH=dilation[0], DW=dilation[1],
        BM=t.BM, BN=t.BN, BK=t.BK, PACKED=packed, EVEN=cg % t.BK == 0, HAS_BIAS=bias is not None,
        PRECISION=precision, UPCAST=launch.upcast(x), WIDE=launch.wide(x, y), num_stages=t.stages,
    )  # fmt: skip
    return y


def _setup_context(ctx, inputs, output):
    x, weight, _, ctx.stride, ctx.padding, ctx.dilation, ctx.groups, ctx.precision = inputs
    ctx.save_for_backward(x, weight)


def _backward(ctx, dy):
    x, weight = ctx.saved_tensors
    window = (ctx.stride, ctx.padding, ctx.dilation, ctx.groups, ctx.precision)
    ops = torch.ops.striate
    dx = ops.conv2d_input_gradient(dy, weight, list(x.shape[2:]), *window) if ctx.needs_input_grad[0] else None
    dw = ops.conv2d_weight_gradient(dy, x, list(weight.shape[2:]), *window) if ctx.needs_input_grad[1] else None
    db = ops.bias_gradient(dy) if ctx.needs_input_grad[2] else None
    return dx, dw, db, None, None, None, None, None


# (x, weight, bias, stride, padding, dilation, groups, precision) -> y, as `striate.core.ops.conv2d` documents them.
conv2d = launch.differentiable(
    launch.define(
        "conv2d(Tensor x, Tensor weight, Tensor? bias, int[2] stride, int[2] padding, int[2] dilation, int groups, "
        "str precision) -> Tensor",
        _launch,
        _fake,
    ),
    _setup_context,
    _backward,
)
