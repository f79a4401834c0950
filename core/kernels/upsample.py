"""Nearest and bilinear resizing with torch's arithmetic, forward and backward.

Nearest reads pixel min(floor(o * scale), H - 1) for output o. Bilinear reads between the pixels around

    o * scale                               if align_corners, scale = (H - 1) / (OH - 1)
    max(0, (o + 1/2) * scale - 1/2)         if not, scale = H / OH or the inverse of the factor that was given

in float32, as torch does on CUDA. Backward is a gather: a pixel asks the outputs near o = h / scale which of them read
it, by the forward's own formula, so both agree to the last bit and the sums have a fixed order. Torch scatters with
atomics. One tile is BM pixels x BC channels of a channels_last map. Limit: int64 offsets from 2^31 elements on.

A skip of the output's shape is added in float32 before the one rounding: y = resize(x) + skip. Its gradient is dy.
"""

from __future__ import annotations

import math

import triton
import triton.language as tl

from ..checks import UsageError
from . import geometry, launch, tiles
from .geometry import unravel


@triton.jit
def _source(o, scale, SIZE, BILINEAR: tl.constexpr, ALIGN: tl.constexpr):
    """Return the first pixel that output o reads, the second, and the second's share."""
    at = o.to(tl.float32) * scale
    if BILINEAR and not ALIGN:
        at = tl.maximum((o.to(tl.float32) + 0.5) * scale - 0.5, 0.0)
    first = tl.minimum(at.to(tl.int32), SIZE - 1)
    second = tl.minimum(first + 1, SIZE - 1)
    share = at - first.to(tl.float32)
    if not BILINEAR:
        second = first
        share = share * 0.0
    return first, second, share


@triton.jit
def _weight(pixel, o, scale, SIZE, BILINEAR: tl.constexpr, ALIGN: tl.constexpr):
    """Return the share with which output o reads `pixel`."""
    first, second, share = _source(o, scale, SIZE, BILINEAR, ALIGN)
    return tl.where(first == pixel, 1.0 - share, 0.0) + tl.where(second == pixel, share, 0.0)


@triton.jit
def upsample_forward(
    x,  # (N, H, W, C)
    skip,  # (N, OH, OW, C), or any pointer without SKIP
    y,  # (N, OH, OW, C)
    N, H, W, C, OH, OW, scale_h, scale_w,
    BILINEAR: tl.constexpr, ALIGN: tl.constexpr, SKIP: tl.constexpr,
    BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
        N = tl.cast(N, tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = (tl.program_id(1) * BC + tl.arange(0, BC))[None, :]
    inside = (m < N * OH * OW)[:, None] & (c < C)
    n, _, oh, ow = unravel(m, 1, OH, OW)
    h0, h1, down = _source(oh, scale_h, H, BILINEAR, ALIGN)
    w0, w1, right = _source(ow, scale_w, W, BILINEAR, ALIGN)
    image = n * H
    out = tl.load(x + (((image + h0) * W + w0) * C)[:, None] + c, mask=inside, other=0.0).to(tl.float32)
    if BILINEAR:
        b = tl.load(x + (((image + h0) * W + w1) * C)[:, None] + c, mask=inside, other=0.0).to(tl.float32)
        d = tl.load(x + (((image + h1) * W + w0) * C)[:, None] + c, mask=inside, other=0.0).to(tl.float32)
        e = tl.load(x + (((image + h1) * W + w1) * C)[:, None] + c, mask=inside, other=0.0).to(tl.float32)
        right = right[:, None]
        down = down[:, None]
        out = (1.0 - down) * ((1.0 - right) * out + right * b) + down * ((1.0 - right) * d + right * e)
    if SKIP:
        out += tl.load(skip + m[:, None] * C + c, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + m[:, None] * C + c, out.to(y.dtype.element_ty), mask=inside)


@triton.jit
def upsample_backward(
    dy,  # (N, OH, OW, C)
    dx,  # (N, H, W, C)
    N, H, W, C, OH, OW, scale_h, scale_w, back_h, back_w,  # back: 1 / scale, or 0
    reach_h, reach_w,  # outputs that may read one pixel, at most
    BILINEAR: tl.constexpr, ALIGN: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
        N = tl.cast(N, tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = (tl.program_id(1) * BC + tl.arange(0, BC))[None, :]
    inside = (m < N * H * W)[:, None] & (c < C)
    n, _, h, w = unravel(m, 1, H, W)
    h, w = h.to(tl.int32), w.to(tl.int32)  # two registers less for each pixel, where m is int64
    image = n * OH
    # Sources from h - 1 to h + 1 read pixel h (nearest: from h on); half a pixel less where centres are aligned,
    # because o = (h - 1 + 1/2) / scale - 1/2. Two outputs before and three after cover that last half and rounding.
    lead = 0.0
    if BILINEAR:
        lead = 1.0 if ALIGN else 0.5
    first_h = tl.maximum(((h.to(tl.float32) - lead) * back_h).to(tl.int32) - 2, 0)
    first_w = tl.maximum(((w.to(tl.float32) - lead) * back_w).to(tl.int32) - 2, 0)
    acc = tl.zeros((BM, BC), tl.float32)
    for i in range(reach_h * reach_w):
        oh = first_h + i // reach_w
        ow = first_w + i % reach_w
        share = _weight(h, oh, scale_h, H, BILINEAR, ALIGN) * _weight(w, ow, scale_w, W, BILINEAR, ALIGN)
        ok = inside & ((oh < OH) & (ow < OW) & (share > 0))[:, None]
        g = tl.load(dy + (((image + oh) * OW + ow) * C)[:, None] + c, mask=ok, other=0.0).to(tl.float32)
        acc += g * share[:, None]
    tl.store(dx + m[:, None] * C + c, acc.to(dx.dtype.element_ty), mask=inside)


def _launch(x, skip, size, scales, bilinear, align):
    y = launch.empty_map(x, (*x.shape[:2], *size))
    if y.numel() == 0:
        return y
    x = launch.feature_map(x)
    added = x if skip is None else launch.feature_map(skip)
    (n, c, h, w), (oh, ow) = x.shape, size
    bm, bc = tiles.column_tile(n * oh * ow, c)
    launch.run(
        upsample_forward, (triton.cdiv(n * oh * ow, bm), triton.cdiv(c, bc)), x, added, y, n, h, w, c, oh, ow, *scales,
        BILINEAR=bilinear, ALIGN=align, SKIP=skip is not None, BM=bm, BC=bc, WIDE=launch.wide(x, y),
    )  # fmt: skip
    return y


def _reach(scale, outputs, bilinear):
    """Return (1 / scale, outputs that may read one pixel); a scale of 0 lets every output read the one pixel."""
    if scale == 0:
        return 0.0, outputs
    return 1 / scale, min(outputs, math.ceil((2 if bilinear else 1) / scale) + 5)


def _launch_gradient(dy, size, scales, bilinear, align):
    dx = launch.empty_map(dy, (*dy.shape[:2], *size))
    if dx.numel() == 0 or dy.numel() == 0:
        return dx.zero_()
    dy = launch.feature_map(dy)
    (n, c, h, w), (oh, ow) = dx.shape, dy.shape[2:]
    (back_h, reach_h), (back_w, reach_w) = (
        _reach(scale, outputs, bilinear) for scale, outputs in zip(scales, (oh, ow), strict=True)
    )
    bm, bc = tiles.column_tile(n * h * w, c)
    launch.run(
        upsample_backward, (triton.cdiv(n * h * w, bm), triton.cdiv(c, bc)), dy, dx, n, h, w, c, oh, ow, *scales,
        back_h, back_w, reach_h, reach_w, BILINEAR=bilinear, ALIGN=align, BM=bm, BC=bc, WIDE=launch.wide(dx, dy),
    )  # fmt: skip
    return dx


def _backward(ctx, dy):
    wanted = ctx.needs_input_grad
    dx = gradient(dy, ctx.size, ctx.scales, ctx.bilinear, ctx.align) if wanted[0] else None
    return dx, dy if ctx.skip and wanted[1] else None, None, None, None, None


def _setup_context(ctx, inputs, output):
    x, ctx.skip, _, ctx.scales, ctx.bilinear, ctx.align = inputs
    ctx.skip = ctx.skip is not None
    ctx.size = list(x.shape[2:])


ARGUMENTS = "int[2] size, float[2] scales, bool bilinear, bool align"
gradient = launch.define(
    f"upsample_gradient(Tensor dy, {ARGUMENTS}) -> Tensor",
    _launch_gradient,
    lambda dy, size, *_: launch.empty_map(dy, (*dy.shape[:2], *size)),
)
apply = launch.differentiable(
    launch.define(
        f"upsample(Tensor x, Tensor? skip, {ARGUMENTS}) -> Tensor",
        _launch,
        lambda x, skip, size, *_: launch.empty_map(x, (*x.shape[:2], *size)),
    ),
    _setup_context,
    _backward,
)


def upsample(x, scale, size, mode, align_corners, skip):
    """Resize x (N, C, H, W), as `striate.core.ops.upsample` documents it."""
    launch.check_map(x)
    if (scale is None) == (size is None):
        raise UsageError("exactly one of scale and size", f"scale={scale}, size={size}", "pass one of them")
    if size is not None:
        factors, target = None, geometry.pair(size)
    else:
        factors = (scale, scale) if isinstance(scale, (int, float)) else tuple(scale)
        target = tuple(math.floor(x.shape[i + 2] * factors[i]) for i in (0, 1))
    geometry.check_output(target, x.shape[2:])
    scales = []
    for i, (inputs, outputs) in enumerate(zip(x.shape[2:], target, strict=True)):
        if align_corners:
            scales.append((inputs - 1) / (outputs - 1) if outputs > 1 else 0.0)
        else:
            scales.append(inputs / outputs if factors is None else 1 / factors[i])
    return apply(x, skip, target, scales, mode == "bilinear", align_corners)
