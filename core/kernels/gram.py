"""Gram matrices of the feature maps of several layers in one launch (Gatys, Ecker and Bethge 2015, equation 1).

    G[l, n, i, j] = scale[l] * sum over pixels p of F[l, n, p, i] * F[l, n, p, j]
    dF[l, n, p, i] = scale[l] * sum over j of (dG[l, n, i, j] + dG[l, n, j, i]) * F[l, n, p, j]

G is symmetric: only tiles on and below its diagonal are multiplied, half the products of a bmm, and each is stored
twice. Pixels are cut into SPLITS parts, the same number for all layers, which a second pass adds in order. A table on
the device tells a program where its layer lies:

    table (L, 6) int64: address of F, address of dF (backward), C, pixels, first program, place in the flat results

Feature maps are channels_last, F (N, pixels, C). Results are float32. Limit: offsets inside a layer are int64.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ..checks import UsageError
from . import launch, tiles

FIELDS: tl.constexpr = tl.constexpr(6)


@triton.jit
def _layer(table, layers, program):
    """Return the row of the table whose programs hold this one."""
    row = program * 0
    for i in range(1, layers):
        row = tl.where(program >= tl.load(table + i * FIELDS + 4), i, row)
    return table + row * FIELDS, row


@triton.jit
def _sizes(entry, like, ALIGNED: tl.constexpr):
    """Return address, C and pixels of a layer, with what the compiler cannot see in a table: vectors may be loaded."""
    maps = tl.load(entry).to(like.dtype)
    C = tl.load(entry + 2)
    if ALIGNED:
        maps = tl.multiple_of(maps, 16)
        C = tl.multiple_of(C, 16)
    return maps, C, tl.load(entry + 3)


@triton.jit
def gram_forward(
    table,  # (L, 6) int64
    scales,  # (L,) float32
    like,  # any one of the maps: their dtype
    parts,  # (SPLITS, total) float32: all G after each other
    layers, total, splits,
    B: tl.constexpr, BP: tl.constexpr, ALIGNED: tl.constexpr, PRECISION: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    # Which layer, image and tile; tiles are numbered along the rows of the lower triangle.
    entry, row = _layer(table, layers, tl.program_id(0))
    maps, C, P = _sizes(entry, like, ALIGNED)
    number = tl.program_id(0) - tl.load(entry + 4)
    side = tl.cdiv(C, B)
    triangle = side * (side + 1) // 2
    n = number // triangle
    t = number % triangle
    i = ((tl.sqrt(8.0 * t.to(tl.float32) + 1.0) - 1.0) * 0.5).to(tl.int64)
    i = tl.where(i * (i + 1) // 2 > t, i - 1, i)  # the root may be off by one rounding
    i = tl.where((i + 1) * (i + 2) // 2 <= t, i + 1, i)
    j = t - i * (i + 1) // 2
    rows = i * B + tl.arange(0, B)
    columns = j * B + tl.arange(0, B)

    # This part's pixels.
    per = tl.cdiv(tl.cdiv(P, splits), BP) * BP
    start = tl.program_id(1) * per
    stop = tl.minimum(start + per, P)
    maps += n * P * C
    acc = tl.zeros((B, B), tl.float32)
    for p0 in range(start, stop, BP):
        p = p0 + tl.arange(0, BP)
        inside = p < stop
        a = tl.load(maps + p[None, :] * C + rows[:, None], mask=inside[None, :] & (rows < C)[:, None], other=0.0)
        b = tl.load(maps + p[:, None] * C + columns[None, :], mask=inside[:, None] & (columns < C)[None, :], other=0.0)
        if UPCAST:
            a = a.to(tl.float32)
            b = b.to(tl.float32)
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
    acc *= tl.load(scales + row)

    # The tile, and its mirror image.
    out = parts + tl.program_id(1).to(tl.int64) * total + tl.load(entry + 5) + n * C * C
    ok = (rows < C)[:, None] & (columns < C)[None, :]
    tl.store(out + rows[:, None] * C + columns[None, :], acc, mask=ok)
    if i != j:
        tl.store(out + columns[None, :] * C + rows[:, None], acc, mask=ok)


@triton.jit
def gram_backward(
    table,  # (L, 6) int64
    scales,  # (L,) float32
    like,  # any one of the maps: their dtype
    gradients,  # (total,) float32: all dG after each other
    layers,
    BP: tl.constexpr, B: tl.constexpr, ALIGNED: tl.constexpr, PRECISION: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    entry, row = _layer(table, layers, tl.program_id(0))
    maps, C, P = _sizes(entry, like, ALIGNED)
    out = tl.load(entry + 1).to(like.dtype)
    if ALIGNED:
        out = tl.multiple_of(out, 16)
    number = tl.program_id(0) - tl.load(entry + 4)
    side = tl.cdiv(C, B)
    blocks = tl.cdiv(P, BP)
    n = number // (blocks * side)
    p = number // side % blocks * BP + tl.arange(0, BP)
    i = number % side * B + tl.arange(0, B)
    inside = p < P
    g = gradients + tl.load(entry + 5) + n * C * C
    scale = tl.load(scales + row)
    acc = tl.zeros((BP, B), tl.float32)
    for j0 in range(0, C, B):
        j = j0 + tl.arange(0, B)
        ok = (i < C)[None, :] & (j < C)[:, None]
        both = tl.load(g + i[None, :] * C + j[:, None], mask=ok, other=0.0)
        both += tl.load(g + j[:, None] * C + i[None, :], mask=ok, other=0.0)
        both *= scale  # before it is rounded: a scaled loss times 1 / pixels is a number of the map's size
        a = tl.load(maps + (n * P + p)[:, None] * C + j[None, :], mask=inside[:, None] & (j < C)[None, :], other=0.0)
        if UPCAST:
            a = a.to(tl.float32)
        else:
            both = both.to(a.dtype)
        acc = tl.dot(a, both, acc, input_precision=PRECISION)
    place = out + (n * P + p)[:, None] * C + i[None, :]
    tl.store(place, acc.to(like.dtype.element_ty), mask=inside[:, None] & (i < C)[None, :])


def _tile(maps, single):
    """Return the constants: channels and pixels of a tile, and whether every channel count is a multiple of 16.

    `single` says that float32 is multiplied, which takes twice the registers. Where channels are no such multiple,
    loads go element by element and need a register each: 64 x 64 would spill 1,868 bytes on sm_80.
    """
    aligned = all(m.shape[1] % 16 == 0 and m.data_ptr() % 16 == 0 for m in maps)
    channels, pixels = max(m.shape[1] for m in maps), max(m.shape[2] * m.shape[3] for m in maps)
    if launch.INTERPRETED:
        return {"B": tiles.power(channels, 64), "BP": tiles.power(pixels, 512), "ALIGNED": aligned}
    b, bp = (64, 64) if aligned and not single else (32, 32) if aligned else (32, 16)
    return {"B": b, "BP": bp, "ALIGNED": aligned}


def _places(maps):
    """Return where each layer's matrices begin in the flat results, and their total length."""
    lengths = [m.shape[0] * m.shape[1] ** 2 for m in maps]
    return [sum(lengths[:i]) for i in range(len(maps))], sum(lengths)


def _table(maps, outs, programs, places):
    """Return the table on the device: one copy, from pinned memory on a GPU, without waiting for it.

    Raises:
        UsageError: A CUDA graph is being recorded: at each replay it would copy from memory that is long free.
    """
    if maps[0].is_cuda and torch.cuda.is_current_stream_capturing():
        fix = 'call it outside, or take torch\'s road: with striate.core.ops.kernels("torch")'
        raise UsageError("Gram matrices outside of a CUDA graph's recording", "a stream that is recording", fix)
    begins = [sum(programs[:i]) for i in range(len(maps))]
    rows = [
        (m.data_ptr(), 0 if o is None else o.data_ptr(), m.shape[1], m.shape[2] * m.shape[3], begin, place)
        for m, o, begin, place in zip(maps, outs, begins, places, strict=True)
    ]
    table = torch.tensor(rows, dtype=torch.int64)
    return table.pin_memory().to(maps[0].device, non_blocking=True) if maps[0].is_cuda else table


def _scales(maps, scales):
    return torch.tensor(scales, dtype=torch.float32).to(maps[0].device, non_blocking=True)


def _fake(maps, scales, precision):
    return maps[0].new_empty(_places(maps)[1], dtype=torch.float32)


def _forward(maps, scales, precision):
    flat = _fake(maps, scales, precision)
    if flat.numel() == 0 or max(m.numel() for m in maps) == 0:
        return flat.zero_()
    maps = [launch.feature_map(m) for m in maps]
    places, total = _places(maps)
    tile = _tile(maps, maps[0].dtype == torch.float32)
    b, bp = tile["B"], tile["BP"]
    sides = [triton.cdiv(m.shape[1], b) for m in maps]
    programs = [m.shape[0] * s * (s + 1) // 2 for m, s in zip(maps, sides, strict=True)]
    pixels = max(m.shape[2] * m.shape[3] for m in maps)
    splits, _ = tiles.split(maps[0], pixels, bp, sum(programs), total)
    parts = flat if splits == 1 else torch.empty((splits, total), dtype=torch.float32, device=flat.device)
    launch.run(
        gram_forward, (sum(programs), splits), _table(maps, [None] * len(maps), programs, places),
        _scales(maps, scales), maps[0], parts, len(maps), total, splits,
        **tile, PRECISION=precision, UPCAST=launch.upcast(maps[0]),
    )  # fmt: skip
    if splits > 1:
        tiles.add_parts(parts, flat)
    return flat


def _fake_gradient(dflat, maps, scales, precision):
    return [launch.empty_map(m, m.shape) for m in maps]


def _gradient(dflat, maps, scales, precision):
    outs = _fake_gradient(dflat, maps, scales, precision)
    if max(m.numel() for m in maps) == 0:
        return outs
    maps = [launch.feature_map(m) for m in maps]
    places, _ = _places(maps)
    # float16 has not the range of the gradient of a sum over pixels; tf32 has its digits and the range of float32
    half = maps[0].dtype == torch.float16
    tile = _tile(maps, half or maps[0].dtype == torch.float32)
    b, bp = tile["B"], tile["BP"]
    programs = [m.shape[0] * triton.cdiv(m.shape[2] * m.shape[3], bp) * triton.cdiv(m.shape[1], b) for m in maps]
    launch.run(
        gram_backward, (sum(programs),), _table(maps, outs, programs, places), _scales(maps, scales), maps[0],
        dflat.contiguous(), len(maps), **tile,
        PRECISION="tf32" if half else precision, UPCAST=half or launch.upcast(maps[0]),
    )  # fmt: skip
    return outs


gradient = launch.define(
    "gram_gradient(Tensor dflat, Tensor[] maps, float[] scales, str precision) -> Tensor[]", _gradient, _fake_gradient
)
flat = launch.define("gram(Tensor[] maps, float[] scales, str precision) -> Tensor", _forward, _fake)


class Gram(torch.autograd.Function):
    """All Gram matrices in one flat tensor; a Function takes the maps one by one, which torch.library's cannot."""

    @staticmethod
    def forward(ctx, scales, precision, *maps):
        ctx.scales, ctx.precision = scales, precision
        ctx.save_for_backward(*maps)
        return flat(list(maps), scales, precision)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dflat):
        return None, None, *gradient(dflat, list(ctx.saved_tensors), ctx.scales, ctx.precision)


def gram(maps, scales, precision):
    """Return the Gram matrices (N, C, C) of the maps, views of one tensor."""
    for m in maps:
        launch.check_map(m)
        if m.dtype != maps[0].dtype or m.device != maps[0].device:
            fix = "convert or move them"
            raise UsageError("maps of one dtype on one device", f"{m.dtype} on {m.device} among others", fix)
    found = Gram.apply(scales, precision, *maps)
    return [
        part.view(m.shape[0], m.shape[1], m.shape[1])
        for part, m in zip(found.split([m.shape[0] * m.shape[1] ** 2 for m in maps]), maps, strict=True)
    ]
