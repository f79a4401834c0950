"""What a convolution does to its sums before it stores them, in float32.

    y = act((sum + bias) * scale + shift + residual)

Bias, scale and shift belong to a channel; scale and shift are a batch norm folded into its affine form. What is absent
is a constant of the kernel and costs nothing. A sum that was cut into parts is put together here, in a fixed order.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from . import launch, tiles
from .pointwise import activate


@triton.jit
def finish(
    acc,  # (BM, BN) float32
    bias, scale, shift,  # (K,) each, or None
    residual,  # the map that y is stored into, or None
    offset,  # (BM, BN): where in that map
    k,  # (BN,): which channels
    inside, real,  # (BM,) and (BN,): what there is of the tile
    slope, ACTIVATION: tl.constexpr,
):  # fmt: skip
    """Return the tile as it is stored."""
    if bias is not None:
        acc += tl.load(bias + k, mask=real, other=0.0).to(tl.float32)[None, :]
    if scale is not None:
        acc *= tl.load(scale + k, mask=real, other=0.0).to(tl.float32)[None, :]
    if shift is not None:
        acc += tl.load(shift + k, mask=real, other=0.0).to(tl.float32)[None, :]
    if residual is not None:
        acc += tl.load(residual + offset, mask=inside[:, None] & real[None, :], other=0.0).to(tl.float32)
    if ACTIVATION is not None:
        acc = activate(acc, slope, ACTIVATION)
    return acc


@triton.jit
def finish_parts(
    parts,  # (SPLITS, M, K) float32
    bias, scale, shift,  # (K,) each, or None
    residual,  # (M, K), or None
    y,  # (M, K)
    M, K, splits, slope,
    ACTIVATION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    pm = tl.program_id(0)
    if WIDE:
        pm = pm.to(tl.int64)
    m = pm * BM + tl.arange(0, BM)
    k = tl.program_id(1) * BN + tl.arange(0, BN)
    inside = m < M
    real = k < K
    offset = m[:, None] * K + k[None, :]
    acc = tl.zeros((BM, BN), tl.float32)
    for _ in range(splits):
        acc += tl.load(parts + offset, mask=inside[:, None] & real[None, :], other=0.0)
        parts += M * K
    acc = finish(acc, bias, scale, shift, residual, offset, k, inside, real, slope, ACTIVATION)
    tl.store(y + offset, acc.to(y.dtype.element_ty), mask=inside[:, None] & real[None, :])


class Epilogue(NamedTuple):
    """The arguments of `finish`; the residual has the output's shape."""

    bias: Tensor | None = None
    scale: Tensor | None = None
    shift: Tensor | None = None
    residual: Tensor | None = None
    activation: str | None = None
    slope: float = 0.0

    def tensors(self) -> tuple[Tensor | None, ...]:
        """Return bias, scale, shift and residual in the layout that the kernels read."""
        vectors = tuple(None if t is None else t.contiguous() for t in self[:3])
        return (*vectors, None if self.residual is None else launch.feature_map(self.residual))


def add_parts(parts: Tensor, y: Tensor, epilogue: Epilogue) -> None:
    """Add parts (SPLITS, ...) in order and store y = act(...), a map (N, K, ...) with its channels last in memory."""
    rows, k = y.numel() // y.shape[1], y.shape[1]
    bm, bn = tiles.small_tile(rows, k)
    launch.run(
        finish_parts, (triton.cdiv(rows, bm), triton.cdiv(k, bn)), parts, *epilogue.tensors(), y,
        rows, k, parts.shape[0], epilogue.slope, ACTIVATION=epilogue.activation, BM=bm, BN=bn, WIDE=launch.wide(parts),
    )  # fmt: skip
