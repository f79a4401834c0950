"""Convolution of pictures by tiles that Hopper's copy engine (TMA) fetches: stride 1, half precision, sm_90 and later.

The sum of conv2d.py, cut another way: a tile is a block of TN images x TH rows x TW columns, and the block of x under a
tap is the same block moved by the tap's place. The copy engine fetches it whole, with zeros where it hangs over the
edge, so that the loop holds no addresses and no masks.

    acc (BN filters x pixels) += w[k, tap, c] (BN x BK) times block of x (pixels x BK), transposed

Filters come first ("swapped"): with the block of x as the first operand the compiler sends it through registers and
the products wait for each other (ptxas C7515); as the second, transposed, both operands stay in shared memory.
Blocks have sizes of powers of two, chosen for each map so that little hangs over: 8 x 8 for 56, 4 x 4 for 28.

Limits: channels and filters are multiples of 8 (rows of 16 bytes), weights finite: a block of channels that hangs over
the last multiplies another tap's weights by zeros.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from . import launch, tiles
from .epilogue import finish

ARCHITECTURES = (90, 100)
LEAST = 64  # channels and filters from which on a tile is full


@triton.jit
def conv_tma(
    y,  # (N, OH, OW, K)
    x,  # descriptor of (N, H, W, C), blocks of (TN, TH, TW, BK)
    w,  # descriptor of (K, R*S*C), blocks of (BN, BK)
    bias, scale, shift,  # (K,) each, or None
    residual,  # (N, OH, OW, K), or None
    N, C, OH, OW, K, slope,
    R: tl.constexpr, S: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    TN: tl.constexpr, TH: tl.constexpr, TW: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
    ACTIVATION: tl.constexpr, UPCAST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    # The block's first image, row and column, and its filters; neighbours share their pixels.
    filters = tl.cdiv(K, BN)
    pn = tl.program_id(0) % filters
    block = tl.program_id(0) // filters
    across = tl.cdiv(OW, TW)
    down = tl.cdiv(OH, TH)
    w0 = block % across * TW
    h0 = block // across % down * TH
    n0 = block // (across * down) * TN

    acc = tl.zeros((BN, TN * TH * TW), tl.float32)
    blocks = tl.cdiv(C, BK)
    for i in range(R * S * blocks):
        tap = i // blocks
        c = i % blocks * BK
        a = w.load([pn * BN, tap * C + c])
        b = x.load([n0, h0 - PH + tap // S * DH, w0 - PW + tap % S * DW, c]).reshape(TN * TH * TW, BK)
        if UPCAST:
            a = a.to(tl.float32)
            b = b.to(tl.float32)
        acc = tl.dot(a, b.T, acc)

    # Back to pixels x filters, which is how the map lies in memory.
    p = tl.arange(0, TN * TH * TW)
    n = n0 + p // (TH * TW)
    h = h0 + p // TW % TH
    v = w0 + p % TW
    inside = (n < N) & (h < OH) & (v < OW)
    k = pn * BN + tl.arange(0, BN)
    if WIDE:
        n = n.to(tl.int64)
    offset = ((n * OH + h) * OW + v)[:, None] * K + k[None, :]
    out = finish(acc.T, bias, scale, shift, residual, offset, k, inside, k < K, slope, ACTIVATION)
    tl.store(y + offset, out.to(y.dtype.element_ty), mask=inside[:, None] & (k < K)[None, :])


class Block(NamedTuple):
    """A tile of TN images x TH rows x TW columns."""

    TN: int
    TH: int
    TW: int


def block_for(n: int, h: int, w: int, pixels: int) -> Block:
    """Return the block of so many pixels that computes the fewest beyond a map's edges; wide rows rather than high."""
    sides = [2**i for i in range(pixels.bit_length()) if 2**i <= pixels]
    found = [Block(pixels // (a * b), a, b) for a, b in product(sides, sides) if a * b <= pixels]

    def computed(block: Block) -> int:
        return prod(triton.cdiv(size, side) * side for size, side in zip((n, h, w), block, strict=True))

    return min(found, key=lambda block: (computed(block), block.TN, -block.TW))


def _programs(y, block, bn):
    n, k, oh, ow = y.shape
    return triton.cdiv(k, bn) * prod(triton.cdiv(size, side) for size, side in zip((n, oh, ow), block, strict=True))


def _cut(y):
    """Return the block of pixels and the number of filters that one program makes of y."""
    return block_for(y.shape[0], y.shape[2], y.shape[3], 128), 128 if y.shape[1] > 64 else 64


def takes(x, weight, y, stride, groups):
    """Whether this kernel can compute a convolution, and has enough tiles to fill half of the device."""
    if x.dim() != 4 or groups > 1 or tuple(stride) != (1, 1) or x.dtype == torch.float32:
        return False
    k, c = weight.shape[:2]
    able = tiles.architecture(x) in ARCHITECTURES and min(k, c) >= LEAST and k % 8 == 0 and c % 8 == 0
    aligned = x.data_ptr() % 16 == 0 and weight.data_ptr() % 16 == 0
    return able and aligned and 2 * _programs(y, *_cut(y)) > tiles.processors(x)


def forward(x, weight, y, after, padding, dilation):
    """Launch it; x, weight and y are channels_last."""
    (n, c, h, w), (k, _, r, s), (oh, ow) = x.shape, weight.shape, y.shape[2:]
    block, bn = _cut(y)
    bk = 64
    rows = x.permute(0, 2, 3, 1)
    image = TensorDescriptor(rows, list(rows.shape), [h * w * c, w * c, c, 1], [*block, bk])
    filters = TensorDescriptor(weight.permute(0, 2, 3, 1), [k, r * s * c], [r * s * c, 1], [bn, bk])
    launch.run(
        conv_tma, (_programs(y, block, bn),), y, image, filters, *after.tensors(), n, c, oh, ow, k, after.slope,
        R=r, S=s, PH=padding[0], PW=padding[1], DH=dilation[0], DW=dilation[1], **block._asdict(), BN=bn, BK=bk,
        ACTIVATION=after.activation, UPCAST=launch.upcast(x), WIDE=launch.wide(x, y), num_stages=3,
    )  # fmt: skip
