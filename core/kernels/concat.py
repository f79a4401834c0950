"""Concatenation of channels: the maps of a channel axis side by side, a launch for each.

    y[m, OFFSET + c] = x[m, c]      for every pixel m of a channels_last map

No concatenation of memory: channels_last maps interleave, so every map goes through one strided pass. The gradient of a
map is a view of the incoming gradient, which costs nothing until somebody needs it dense. One tile is BM pixels x BC
channels. Limit: int64 offsets from 2^31 elements of the result on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ..checks import UsageError
from . import launch, tiles


@triton.jit
def concat_forward(
    x,  # (M, C)
    y,  # (M, K)
    M, C, K, offset,
    BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
    m = (pm * BM + tl.arange(0, BM))[:, None]
    c = (tl.program_id(1) * BC + tl.arange(0, BC))[None, :]
    inside = (m < M) & (c < C)
    tl.store(y + m * K + offset + c, tl.load(x + m * C + c, mask=inside, other=0.0), mask=inside)


def _fake(maps):
    first = maps[0]
    return launch.empty_map(first, (first.shape[0], sum(x.shape[1] for x in maps), *first.shape[2:]))


def _launch(maps):
    y = _fake(maps)
    offset = 0
    for x in maps:
        if x.numel():
            rows, c = x.numel() // x.shape[1], x.shape[1]
            # Offsets of odd numbers of channels: numbers go one by one, and 4,096 of them spilled 52 bytes.
            bm, bc = tiles.small_tile(rows, c)
            launch.run(
                concat_forward, (triton.cdiv(rows, bm), triton.cdiv(c, bc)),
                launch.feature_map(x), y, rows, c, y.shape[1], offset, BM=bm, BC=bc, WIDE=launch.wide(y),
            )  # fmt: skip
        offset += x.shape[1]
    return y


def _slices(channels, dy):
    return list(dy.split(channels, 1))


def _setup(ctx, inputs, output):
    ctx.channels = [x.shape[1] for x in inputs[0]]


op = launch.define("concat(Tensor[] maps) -> Tensor", _launch, _fake)
torch.library.register_autograd(op, lambda ctx, dy: _slices(ctx.channels, dy), setup_context=_setup, lib=launch.LIBRARY)


class _Concat(torch.autograd.Function):
    """`op` for eager calls (see `launch.differentiable`), with a tensor for each map, which autograd follows."""

    @staticmethod
    def forward(*maps):
        return op(maps)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _setup(ctx, (inputs,), output)

    @staticmethod
    def backward(ctx, dy):
        return tuple(_slices(ctx.channels, dy))


def concat(maps):
    """Put channels side by side, as `striate.core.ops.concat` documents it."""
    for x in maps:
        launch.check_dtype(x)
        if x.dim() < 3:
            raise UsageError("tensors (N, C, ...) with pixels", f"shape {tuple(x.shape)}", "use torch.cat for matrices")
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return op(maps)
    return _Concat.apply(*maps)
