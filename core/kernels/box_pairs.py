"""The arithmetic of a pair of boxes, rounded operation by operation: the CPU's answer to the last bit.

inter = max(0, min(x2, X2) - max(x1, X1)) max(0, min(y2, Y2) - max(y1, Y1))        union = area + AREA - inter
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

from . import launch

ROUNDED = tl.constexpr(not launch.INTERPRETED)  # the interpreter has no libdevice, and rounds every product


@triton.jit
def product(a, b):
    """Return a b rounded by itself: the compiler would contract area + a b into one rounding."""
    if ROUNDED:
        return libdevice.mul_rn(a, b)
    else:
        return a * b


@triton.jit
def corners(boxes, index, ok):
    """Return x1, y1, x2, y2 and the area of the boxes (M, 4) at `index`; NaN stays NaN, unlike in tl.maximum."""
    at = boxes + index * 4
    x1 = tl.load(at, mask=ok, other=0.0).to(tl.float32)
    y1 = tl.load(at + 1, mask=ok, other=0.0).to(tl.float32)
    x2 = tl.load(at + 2, mask=ok, other=0.0).to(tl.float32)
    y2 = tl.load(at + 3, mask=ok, other=0.0).to(tl.float32)
    w = x2 - x1
    h = y2 - y1
    return x1, y1, x2, y2, product(tl.where(w < 0, 0.0, w), tl.where(h < 0, 0.0, h))


@triton.jit
def overlap(x1, y1, x2, y2, area, X1, Y1, X2, Y2, AREA):
    """Return intersection and union; tl.minimum drops NaN, but the areas bring it into the union."""
    w = tl.maximum(tl.minimum(x2, X2) - tl.maximum(x1, X1), 0.0)
    h = tl.maximum(tl.minimum(y2, Y2) - tl.maximum(y1, Y1), 0.0)
    inter = product(w, h)
    return inter, area + AREA - inter
