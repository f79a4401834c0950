"""Convolution as implicit matrix multiplication: forward, in one, two or three dimensions.

    y[n, o, k] = sum over taps t and channels c of x[n, o * stride - padding + t * dilation, c] * w[k, t, c]

where o and t have a coordinate for each dimension. Rows of the product are output pixels, columns are filters, the
reduction runs over taps and channels; the matrix of windows (im2col) is never made, its rows are read where they lie.

                      taps x channels                      filters
          output    +-----------------+                 +---------+
          pixels    | windows of x, BM|   times   taps  | w, BK   |   gives BM x BN sums in float32,
                    | x BK at a time  |           x ch. | x BN    |   finished as epilogue.py says, stored once
                    +-----------------+                 +---------+

Maps are channels_last, (N, D, H, W, C) with D = 1 for pictures and D = H = 1 for signals; filters lie in memory as
(K, T*R*S*C/groups). One program makes one tile. A map whose tiles do not fill the device has its reduction cut into
parts as well (SPLIT), which epilogue.finish_parts adds in order.

The reduction is one flat loop over (tap, block of channels), because a loop nested in taps restarts the pipeline of
loads at every tap. Flat loops of this kind have been miscompiled with 8 warps (84.7 % wrong elements, pytorch#173068),
so every tile here has 4 warps; 8 come when a GPU has shown them right. With fewer than 16 channels a block per tap
would be mostly padding (3 of 16 for pictures), so taps and channels are then flattened into one index (PACKED).

Letters, which the other convolution files share up to BK:

    N D H W C, OD OH OW K           sizes of x and of y; CG = C / groups and KG = K / groups are those of one group
    T R S                           taps in depth, height and width; ST.. strides, PT.. padding, DT.. dilation, likewise
    BM BN BK                        a tile: output pixels, filters, numbers of the reduction at a time
    PACKED SPLIT EVEN UPCAST WIDE   as above; `per` steps in a part; CG is a multiple of BK and needs no mask;
                                    float32 copies are multiplied (launch.upcast); offsets are int64 (launch.wide)
    the grid's axes                 0: tiles of pixels times tiles of filters, 1: groups, 2: parts of the reduction

Where the tile table says so (Hopper and later), conv2d_tma.py takes the convolutions of pictures that it can.

Limits: fewer than 2^31 weights; int64 offsets from 2^31 elements of x or y on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import conv2d_tma, epilogue, geometry, launch, tiles
from .epilogue import finish
from .geometry import unravel


@triton.jit
def conv_forward(
    x,  # (N, D, H, W, C)
    w,  # (K, T*R*S*CG), CG = C / groups
    bias, scale, shift,  # (K,) each, or None
    residual,  # (N, OD, OH, OW, K), or None
    y,  # (N, OD, OH, OW, K); if SPLIT (parts, N, OD, OH, OW, K) float32
    N, D, H, W, C, OD, OH, OW, K, CG, KG, per, slope,  # per: steps of the reduction in a part
    T: tl.constexpr, R: tl.constexpr, S: tl.constexpr, ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PT: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, DT: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PACKED: tl.constexpr, EVEN: tl.constexpr,
    SPLIT: tl.constexpr, ACTIVATION: tl.constexpr, PRECISION: tl.constexpr, UPCAST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    # Which tile this program makes. Neighbours in the grid share their pixels, of which there are more than filters, so
    # that they meet in the L2 cache.
    tiles_n = tl.cdiv(KG, BN)
    group = tl.program_id(1)
    pm = tl.program_id(0) // tiles_n
    pn = tl.program_id(0) % tiles_n
    if WIDE:
        pm = pm.to(tl.int64)
        N = tl.cast(N, tl.int64)

    # Its output pixels m and filters k, and which of them exist.
    m = pm * BM + tl.arange(0, BM)
    k = pn * BN + tl.arange(0, BN)
    pixels = N * OD * OH * OW
    inside = m < pixels
    real = k < KG

    # Where each pixel's window begins in the image (outside it, if there is padding), and each filter's row in w.
    n, od, oh, ow = unravel(m, OD, OH, OW)
    id0 = od * ST - PT
    ih0 = oh * SH - PH
    iw0 = ow * SW - PW
    base = (((n * D + id0) * H + ih0) * W + iw0) * C + group * CG
    row = (group * KG + k) * (T * R * S * CG)

    acc = tl.zeros((BM, BN), tl.float32)
    if PACKED:
        # BK numbers of the window at a time, whatever tap and channel they belong to: number j of a window is channel
        # j % CG under tap j // CG, which is its place in w's row as well, so that w needs no such division.
        for j0 in range(0, T * R * S * CG, BK):
            j = j0 + tl.arange(0, BK)
            tap = j // CG
            dd = tap // (R * S) * DT if T > 1 else tap * 0
            dh = tap // S % R * DH
            dw = tap % S * DW
            if WIDE:
                dd = dd.to(tl.int64)
            ih = ih0[:, None] + dh[None, :]
            iw = iw0[:, None] + dw[None, :]
            ok = (ih >= 0) & (ih < H) & (iw >= 0) & (iw < W) & inside[:, None] & (j < T * R * S * CG)[None, :]
            if T > 1 or PT > 0:
                idp = id0[:, None] + dd[None, :]
                ok = ok & (idp >= 0) & (idp < D)
            # Every pixel adds the same BK distances to where its window begins; a tap in the padding is not read.
            ahead = ((dd * H + dh) * W + dw) * C + j % CG
            a = tl.load(x + base[:, None] + ahead[None, :], mask=ok, other=0.0)
            b = tl.load(w + row[None, :] + j[:, None], mask=real[None, :] & (j < T * R * S * CG)[:, None], other=0.0)
            if UPCAST:
                a = a.to(tl.float32)
                b = b.to(tl.float32)
            acc = tl.dot(a, b, acc, input_precision=PRECISION)
    else:
        # One tap and BK channels of it at a time.
        blocks = tl.cdiv(CG, BK)
        first = 0
        last = T * R * S * blocks
        if SPLIT:
            first = tl.program_id(2) * per
            last = tl.minimum(first + per, last)
        for i in range(first, last):
            tap = i // blocks
            c = (i % blocks) * BK + tl.arange(0, BK)
            dd = tap // (R * S) * DT if T > 1 else tap * 0
            dh = tap // S % R * DH
            dw = tap % S * DW
            if WIDE:
                dd = dd.to(tl.int64)
            # Pixels whose tap falls into the padding read zeros.
            ok = inside & (id0 + dd >= 0) & (id0 + dd < D) & (ih0 + dh >= 0) & (ih0 + dh < H)
            ok = (ok & (iw0 + dw >= 0) & (iw0 + dw < W))[:, None]
            there = real[None, :]
            if not EVEN:
                ok = ok & (c < CG)[None, :]
                there = there & (c < CG)[:, None]
            a = tl.load(x + (base + ((dd * H + dh) * W + dw) * C)[:, None] + c[None, :], mask=ok, other=0.0)
            b = tl.load(w + (row + tap * CG)[None, :] + c[:, None], mask=there, other=0.0)
            if UPCAST:
                a = a.to(tl.float32)
                b = b.to(tl.float32)
            acc = tl.dot(a, b, acc, input_precision=PRECISION)

    # Bias, norm, sum and activation while the tile is still in registers; then the only store.
    offset = (m * K + group * KG)[:, None] + k[None, :]
    if SPLIT:
        y += tl.program_id(2).to(tl.int64) * pixels * K
    else:
        acc = finish(
            acc, bias, scale, shift, residual, offset, group * KG + k, inside, real, slope, ACTIVATION
        )  # fmt: skip
    tl.store(y + offset, acc.to(y.dtype.element_ty), mask=inside[:, None] & real[None, :])


def forward(x, weight, after, stride, padding, dilation, groups, precision):
    """Launch a convolution with the `Epilogue` after it."""
    y = launch.empty_map(x, geometry.output_shape(x, weight, stride, padding, dilation))
    if y.numel() == 0:
        return y
    x, weight = launch.feature_map(x), launch.feature_map(weight)
    (n, c), (k, cg), taps = x.shape[:2], weight.shape[:2], weight[0, 0].numel()
    kg, pixels = k // groups, y.numel() // k
    packed = cg < 16
    t = tiles.tile(x, pixels, kg, taps * cg if packed else cg, precision, gather=cg % 8 > 0)
    if t.tma and conv2d_tma.takes(x, weight, y, stride, groups):
        conv2d_tma.forward(x, weight, y, after, padding, dilation)
        return y
    programs = triton.cdiv(pixels, t.BM) * triton.cdiv(kg, t.BN)
    steps = taps * triton.cdiv(cg, t.BK)
    # Few channels make a short reduction, which is not worth a second pass over parts.
    splits, per = (1, steps) if packed else tiles.fill(x, steps, programs * groups, y.numel())
    target = y if splits == 1 else torch.empty((splits, y.numel()), dtype=torch.float32, device=x.device)
    launch.run(
        conv_forward, (programs, groups, splits), x, weight, *after.tensors(), target,
        n, *geometry.volume(x.shape[2:]), c, *geometry.volume(y.shape[2:]), k, cg, kg, per, after.slope,
        **geometry.steps(weight.shape[2:], stride, padding, dilation),
        BM=t.BM, BN=t.BN, BK=t.BK, PACKED=packed, EVEN=cg % t.BK == 0, SPLIT=splits > 1, ACTIVATION=after.activation,
        PRECISION=precision, UPCAST=launch.upcast(x), WIDE=launch.wide(x, y), num_stages=t.stages,
    )  # fmt: skip
    if splits > 1:
        epilogue.add_parts(target, y, after)
    return y
