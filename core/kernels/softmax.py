"""Softmax over the channels and its logarithm, forward and backward.

    softmax:      y_c = e^(x_c - t) / s              dx_c = y_c (dy_c - sum_k y_k dy_k)
    log_softmax:  y_c = x_c - t - log s              dx_c = dy_c - e^(y_c) sum_k dy_k

with t the largest of a row and s = sum_k e^(x_k - t), in float32. A map (N, C, H, W) in channels_last strides and a
matrix (N, C) are both M rows of C numbers. A program holds whole rows; a row longer than its tile is read twice: t and
s are kept up to date from block to block (Milakov and Gimelshein 2018, algorithm 3), then the result is written. So C
has no limit. A row with NaN or plus infinity, or of minus infinity alone, gives NaN, as in torch. Limit: int64 offsets
from 2^31 elements on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ..checks import UsageError
from . import launch, tiles
from .running_softmax import LOWEST, merge, read


@triton.jit
def _write(y, v, top, total, m, c, M, C, LOG: tl.constexpr):
    out = v - top[:, None] - tl.log(total)[:, None] if LOG else tl.exp(v - top[:, None]) / total[:, None]
    tl.store(y + m[:, None] * C + c[None, :], out.to(y.dtype.element_ty), mask=(m < M)[:, None] & (c < C)[None, :])


@triton.jit
def softmax_forward(
    x,  # (M, C)
    y,  # (M, C)
    M, C,
    LOG: tl.constexpr, ONE: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = tl.arange(0, BC)
    top = tl.full((BM,), LOWEST, tl.float32)
    total = tl.zeros((BM,), tl.float32)
    if ONE:
        v = read(x, m, c, M, C)
        top, total = merge(top, total, v)
        _write(y, v, top, total, m, c, M, C, LOG)
    else:
        for c0 in range(0, C, BC):
            top, total = merge(top, total, read(x, m, c0 + c, M, C))
        for c0 in range(0, C, BC):
            _write(y, read(x, m, c0 + c, M, C), top, total, m, c0 + c, M, C, LOG)


@triton.jit
def _products(dy, y, m, c, M, C, LOG: tl.constexpr):
    """Return the tiles dy and y in float32, and each row's sum of dy (LOG) or of y dy."""
    ok = (m < M)[:, None] & (c < C)[None, :]
    g = tl.load(dy + m[:, None] * C + c[None, :], mask=ok, other=0.0).to(tl.float32)
    v = tl.load(y + m[:, None] * C + c[None, :], mask=ok, other=0.0).to(tl.float32)
    return g, v, tl.sum(g if LOG else g * v, 1)


@triton.jit
def _write_gradient(dx, g, v, total, m, c, M, C, LOG: tl.constexpr):
    out = g - tl.exp(v) * total[:, None] if LOG else v * (g - total[:, None])
    tl.store(dx + m[:, None] * C + c[None, :], out.to(dx.dtype.element_ty), mask=(m < M)[:, None] & (c < C)[None, :])


@triton.jit
def softmax_backward(
    dy,  # (M, C)
    y,  # (M, C): the result of softmax_forward
    dx,  # (M, C)
    M, C,
    LOG: tl.constexpr, ONE: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = tl.arange(0, BC)
    if ONE:
        g, v, total = _products(dy, y, m, c, M, C, LOG)
        _write_gradient(dx, g, v, total, m, c, M, C, LOG)
    else:
        total = tl.zeros((BM,), tl.float32)
        for c0 in range(0, C, BC):
            g, v, part = _products(dy, y, m, c0 + c, M, C, LOG)
            total += part
        for c0 in range(0, C, BC):
            g, v, part = _products(dy, y, m, c0 + c, M, C, LOG)
            _write_gradient(dx, g, v, total, m, c0 + c, M, C, LOG)


def _tile(rows, channels):
    """Return a program's (BM, BC): as many numbers as a column tile has, in whole rows where one fits."""
    bm, bc = tiles.column_tile(rows, channels)
    columns = min(triton.next_power_of_2(channels), bm * bc)
    return bm * bc // columns, columns


def _packed(x):
    return launch.feature_map(x) if x.dim() == 4 else x.contiguous()


def _empty(like, dtype):
    if like.dim() == 4:
        return launch.empty_map(like, like.shape, dtype)
    return torch.empty(like.shape, dtype=dtype, device=like.device)


def _launch(kernel_arguments, rows, channels, log):
    """Return what `launch.run` takes after the kernel: grid, arguments and constants.

    8 warps: 4,096 numbers in 4 take all registers, and spilled 8 bytes on sm_89.
    """
    bm, bc = _tile(rows, channels)
    constants = {
        "num_warps": 8,
        "LOG": log,
        "ONE": bc >= channels,
        "BM": bm,
        "BC": bc,
        "WIDE": launch.wide(*kernel_arguments),
    }
    return ((triton.cdiv(rows, bm),), *kernel_arguments, rows, channels), constants


def _forward(x, log, dtype):
    y = _empty(x, dtype)
    if x.numel():
        args, constants = _launch((_packed(x), y), x.numel() // x.shape[1], x.shape[1], log)
        launch.run(softmax_forward, *args, **constants)
    return y


def _backward(dy, y, log, dtype):
    dx = _empty(y, dtype)
    if y.numel():
        args, constants = _launch((_packed(dy), _packed(y), dx), y.numel() // y.shape[1], y.shape[1], log)
        launch.run(softmax_backward, *args, **constants)
    return dx


def _setup_context(ctx, inputs, output):
    x, ctx.log, _ = inputs
    ctx.dtype = x.dtype
    ctx.save_for_backward(output)


gradient = launch.define(
    "softmax_gradient(Tensor dy, Tensor y, bool log, ScalarType dtype) -> Tensor",
    _backward,
    lambda dy, y, log, dtype: _empty(y, dtype),
)
apply = launch.differentiable(
    launch.define(
        "softmax(Tensor x, bool log, ScalarType dtype) -> Tensor", _forward, lambda x, log, dtype: _empty(x, dtype)
    ),
    _setup_context,
    lambda ctx, dy: (gradient(dy, *ctx.saved_tensors, ctx.log, ctx.dtype), None, None),
)


def softmax(x, dim, dtype, log):
    """Take the softmax or its logarithm, as `striate.core.ops.softmax` documents it."""
    launch.check_dtype(x)
    if dtype is None:  # torch's autocast computes both in float32
        dtype = torch.float32 if torch.is_autocast_enabled(x.device.type) else x.dtype
    if dtype not in launch.DTYPES:
        raise UsageError("float32, float16 or bfloat16 as dtype", str(dtype), "leave dtype out")
    last = x.dim() - 1
    if x.dim() == 4 and dim in (1, -3):
        return apply(x, log, dtype)
    if x.dim() == 0 or dim not in (last, -1):
        raise UsageError(
            "dim 1 of a tensor (N, C, H, W), or the last dimension",
            f"dim {dim} of shape {tuple(x.shape)}",
            "move the dimension with movedim, or flatten what follows it",
        )
    return apply(x.reshape(x.numel() // max(1, x.shape[-1]), x.shape[-1]), log, dtype).view(x.shape)
