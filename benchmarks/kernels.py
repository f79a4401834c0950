"""The layers on a GPU: Triton kernels beside cuDNN and torch's own, bfloat16, channels_last, batch 32."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import Tensor

from striate.benchmarks.gpu import Case, Function, rows
from striate.benchmarks.harness import Part
from striate.core import ops

BATCH = 32


def convolution(
    goal: str,
    channels: int,
    filters: int,
    size: int,
    taps: int = 3,
    stride: int = 1,
    groups: int = 1,
    dilation: int = 1,
) -> Case:
    """Return a convolution as networks use it: "same" padding, no bias."""
    shapes = ((BATCH, channels, size, size), (filters, channels // groups, taps, taps))

    def function(x: Tensor, weight: Tensor) -> Tensor:
        return ops.conv2d(x, weight, None, stride, dilation * (taps // 2), dilation, groups)

    kind = "depthwise " if groups > 1 else ""
    name = f"{kind}{taps}x{taps} {channels}-{filters}@{size}"
    name += f" stride {stride}" * (stride > 1) + f" dilation {dilation}" * (dilation > 1)
    first, second = ("G6 backward", "G6 backward") if groups > 1 else ("G4 input", "G4 weight")
    # The gradient of the pictures is nobody's goal.
    gradients = ((second, (1,)),) if channels == 3 else ((first, (0,)), (second, (1,)))
    terms = max(BATCH * size * size, channels // groups * taps**2)
    return Case(name, goal, "conv2d", function, shapes, terms, gradients)


def fused(channels: int, filters: int, size: int) -> Case:
    """Return a 1x1 convolution with folded norm, sum and relu: one launch of ours, four passes of torch's."""
    shapes = (
        (BATCH, channels, size, size),
        (filters, channels, 1, 1),
        (filters,),
        (filters,),
        (BATCH, filters, size, size),
    )

    def function(x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, residual: Tensor) -> Tensor:
        return ops.fused_conv2d(x, weight, scale=scale, shift=shift, residual=residual, activation="relu")

    return Case(f"1x1 {channels}-{filters}@{size}, norm, sum, relu", "G2", "fused_conv2d", function, shapes, channels)


def transposed(channels: int, filters: int, size: int, taps: int) -> Case:
    """Return a transposed convolution that doubles its map."""
    shapes = ((BATCH, channels, size, size), (channels, filters, taps, taps))

    def function(x: Tensor, weight: Tensor) -> Tensor:
        return ops.conv_transpose2d(x, weight, None, 2, taps // 2 - 1)

    return Case(
        f"transposed {taps}x{taps} {channels}-{filters}@{size}",
        "G3",
        "conv_transpose2d",
        function,
        shapes,
        channels * taps**2,
    )


CONVOLUTIONS = (
    *(convolution("G1", n, n, size) for n, size in ((128, 112), (256, 56), (512, 28), (512, 14))),  # VGG
    *(convolution("G1", n, n, size) for n, size in ((64, 56), (128, 28), (256, 14), (512, 7))),  # ResNet
    convolution("G2 plain", 256, 64, 56, 1),
    convolution("G2 plain", 64, 256, 56, 1),
    convolution("G2 plain", 512, 128, 28, 1),
    convolution("G2 plain", 1024, 256, 14, 1),
    convolution("G2 plain", 2048, 512, 7, 1),
    *(fused(n, 4 * n, size) for n, size in ((64, 56), (128, 28), (256, 14), (512, 7))),
    convolution("G3", 3, 64, 224, 7, 2),
    convolution("G3", 128, 128, 56, 3, 2),
    convolution("G3", 256, 512, 56, 1, 2),
    convolution("G3", 512, 512, 28, dilation=2),
    transposed(256, 128, 28, 4),
    transposed(21, 21, 64, 4),
    *(convolution("G6", n, n, size, groups=n) for n, size in ((256, 56), (512, 14), (128, 112))),
    convolution("G6", 192, 192, 28, 5, groups=192),
    convolution("G6", 384, 384, 14, 7, groups=384),
)

MAP = (BATCH, 64, 112, 112)  # 51 MB in bfloat16: above the L2 cache


def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Normalize by the batch, then relu, in one operation."""
    return ops.batch_norm(x, weight, bias, None, None, training=True, activation="relu")


def layer(
    name: str, operation: str, function: Function, *others: tuple[int, ...], terms: int = 1, goal: str = "G10"
) -> Case:
    """Return an operation on a map of 51 MB, forward and backward to all its tensors."""
    wanted = tuple(range(1 + len(others)))
    return Case(name, goal, operation, function, (MAP, *others), terms, (("", wanted),), copied=True)


LAYERS = (
    layer("batch norm and relu, training", "batch_norm", norm, (64,), (64,), terms=BATCH * 112**2),
    layer("silu", "activation", lambda x: ops.activation(x, "silu")),
    layer("max pool 2x2", "max_pool2d", lambda x: ops.max_pool2d(x, 2)),
    layer("average pool 3x3 stride 2", "avg_pool2d", lambda x: ops.avg_pool2d(x, 3, 2, 1), terms=9),
    layer("bilinear x2", "upsample", lambda x: ops.upsample(x, 2, mode="bilinear"), terms=16),
    layer("softmax per pixel", "softmax", lambda x: ops.softmax(x, 1), terms=64),
    layer("LRN", "local_response_norm", lambda x: ops.local_response_norm(x, 5), terms=5, goal="G10 LRN"),
)


def parts(run: str, rounds: int) -> Iterator[Part]:
    """Name every case with what checks and times it."""
    for case in (*CONVOLUTIONS, *LAYERS):
        yield case.name, partial(rows, case, "kernels", run, rounds)
