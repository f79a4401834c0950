"""Rows read tile by tile, and the running softmax of each: its maximum and its sum of e^(x - maximum).

A row starts with LOWEST and 0 and takes in one tile after another (Milakov and Gimelshein 2018, algorithm 3).
"""

from __future__ import annotations

import triton
import triton.language as tl

# Where maxima start: were it minus infinity, a row that begins with it would subtract infinities.
LOWEST = tl.constexpr(-3.4028234663852886e38)


@triton.jit
def read(x, m, c, M, C):
    """Return a tile in float32: minus infinity right of the last column, 0 below the last row."""
    v = tl.load(x + m[:, None] * C + c[None, :], mask=(m < M)[:, None] & (c < C)[None, :], other=0.0)
    return tl.where((c < C)[None, :], v.to(tl.float32), float("-inf"))


@triton.jit
def merge(top, total, v):
    """Take a tile into each row's maximum and its sum of e^(x - maximum)."""
    new = tl.maximum(top, tl.max(v, 1))
    return new, total * tl.exp(top - new) + tl.sum(tl.exp(v - new[:, None]), 1)
