"""Maximum and average over windows, forward and backward.

    max:     y[n, oh, ow, c] = max over r, s of x[n, oh*SH - PH + r*DH, ow*SW - PW + s*DW, c]
    average: y[n, oh, ow, c] = sum over r, s of x[...] / count

Maximum: padding is minus infinity, the first of equal values wins, NaN wins (the last one, as in torch). The winner's
place in its window (r*S + s) is kept, one byte for windows up to 256. Average: padding is 0; `count` is the window, cut
to the padded image, with or without the padding, or the divisor given.

Backward is a gather: a pixel collects from the windows that hold it, in the order of taps, so it is deterministic
where torch's scatter with atomics is not. One tile is BM output (or input) pixels x BC channels of a channels_last
map. Limit: int64 offsets from 2^31 elements on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ..checks import UsageError
from . import geometry, launch, tiles
from .geometry import unravel


@triton.jit
def max_pool_forward(
    x,  # (N, H, W, C)
    y,  # (N, OH, OW, C)
    places,  # (N, OH, OW, C) uint8 or int32
    N, H, W, C, OH, OW,
    R: tl.constexpr, S: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PH: tl.constexpr, PW: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
        N = tl.cast(N, tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    n, _, oh, ow = unravel(m, 1, OH, OW)
    ih0 = oh * SH - PH
    iw0 = ow * SW - PW
    inside = (m < N * OH * OW)[:, None] & (c < C)[None, :]
    best = tl.full((BM, BC), float("-inf"), tl.float32)
    place = tl.full((BM, BC), -1, tl.int32)
    for tap in range(R * S):
        ih = ih0 + tap // S * DH
        iw = iw0 + tap % S * DW
        ok = inside & ((ih >= 0) & (ih < H) & (iw >= 0) & (iw < W))[:, None]
        source = x + (((n * H + ih) * W + iw) * C)[:, None] + c[None, :]
        value = tl.load(source, mask=ok, other=float("-inf")).to(tl.float32)
        better = ok & ((value > best) | (value != value) | (place < 0))
        best = tl.where(better, value, best)
        place = tl.where(better, tap, place)
    out = m[:, None] * C + c[None, :]
    tl.store(y + out, best.to(y.dtype.element_ty), mask=inside)
    tl.store(places + out, place.to(places.dtype.element_ty), mask=inside)


@triton.jit
def avg_pool_forward(
    x,  # (N, H, W, C)
    y,  # (N, OH, OW, C)
    N, H, W, C, OH, OW, divisor,  # divisor: 0 to count
    R: tl.constexpr, S: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr,
    COUNT_PAD: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
        N = tl.cast(N, tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    n, _, oh, ow = unravel(m, 1, OH, OW)
    ih0 = oh * SH - PH
    iw0 = ow * SW - PW
    inside = (m < N * OH * OW)[:, None] & (c < C)[None, :]
    acc = tl.zeros((BM, BC), tl.float32)
    for tap in range(R * S):
        ih = ih0 + tap // S
        iw = iw0 + tap % S
        ok = inside & ((ih >= 0) & (ih < H) & (iw >= 0) & (iw < W))[:, None]
        source = x + (((n * H + ih) * W + iw) * C)[:, None] + c[None, :]
        acc += tl.load(source, mask=ok, other=0.0).to(tl.float32)
    count = _count(ih0, iw0, H, W, divisor, R, S, PH, PW, COUNT_PAD)
    out = acc / count.to(tl.float32)[:, None]
    tl.store(y + m[:, None] * C + c[None, :], out.to(y.dtype.element_ty), mask=inside)


@triton.jit
def _count(
    ih0, iw0, H, W, divisor,
    R: tl.constexpr, S: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, COUNT_PAD: tl.constexpr,
):  # fmt: skip
    if COUNT_PAD:
        area = (tl.minimum(ih0 + R, H + PH) - ih0) * (tl.minimum(iw0 + S, W + PW) - iw0)
    else:
        area = tl.minimum(ih0 + R, H) - tl.maximum(ih0, 0)
        area *= tl.minimum(iw0 + S, W) - tl.maximum(iw0, 0)
    # A masked row may count 0 or less; what it divides is never stored.
    return tl.where(divisor > 0, divisor, tl.maximum(area, 1))


@triton.jit
def pool_backward(
    dy,  # (N, OH, OW, C)
    places,  # (N, OH, OW, C) of max_pool_forward; any pointer for the average
    dx,  # (N, H, W, C)
    N, H, W, C, OH, OW, divisor,
    R: tl.constexpr, S: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PH: tl.constexpr, PW: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    MAXIMUM: tl.constexpr, COUNT_PAD: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
        N = tl.cast(N, tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    n, _, h, w = unravel(m, 1, H, W)
    h0 = h + PH
    w0 = w + PW
    inside = (m < N * H * W)[:, None] & (c < C)[None, :]
    acc = tl.zeros((BM, BC), tl.float32)
    for tap in range(R * S):
        th = h0 - tap // S * DH
        tw = w0 - tap % S * DW
        oh = th // SH
        ow = tw // SW
        hit = (th >= 0) & (th % SH == 0) & (oh < OH) & (tw >= 0) & (tw % SW == 0) & (ow < OW)
        ok = inside & hit[:, None]
        source = (((n * OH + oh) * OW + ow) * C)[:, None] + c[None, :]
        g = tl.load(dy + source, mask=ok, other=0.0).to(tl.float32)
        if MAXIMUM:
            place = tl.load(places + source, mask=ok, other=0).to(tl.int32)
            acc += tl.where(ok & (place == tap), g, 0.0)
        else:
            count = _count(oh * SH - PH, ow * SW - PW, H, W, divisor, R, S, PH, PW, COUNT_PAD)
            acc += g / count.to(tl.float32)[:, None]
    tl.store(dx + m[:, None] * C + c[None, :], acc.to(dx.dtype.element_ty), mask=inside)


def output_shape(x, kernel, stride, padding, dilation=(1, 1), ceil_mode=False):
    """Return the shape of what the windows give, torch's."""
    sizes = []
    for i in (0, 1):
        length = x.shape[i + 2] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1
        size = (length + (stride[i] - 1 if ceil_mode else 0)) // stride[i] + 1
        # torch: the last window of ceil_mode must start inside the image or its leading padding
        if ceil_mode and (size - 1) * stride[i] >= x.shape[i + 2] + padding[i]:
            size -= 1
        sizes.append(size)
    geometry.check_output(sizes, x.shape[2:])
    return (x.shape[0], x.shape[1], *sizes)


def steps(kernel, stride, padding):
    """Return windows as the constants of a kernel."""
    return {"R": kernel[0], "S": kernel[1], "SH": stride[0], "SW": stride[1], "PH": padding[0], "PW": padding[1]}


def _grid(shape):
    """Return the programs and the tile for a map of this shape."""
    n, c, h, w = shape
    bm, bc = tiles.column_tile(n * h * w, c)
    return (triton.cdiv(n * h * w, bm), triton.cdiv(c, bc)), {"BM": bm, "BC": bc}


def _fake_max(x, kernel, stride, padding, dilation, ceil_mode):
    shape = output_shape(x, kernel, stride, padding, dilation, ceil_mode)
    small = torch.uint8 if kernel[0] * kernel[1] <= 256 else torch.int32
    return launch.empty_map(x, shape), launch.empty_map(x, shape, small)


def _max(x, kernel, stride, padding, dilation, ceil_mode):
    y, places = _fake_max(x, kernel, stride, padding, dilation, ceil_mode)
    if y.numel() == 0:
        return y, places
    x = launch.feature_map(x)
    (n, c, h, w), (oh, ow) = x.shape, y.shape[2:]
    grid, tile = _grid(y.shape)
    launch.run(
        max_pool_forward, grid, x, y, places, n, h, w, c, oh, ow,
        **steps(kernel, stride, padding), DH=dilation[0], DW=dilation[1], **tile, WIDE=launch.wide(x, y),
    )  # fmt: skip
    return y, places


def _backward(dy, places, size, kernel, stride, padding, dilation, count_pad, divisor):
    """Launch the gather for either pooling; `places` is None for the average."""
    dx = launch.empty_map(dy, (*dy.shape[:2], *size))
    if dx.numel() == 0 or dy.numel() == 0:
        return dx.zero_()
    dy = launch.feature_map(dy)
    (n, c, h, w), (oh, ow) = dx.shape, dy.shape[2:]
    grid, tile = _grid(dx.shape)
    launch.run(
        pool_backward, grid, dy, dy if places is None else places, dx, n, h, w, c, oh, ow, divisor,
        **steps(kernel, stride, padding), DH=dilation[0], DW=dilation[1],
        MAXIMUM=places is not None, COUNT_PAD=count_pad, **tile, WIDE=launch.wide(dx, dy),
    )  # fmt: skip
    return dx


def _average(x, kernel, stride, padding, ceil_mode, count_pad, divisor):
    y = launch.empty_map(x, output_shape(x, kernel, stride, padding, (1, 1), ceil_mode))
    if y.numel() == 0:
        return y
    x = launch.feature_map(x)
    (n, c, h, w), (oh, ow) = x.shape, y.shape[2:]
    grid, tile = _grid(y.shape)
    launch.run(
        avg_pool_forward, grid, x, y, n, h, w, c, oh, ow, divisor,
        **steps(kernel, stride, padding), COUNT_PAD=count_pad, **tile, WIDE=launch.wide(x, y),
    )  # fmt: skip
    return y


WINDOW = "int[2] kernel, int[2] stride, int[2] padding"
max_gradient = launch.define(
    f"max_pool2d_gradient(Tensor dy, Tensor places, int[2] size, {WINDOW}, int[2] dilation) -> Tensor",
    lambda dy, places, size, kernel, stride, padding, dilation: _backward(
        dy, launch.feature_map(places), size, kernel, stride, padding, dilation, False, 0
    ),
    lambda dy, places, size, *_: launch.empty_map(dy, (*dy.shape[:2], *size)),
)
average_gradient = launch.define(
    f"avg_pool2d_gradient(Tensor dy, int[2] size, {WINDOW}, bool count_pad, int divisor) -> Tensor",
    lambda dy, size, kernel, stride, padding, count_pad, divisor: _backward(
        dy, None, size, kernel, stride, padding, (1, 1), count_pad, divisor
    ),
    lambda dy, size, *_: launch.empty_map(dy, (*dy.shape[:2], *size)),
)


def _setup_max(ctx, inputs, output):
    x, *ctx.window, _ = inputs
    ctx.size = list(x.shape[2:])
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1])


def _setup_average(ctx, inputs, output):
    x, ctx.kernel, ctx.stride, ctx.padding, _, ctx.count_pad, ctx.divisor = inputs
    ctx.size = list(x.shape[2:])


apply_max = launch.differentiable(
    launch.define(
        f"max_pool2d(Tensor x, {WINDOW}, int[2] dilation, bool ceil_mode) -> (Tensor, Tensor)", _max, _fake_max
    ),
    _setup_max,
    lambda ctx, dy, _: (max_gradient(dy, *ctx.saved_tensors, ctx.size, *ctx.window), *[None] * 5),
)
apply_average = launch.differentiable(
    launch.define(
        f"avg_pool2d(Tensor x, {WINDOW}, bool ceil_mode, bool count_pad, int divisor) -> Tensor",
        _average,
        lambda x, kernel, stride, padding, ceil_mode, *_: launch.empty_map(
            x, output_shape(x, kernel, stride, padding, (1, 1), ceil_mode)
        ),
    ),
    _setup_average,
    lambda ctx, dy: (
        average_gradient(dy, ctx.size, ctx.kernel, ctx.stride, ctx.padding, ctx.count_pad, ctx.divisor),
        *[None] * 6,
    ),
)


def window(x, kernel, stride, padding):
    """Return (window, stride, padding) as pairs, checked."""
    launch.check_map(x)
    kernel, padding = geometry.pair(kernel), geometry.pair(padding)
    stride = kernel if stride is None or stride == [] or stride == () else geometry.pair(stride)
    if min(*kernel, *stride) < 1:
        raise UsageError("a window and a stride of at least 1", f"{kernel} and {stride}", "pass positive numbers")
    if min(padding) < 0 or any(2 * edge > taps for edge, taps in zip(padding, kernel, strict=True)):
        raise UsageError("padding from 0 to half the window", f"{padding} for {kernel}", "pass less padding")
    return kernel, stride, padding


def max_pool2d(x, kernel, stride, padding, dilation, ceil_mode):
    """Take window maxima, as `striate.core.ops.max_pool2d` documents it."""
    return apply_max(x, *window(x, kernel, stride, padding), geometry.pair(dilation), ceil_mode)[0]


def avg_pool2d(x, kernel, stride, padding, count_include_pad, ceil_mode, divisor_override):
    """Take window means, as `striate.core.ops.avg_pool2d` documents it."""
    if divisor_override is not None and divisor_override < 1:
        raise UsageError("a positive divisor", str(divisor_override), "leave divisor_override out to count pixels")
    pairs = window(x, kernel, stride, padding)
    return apply_average(x, *pairs, ceil_mode, count_include_pad, divisor_override or 0)
