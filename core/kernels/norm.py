"""Batch normalization, training and inference (Ioffe and Szegedy 2015, algorithms 1 and 2).

    y = act((x - mean) / sqrt(var + eps) * weight + bias + residual)

over a matrix of M = N*D*H*W rows (channels last in memory) and C columns, in float32. Activation and residual are
optional and cost no pass of their own. Statistics are taken per block of rows,
exactly (mean first, then squares around it), and blocks are merged by the parallel formula of Chan, Golub and LeVeque
(1979): E[x^2] - E[x]^2 would lose all digits when a channel's mean is 1,000 times its spread.

All sums run in a fixed order. Limits: int64 offsets from 2^31 elements on; counts are exact up to 2^24 rows per part.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ..checks import UsageError
from . import launch, tiles
from .pointwise import activate


@triton.jit
def batch_statistics(
    x,  # (M, C)
    mean,  # (SPLITS, C) float32
    squares,  # (SPLITS, C) float32: sums of (x - mean)^2
    M, C, per,  # per: rows per part, a multiple of BM
    BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    part = tl.program_id(1)
    if WIDE:
        part = part.to(tl.int64)
    start = part * per
    stop = start + tl.minimum(per, M - start)
    count = 0.0
    centre = tl.zeros((BC,), tl.float32)
    spread = tl.zeros((BC,), tl.float32)
    for m0 in range(start, stop, BM):
        m = m0 + tl.arange(0, BM)
        ok = (m < stop)[:, None] & (c < C)[None, :]
        value = tl.load(x + m[:, None] * C + c[None, :], mask=ok, other=0.0).to(tl.float32)
        here = tl.minimum(stop - m0, BM).to(tl.float32)
        middle = tl.sum(value, 0) / here
        off = tl.where(ok, value - middle[None, :], 0.0)
        missed = tl.sum(off, 0) / here  # what rounding of the first sum left: 3 units of a mean of 1,000, now 1
        middle += missed
        step = middle - centre
        spread += tl.sum(off * off, 0) - missed * missed * here + step * step * (count * here / (count + here))
        centre += step * (here / (count + here))
        count += here
    tl.store(mean + part * C + c, centre, mask=c < C)
    tl.store(squares + part * C + c, spread, mask=c < C)


@triton.jit
def merge_statistics(
    means,  # (SPLITS, C) float32
    squares,  # (SPLITS, C) float32
    mean,  # (C,) float32
    var,  # (C,) float32: biased
    M, C, splits, per,
    BC: tl.constexpr,
):  # fmt: skip
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    count = 0.0
    centre = tl.zeros((BC,), tl.float32)
    spread = tl.zeros((BC,), tl.float32)
    for part in range(splits):
        here = tl.minimum(per, M - tl.cast(part, tl.int64) * per).to(tl.float32)
        step = tl.load(means + part * C + c, mask=c < C, other=0.0) - centre
        spread += tl.load(squares + part * C + c, mask=c < C, other=0.0)
        spread += step * step * (count * here / (count + here))
        centre += step * (here / (count + here))
        count += here
    tl.store(mean + c, centre, mask=c < C)
    tl.store(var + c, spread / count, mask=c < C)


@triton.jit
def normalized(value, offset, c, ok, C, weight, bias, residual, mean, var, eps):
    """Return what the activation is applied to, of the tile `value` of x at `offset`."""
    factor = 1.0 / tl.sqrt(tl.load(var + c, mask=c < C, other=1.0).to(tl.float32) + eps)
    if weight is not None:
        factor *= tl.load(weight + c, mask=c < C, other=0.0).to(tl.float32)
    out = (value - tl.load(mean + c, mask=c < C, other=0.0).to(tl.float32)[None, :]) * factor[None, :]
    if bias is not None:
        out += tl.load(bias + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    if residual is not None:
        out += tl.load(residual + offset, mask=ok, other=0.0).to(tl.float32)
    return out


@triton.jit
def batch_apply(
    x,  # (M, C)
    weight, bias,  # (C,) each, or None
    residual,  # (M, C), or None
    mean, var,  # (C,) each
    y,  # (M, C)
    M, C, eps, slope,
    ACTIVATION: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
    m = pm * BM + tl.arange(0, BM)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    ok = (m < M)[:, None] & (c < C)[None, :]
    offset = m[:, None] * C + c[None, :]
    value = tl.load(x + offset, mask=ok, other=0.0).to(tl.float32)
    out = normalized(value, offset, c, ok, C, weight, bias, residual, mean, var, eps)
    if ACTIVATION is not None:
        out = activate(out, slope, ACTIVATION)
    tl.store(y + offset, out.to(y.dtype.element_ty), mask=ok)


@triton.jit
def running_update(
    running_mean,  # (C,)
    running_var,  # (C,)
    mean,  # (C,) float32
    var,  # (C,) float32: biased
    C, momentum, unbias,  # unbias: M / (M - 1)
    BC: tl.constexpr,
):  # fmt: skip
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    old = tl.load(running_mean + c, mask=c < C, other=0.0).to(tl.float32)
    new = tl.load(mean + c, mask=c < C, other=0.0)
    tl.store(running_mean + c, (old * (1 - momentum) + new * momentum).to(running_mean.dtype.element_ty), mask=c < C)
    old = tl.load(running_var + c, mask=c < C, other=0.0).to(tl.float32)
    new = tl.load(var + c, mask=c < C, other=0.0) * unbias
    tl.store(running_var + c, (old * (1 - momentum) + new * momentum).to(running_var.dtype.element_ty), mask=c < C)


def vectors(*tensors):
    """Return what belongs to channels without gaps, which is how the kernels read it."""
    return [None if t is None else t.contiguous() for t in tensors]


def _apply(x, weight, bias, residual, mean, var, activation, slope, eps):
    y = launch.empty_map(x, x.shape)
    if x.numel() == 0:
        return y
    x, residual = launch.feature_map(x), None if residual is None else launch.feature_map(residual)
    rows, c, bm, bc = tiles.matrix(x)
    launch.run(
        batch_apply, (triton.cdiv(rows, bm), triton.cdiv(c, bc)),
        x, *vectors(weight, bias), residual, *vectors(mean, var), y,
        rows, c, eps, slope, ACTIVATION=activation, BM=bm, BC=bc, WIDE=launch.wide(x),
    )  # fmt: skip
    return y


def _fake_train(x, weight, bias, residual, activation, slope, eps):
    channels = x.new_empty(x.shape[1], dtype=torch.float32)
    return launch.empty_map(x, x.shape), channels, torch.empty_like(channels)


def _train(x, weight, bias, residual, activation, slope, eps):
    x = launch.feature_map(x)
    rows, c, bm, bc = tiles.matrix(x)
    splits, per = tiles.split(x, rows, bm, triton.cdiv(c, bc), c)
    parts = torch.empty((2, splits, c), dtype=torch.float32, device=x.device)
    mean, var = (torch.empty(c, dtype=torch.float32, device=x.device) for _ in range(2))
    grid = (triton.cdiv(c, bc), splits)
    launch.run(batch_statistics, grid, x, parts[0], parts[1], rows, c, per, BM=bm, BC=bc, WIDE=launch.wide(x))
    launch.run(merge_statistics, (triton.cdiv(c, 64),), parts[0], parts[1], mean, var, rows, c, splits, per, BC=64)
    return _apply(x, weight, bias, residual, mean, var, activation, slope, eps), mean, var


def _update(running_mean, running_var, mean, var, count, momentum):
    c, given = mean.numel(), (running_mean, running_var)
    dense = vectors(*given)
    launch.run(
        running_update, (triton.cdiv(c, 256),), *dense, mean, var, c, momentum, count / (count - 1), BC=256
    )  # fmt: skip
    for buffer, new in zip(given, dense, strict=True):
        if new is not buffer:  # one with gaps: the kernel has updated a copy
            buffer.copy_(new)


def _save(ctx, x, weight, bias, residual, mean, var, activation, slope, eps):
    """Keep what the gradient reads: a residual only where the activation is asked for its slope."""
    ctx.settings = (activation, slope, eps)
    ctx.kinds = [None if t is None else t.dtype for t in (weight, bias, residual)]
    needed = residual if activation is not None else None
    ctx.save_for_backward(x, weight, None if activation is None else bias, needed, mean, var)


def _setup_train(ctx, inputs, output):
    x, weight, bias, residual, *settings = inputs
    ctx.mark_non_differentiable(output[1], output[2])
    _save(ctx, x, weight, bias, residual, output[1], output[2], *settings)


def _setup_apply(ctx, inputs, output):
    _save(ctx, *inputs)


def _gradients(ctx, dy, training):
    wants = [kind is not None and need for kind, need in zip(ctx.kinds, ctx.needs_input_grad[1:4], strict=True)]
    activated = ctx.settings[0] is not None
    gradient = torch.ops.striate.batch_norm_gradient
    dx, dresidual, sums = gradient(dy, *ctx.saved_tensors, *ctx.settings, training, wants[2] and activated)
    if not activated:
        dresidual = dy
    found = (sums[0], sums[1], dresidual)
    return dx, *(g.to(kind) if want else None for g, kind, want in zip(found, ctx.kinds, wants, strict=True))


WHAT = "Tensor x, Tensor? weight, Tensor? bias, Tensor? residual"
HOW = "str? activation, float slope, float eps"
update_running = launch.define(
    "batch_norm_update(Tensor(a!) running_mean, Tensor(b!) running_var, Tensor mean, Tensor var, int count, "
    "float momentum) -> ()",
    _update,
    lambda *_: None,
)
train = launch.differentiable(
    launch.define(f"batch_norm_train({WHAT}, {HOW}) -> (Tensor, Tensor, Tensor)", _train, _fake_train),
    _setup_train,
    lambda ctx, dy, *_: (*_gradients(ctx, dy, True), None, None, None),
)
apply = launch.differentiable(
    launch.define(
        f"batch_norm_apply({WHAT}, Tensor mean, Tensor var, {HOW}) -> Tensor",
        _apply,
        lambda x, *_: launch.empty_map(x, x.shape),
    ),
    _setup_apply,
    lambda ctx, dy: (*_gradients(ctx, dy, False), *[None] * 5),
)


def batch_norm(
    x, weight, bias, running_mean, running_var, training, momentum, eps, residual=None, activation=None, slope=0.0
):
    """Normalize x (N, C, ...), as `striate.core.ops.batch_norm` documents it."""
    launch.check_map(x, min(max(x.dim() - 2, 0), 3))
    if residual is not None and (residual.shape != x.shape or residual.dtype != x.dtype):
        raise UsageError(
            f"a residual of shape {tuple(x.shape)}, {x.dtype}",
            f"shape {tuple(residual.shape)}, {residual.dtype}",
            "reshape or convert it",
        )
    numbers = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    for name, tensor in numbers.items():
        if tensor is not None and tensor.shape != x.shape[1:2]:
            raise UsageError(
                f"a {name} of shape ({x.shape[1]},)", f"shape {tuple(tensor.shape)}", "give one number a channel"
            )
    if not training:
        if running_mean is None or running_var is None:
            raise UsageError("running statistics in inference", "None", "pass them, or training=True")
        return apply(x, weight, bias, residual, running_mean, running_var, activation, slope, eps)
    count = x.numel() // max(1, x.shape[1])
    if count < 2:
        raise UsageError(
            "more than one value per channel while training", f"shape {tuple(x.shape)}", "use a larger batch, or eval()"
        )
    y, mean, var = train(x, weight, bias, residual, activation, slope, eps)
    if running_mean is not None and running_var is not None:
        update_running(running_mean, running_var, mean, var, count, momentum)
    return y
