"""Dropout with counter-based random numbers: the mask is drawn anew in the backward pass, not stored.

    y[i] = x[i] * keep(u(seed, i)) / (1 - p),   keep = u >= p,   dx = the same of dy

u is Philox 4x32-10 (Salmon et al. 2011) of the seed and the element's place in memory, channels last, so that a mask
depends on the shape and the seed alone. Whole channels are dropped by numbering (image, channel) instead. The seed lies
in device memory: nothing waits for the host, and a CUDA graph that draws it draws another one at every replay.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import launch, tiles


@triton.jit
def dropout_forward(
    x,  # (L,); N * P * C numbers, P pixels
    seed,  # (1,) int64
    y,  # (L,)
    L, C, PC, p, scale,  # PC: pixels x channels of an image; scale: 1 / (1 - p)
    CHANNELS: tl.constexpr, B: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    if WIDE:
        pid = pid.to(tl.int64)
    i = pid * B + tl.arange(0, B)
    unit = i
    if CHANNELS:
        unit = i // PC * C + i % C
    kept = tl.where(tl.rand(tl.load(seed), unit) >= p, scale, 0.0)
    value = tl.load(x + i, mask=i < L, other=0.0).to(tl.float32)
    tl.store(y + i, (value * kept).to(y.dtype.element_ty), mask=i < L)


def _map(x):
    """Return x with its channels last in memory; a row or a matrix as it is."""
    return launch.feature_map(x) if x.dim() > 2 else x.contiguous()


def _fake(x, seed, p, channels):
    return launch.empty_map(x, x.shape) if x.dim() > 2 else x.new_empty(x.shape)


def _launch(x, seed, p, channels):
    y = _fake(x, seed, p, channels)
    length = x.numel()
    if length == 0:
        return y
    b = tiles.power(length, 65536) if launch.INTERPRETED else 1024
    c = x.shape[1] if channels else 1
    launch.run(
        dropout_forward, (triton.cdiv(length, b),), _map(x), seed, y,
        length, c, length // x.shape[0] if channels else 1, float(p), 1 / (1 - p) if p < 1 else 0.0,
        CHANNELS=channels, B=b, WIDE=launch.wide(x),
    )  # fmt: skip
    return y


def _setup(ctx, inputs, output):
    _, seed, ctx.p, ctx.channels = inputs
    ctx.save_for_backward(seed)


apply = launch.differentiable(
    launch.define("dropout(Tensor x, Tensor seed, float p, bool channels) -> Tensor", _launch, _fake),
    _setup,
    lambda ctx, dy: (torch.ops.striate.dropout(dy, *ctx.saved_tensors, ctx.p, ctx.channels), None, None, None),
)


def dropout(x, p, channels):
    """Drop with a seed from torch's generator of x's device."""
    launch.check_dtype(x)
    return apply(x, torch.randint(2**62, (1,), dtype=torch.int64, device=x.device), p, channels)
