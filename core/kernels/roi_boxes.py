"""What roi_align.py and roi_pool.py share: reading a box, adding to a map, and how the work of a gradient is cut."""

from __future__ import annotations

import triton
import triton.language as tl

FAR = tl.constexpr(float("inf"))


@triton.jit
def box_of(boxes, k, N, there, WIDE: tl.constexpr):
    """Return image (int64 if WIDE), x1, y1, x2, y2 of the boxes k, and which are finite and on an image that exists."""
    image = tl.load(boxes + 5 * k, mask=there, other=-1.0).to(tl.float32)
    x1 = tl.load(boxes + 5 * k + 1, mask=there, other=0.0).to(tl.float32)
    y1 = tl.load(boxes + 5 * k + 2, mask=there, other=0.0).to(tl.float32)
    x2 = tl.load(boxes + 5 * k + 3, mask=there, other=0.0).to(tl.float32)
    y2 = tl.load(boxes + 5 * k + 4, mask=there, other=0.0).to(tl.float32)
    ok = there & (image >= 0) & (image < N)
    ok = ok & (tl.abs(x1) < FAR) & (tl.abs(y1) < FAR) & (tl.abs(x2) < FAR) & (tl.abs(y2) < FAR)  # not so for NaN
    x1 = tl.where(ok, x1, 0.0)
    y1 = tl.where(ok, y1, 0.0)
    x2 = tl.where(ok, x2, 0.0)
    y2 = tl.where(ok, y2, 0.0)
    image = tl.where(ok, image, 0.0).to(tl.int32)
    if WIDE:
        image = image.to(tl.int64)
    return image, x1, y1, x2, y2, ok


@triton.jit
def give(at, value, mask, ORDERED: tl.constexpr):
    """Add to memory: atomically, or one after the other by a single program."""
    if ORDERED:
        tl.store(at, tl.load(at, mask=mask, other=0.0) + value, mask=mask)
        tl.debug_barrier()  # the next load may be another thread's
    else:
        tl.atomic_add(at, value, mask=mask)


def blocks(rows: int, bm: int, ordered: bool) -> tuple[int, int]:
    """Return (programs, blocks of rows for each): all blocks for one program where their order matters."""
    number = triton.cdiv(rows, bm)
    return (1, number) if ordered else (number, 1)
