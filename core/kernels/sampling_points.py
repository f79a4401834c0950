"""From the coordinates of a grid to pixels of a map: the arithmetic that sampling.py's kernels share."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def position(g, size, ALIGN: tl.constexpr, PADDING: tl.constexpr):
    """Return the position of the coordinate g on a side of `size` pixels, and its derivative."""
    length = size * 1.0
    if ALIGN:
        at = (g + 1.0) * 0.5 * (length - 1.0)
        slope = g * 0.0 + (length - 1.0) * 0.5
    else:
        at = ((g + 1.0) * length - 1.0) * 0.5
        slope = g * 0.0 + length * 0.5
    if PADDING == "reflection":
        low = 0.0 if ALIGN else -0.5
        span = length - 1.0 if ALIGN else length
        off = at - low
        sign = tl.where(off < 0, -1.0, 1.0)
        off = tl.abs(off)
        turns = tl.floor(off / tl.maximum(span, 1e-30))
        rest = off - turns * span
        odd = turns - 2.0 * tl.floor(turns * 0.5)
        at = tl.where(odd > 0.5, span - rest, rest) + low
        slope *= tl.where(odd > 0.5, -sign, sign)
        at = tl.where(span > 0, at, 0.0)
        slope = tl.where(span > 0, slope, 0.0)
    if PADDING != "zeros":
        clipped = (at <= 0) | (at >= length - 1.0) | (at != at)
        at = tl.where(at > 0, at, 0.0)  # NaN reads the first pixel, as torch does
        at = tl.where(at < length - 1.0, at, length - 1.0)
        slope = tl.where(clipped, 0.0, slope)
    return at, slope


@triton.jit
def whole(v):
    """Round to the nearest integer, halves to even."""
    r = tl.floor(v + 0.5)
    odd = r - 2.0 * tl.floor(r * 0.5)
    return tl.where((r - v == 0.5) & (odd > 0.5), r - 1.0, r)


@triton.jit
def corner_pixel(n, h, v, H, W):
    """Return the index of a pixel of image n, and whether it is there; h and v are whole numbers in float32."""
    ok = (h >= 0) & (h < H) & (v >= 0) & (v < W)
    return (n * H + tl.where(ok, h, 0.0).to(tl.int32)) * W + tl.where(ok, v, 0.0).to(tl.int32), ok
