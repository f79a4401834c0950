"""Cross-entropy of class scores against class numbers, forward and backward.

A map (N, C, H, W) in channels_last strides with targets (N, H, W), and a matrix (N, C) with targets (N,), are both M
rows of C scores x with one target t each. With p = softmax(x), class weights w (1 if none) and smoothing e, a row loses

    l = (1 - e) w_t (-log p_t) + e / C sum_c w_c (-log p_c)               and 0 where t is the ignored class
    dl / dx_c = (1 - e) w_t (p_c - [c = t]) + e / C (p_c sum_k w_k - w_c)

The mean divides the sum of l by the sum of w_t over the targets that count. Scores are read once, in their own type;
arithmetic is float32. No probabilities, no logarithms and no one-hot targets are stored: backward reads the scores and
takes their softmax again. Not even a row's log-sum-exp is kept: its rounding (5e-4 for scores near 10,000) would pass
into every probability, and to take it again costs a sum over a tile that is there anyway. Rows longer than a tile are
read twice by backward, as in softmax.py.

Sums run in a fixed order: each program adds its rows, one program adds the programs. A target outside [0, C) that is
not the ignored class loads nothing and makes its row NaN, and with it the mean or the sum, so that it is noticed
without asking the device. Limit: int64 offsets from 2^31 scores on.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ..checks import UsageError, fraction, unknown
from . import launch, tiles
from .running_softmax import LOWEST, merge, read

REDUCTIONS = ("mean", "sum", "none")
WARPS = 8  # 4,096 numbers in 4 warps take all registers
TARGETS = (torch.int64, torch.int32, torch.uint8)


@triton.jit
def _read(x, weight, m, c, M, C, HAS_WEIGHT: tl.constexpr):
    """Return a tile in float32 (minus infinity right of the last column, 0 below the last row) and w, 0 outside."""
    v = read(x, m, c, M, C)
    w = tl.load(weight + c, mask=c < C, other=0.0).to(tl.float32) if HAS_WEIGHT else tl.where(c < C, 1.0, 0.0)
    return v, w


@triton.jit
def _class_weight(target, weight, m, M, C, ignored, HAS_WEIGHT: tl.constexpr):
    """Return each row's target (0 if it is none), w_t (0 if ignored, NaN outside [0, C)), and whether it counts."""
    t = tl.load(target + m, mask=m < M, other=0).to(tl.int64)
    counts = (m < M) & (t != ignored)
    known = counts & (t >= 0) & (t < C)
    t = tl.where(known, t, 0).to(tl.int32)
    w = tl.load(weight + t, mask=known, other=0.0).to(tl.float32) if HAS_WEIGHT else tl.where(known, 1.0, 0.0)
    return t, tl.where(counts & (known == 0), float("nan"), w), counts


@triton.jit
def cross_entropy_forward(
    x,  # (M, C)
    target,  # (M,) integers
    weight,  # (C,); any pointer without HAS_WEIGHT
    losses,  # (M,) without SUMMED; (2, programs) float32 sums of l and w_t with it
    M, C, ignored, smoothing,
    SUMMED: tl.constexpr, SMOOTH: tl.constexpr, HAS_WEIGHT: tl.constexpr,
    BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
    m = pm * BM + tl.arange(0, BM)
    top = tl.full((BM,), LOWEST, tl.float32)
    total = tl.zeros((BM,), tl.float32)
    spread = tl.zeros((BM,), tl.float32)  # sum of w_c (top - x_c)
    mass = 0.0  # sum of w_c
    for c0 in range(0, C, BC):
        c = c0 + tl.arange(0, BC)
        v, w = _read(x, weight, m, c, M, C, HAS_WEIGHT)
        old = top
        top, total = merge(top, total, v)
        if SMOOTH:
            part = w[None, :] * tl.where((c < C)[None, :], top[:, None] - v, 0.0)
            # on the first block mass is 0, and top - old may be infinite
            spread += tl.sum(part, 1) + tl.where(c0 > 0, mass * (top - old), 0.0)
            mass += tl.sum(w, 0)
    t, w, counts = _class_weight(target, weight, m, M, C, ignored, HAS_WEIGHT)
    score = tl.load(x + m * C + t, mask=counts, other=0.0).to(tl.float32)
    loss = w * (top - score + tl.log(total))
    if SMOOTH:
        loss = (1.0 - smoothing) * loss + smoothing / C * (spread + mass * tl.log(total))
    loss = tl.where(counts, loss, 0.0)
    if SUMMED:
        tl.store(losses + tl.program_id(0), tl.sum(loss, 0))
        tl.store(losses + tl.num_programs(0) + tl.program_id(0), tl.sum(w, 0))
    else:
        tl.store(losses + m, loss.to(losses.dtype.element_ty), mask=m < M)


@triton.jit
def cross_entropy_total(
    parts,  # (2, P) float32 of cross_entropy_forward
    loss,  # ()
    divisor,  # () float32: the sum of w_t, or 1
    P,
    MEAN: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    top = tl.zeros((B,), tl.float32)
    bottom = tl.zeros((B,), tl.float32)
    for i0 in range(0, P, B):
        i = i0 + tl.arange(0, B)
        top += tl.load(parts + i, mask=i < P, other=0.0)
        bottom += tl.load(parts + P + i, mask=i < P, other=0.0)
    share = tl.sum(bottom, 0) if MEAN else 1.0
    tl.store(loss, (tl.sum(top, 0) / share).to(loss.dtype.element_ty))
    tl.store(divisor, share)


@triton.jit
def _write(dx, v, w, top, total, c, m, M, C, t, own, mass, even, g):
    p = tl.exp(v - top[:, None]) / total[:, None]
    hot = tl.where(c[None, :] == t[:, None], own[:, None], 0.0)
    out = g[:, None] * (p * (own + even * mass)[:, None] - hot - even * w[None, :])
    tl.store(dx + m[:, None] * C + c[None, :], out.to(dx.dtype.element_ty), mask=(m < M)[:, None] & (c < C)[None, :])


@triton.jit
def cross_entropy_backward(
    dy,  # () if SUMMED, else (M,)
    x,  # (M, C)
    target,  # (M,) integers
    weight,  # (C,); any pointer without HAS_WEIGHT
    divisor,  # () float32; any pointer without SUMMED
    dx,  # (M, C)
    M, C, ignored, smoothing,
    SUMMED: tl.constexpr, HAS_WEIGHT: tl.constexpr,
    ONE: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = tl.arange(0, BC)
    t, own, counts = _class_weight(target, weight, m, M, C, ignored, HAS_WEIGHT)
    own *= 1.0 - smoothing
    even = smoothing / C
    if SUMMED:
        g = tl.where(counts, tl.load(dy).to(tl.float32) / tl.load(divisor), 0.0)
    else:
        g = tl.where(counts, tl.load(dy + m, mask=m < M, other=0.0).to(tl.float32), 0.0)
    top = tl.full((BM,), LOWEST, tl.float32)
    total = tl.zeros((BM,), tl.float32)
    if ONE:
        v, w = _read(x, weight, m, c, M, C, HAS_WEIGHT)
        top, total = merge(top, total, v)
        _write(dx, v, w, top, total, c, m, M, C, t, own, tl.sum(w, 0), even, g)
    else:
        mass = 0.0
        for c0 in range(0, C, BC):
            v, w = _read(x, weight, m, c0 + c, M, C, HAS_WEIGHT)
            top, total = merge(top, total, v)
            mass += tl.sum(w, 0)
        for c0 in range(0, C, BC):
            v, w = _read(x, weight, m, c0 + c, M, C, HAS_WEIGHT)
            _write(dx, v, w, top, total, c0 + c, m, M, C, t, own, mass, even, g)


def _tile(rows, channels):
    """Return a program's (BM, BC): as many numbers as a column tile has, in whole rows where one fits."""
    bm, bc = tiles.column_tile(rows, channels)
    columns = min(triton.next_power_of_2(channels), bm * bc)
    return bm * bc // columns, columns


def _packed(x):
    return launch.feature_map(x) if x.dim() == 4 else x.contiguous()


def _fake(x, target, weight, ignored, smoothing, reduction, dtype):
    shape = target.shape if reduction == "none" else ()
    return x.new_empty(shape, dtype=dtype), x.new_empty(() if reduction != "none" else 0, dtype=torch.float32)


def _forward(x, target, weight, ignored, smoothing, reduction, dtype):
    loss, divisor = _fake(x, target, weight, ignored, smoothing, reduction, dtype)
    rows, classes = target.numel(), x.shape[1]
    if rows == 0:
        return loss.fill_(float("nan") if reduction == "mean" else 0.0), divisor.fill_(1.0)
    x, target = _packed(x), target.contiguous()
    bm, bc = _tile(rows, classes)
    programs, summed = triton.cdiv(rows, bm), reduction != "none"
    out = torch.empty((2, programs), dtype=torch.float32, device=x.device) if summed else loss
    launch.run(
        cross_entropy_forward, (programs,), x, target, x if weight is None else weight.contiguous(), out,
        rows, classes, ignored, smoothing,
        SUMMED=summed, SMOOTH=smoothing > 0, HAS_WEIGHT=weight is not None, BM=bm, BC=bc, WIDE=launch.wide(x),
        num_warps=WARPS,
    )  # fmt: skip
    if summed:
        launch.run(cross_entropy_total, (1,), out, loss, divisor, programs, MEAN=reduction == "mean", B=1024)
    return loss, divisor


def _empty(like):
    return launch.empty_map(like, like.shape) if like.dim() == 4 else torch.empty_like(like.contiguous())


def _backward(dy, x, target, weight, divisor, ignored, smoothing, reduction):
    x = _packed(x)
    dx = torch.empty_like(x)
    rows, classes = target.numel(), x.shape[1]
    if rows == 0:
        return dx
    bm, bc = _tile(rows, classes)
    launch.run(
        cross_entropy_backward, (triton.cdiv(rows, bm),),
        dy.contiguous(), x, target.contiguous(), x if weight is None else weight.contiguous(), divisor, dx,
        rows, classes, ignored, smoothing,
        SUMMED=reduction != "none", HAS_WEIGHT=weight is not None,
        ONE=bc >= classes, BM=bm, BC=bc, WIDE=launch.wide(x), num_warps=WARPS,
    )  # fmt: skip
    return dx


def _setup_context(ctx, inputs, output):
    x, target, weight, ctx.ignored, ctx.smoothing, ctx.reduction, _ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(x, target, weight, output[1])


TENSORS = "Tensor x, Tensor target, Tensor? weight"
ARGUMENTS = "int ignored, float smoothing, str reduction"
gradient = launch.define(
    f"cross_entropy_gradient(Tensor dy, {TENSORS}, Tensor divisor, {ARGUMENTS}) -> Tensor",
    _backward,
    lambda dy, x, *_: _empty(x),
)
apply = launch.differentiable(
    launch.define(
        f"cross_entropy({TENSORS}, {ARGUMENTS}, ScalarType dtype) -> (Tensor, Tensor)",
        _forward,
        _fake,
    ),
    _setup_context,
    lambda ctx, dy, _: (gradient(dy, *ctx.saved_tensors, ctx.ignored, ctx.smoothing, ctx.reduction), *[None] * 6),
)


def cross_entropy(x, target, weight, ignore_index, reduction, label_smoothing):
    """Compare scores with class numbers, as `striate.core.ops.cross_entropy` documents it."""
    launch.check_dtype(x)
    if reduction not in REDUCTIONS:
        raise unknown("reduction", reduction, REDUCTIONS)
    fraction("label_smoothing", label_smoothing)
    if target.dtype not in TARGETS:
        raise UsageError(
            "class numbers in int64, int32 or uint8",
            f"targets in {str(target.dtype).removeprefix('torch.')}",
            'convert them; for probabilities as targets take torch\'s road: with striate.core.ops.kernels("torch")',
        )
    if x.dim() not in (2, 4) or x.shape[1] == 0 or target.shape != (x.shape[0], *x.shape[2:]):
        raise UsageError(
            "scores (N, C) with targets (N,), or scores (N, C, H, W) with targets (N, H, W), C of at least 1",
            f"scores {tuple(x.shape)} with targets {tuple(target.shape)}",
            "reshape them; class numbers have no dimension of classes",
        )
    if target.device != x.device or (weight is not None and weight.device != x.device):
        raise UsageError("scores, targets and weights on one device", f"{x.device} and others", "move them to one")
    if weight is not None:
        launch.check_dtype(weight)
        if weight.shape != (x.shape[1],) or weight.requires_grad:
            raise UsageError(
                f"class weights ({x.shape[1]},) that require no gradient",
                f"shape {tuple(weight.shape)}, requires_grad={weight.requires_grad}",
                "pass one weight a class, detached",
            )
    dtype = torch.float32 if torch.is_autocast_enabled(x.device.type) else x.dtype  # as torch's autocast
    return apply(x, target, weight, ignore_index, label_smoothing, reduction, dtype)[0]
