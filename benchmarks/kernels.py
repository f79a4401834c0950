"""The kernels on a GPU against torch's own (cuDNN), forward, backward and both.

First every case is checked against float64, and the benchmark stops where one is wrong; then ours and torch's take
turns. bfloat16, channels_last, random data, batch 32, cudnn.benchmark on. A time holds the launch from Python and, for
maps below 50 MB, an L2 cache that is warm for both. `kernels.py [--rounds N] [--only WORD] [--dry]`
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from striate.benchmarks.harness import keep, measure, new_run, table
from striate.core import ops
from striate.core.testing import assert_exact_enough


@dataclass(frozen=True)
class Case:
    """One line of the table: a function of tensors of these shapes; `terms` is the length of its longest sum."""

    name: str
    function: Callable[..., Tensor]
    shapes: tuple[tuple[int, ...], ...]
    terms: int


def convolution(name: str, shape: tuple[int, ...], filters: int, taps: int, groups: int = 1, stride: int = 1) -> Case:
    """Return a convolution as networks use it: "same" padding, a bias."""
    channels = shape[1] // groups
    shapes = (shape, (filters, channels, taps, taps), (filters,))
    pixels = shape[0] * shape[2] * shape[3]

    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return ops.conv2d(x, weight, bias, stride, taps // 2, groups=groups)

    return Case(name, function, shapes, max(pixels, channels * taps**2))


def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Normalize by the batch."""
    return ops.batch_norm(x, weight, bias, None, None, training=True)


CASES = (
    convolution("conv 3x3 64@112", (32, 64, 112, 112), 64, 3),
    convolution("conv 3x3 128@56", (32, 128, 56, 56), 128, 3),
    convolution("conv 3x3 256@28", (32, 256, 28, 28), 256, 3),
    convolution("conv 3x3 512@14", (32, 512, 14, 14), 512, 3),
    convolution("conv 1x1 256-64@56", (32, 256, 56, 56), 64, 1),
    convolution("conv 3x3 s2 128@56", (32, 128, 56, 56), 128, 3, stride=2),
    convolution("conv 7x7 s2 3-64@224", (32, 3, 224, 224), 64, 7, stride=2),
    convolution("conv 3x3 1024@13", (32, 1024, 13, 13), 1024, 3),
    convolution("conv 1x1 1024-255@13", (32, 1024, 13, 13), 255, 1),
    convolution("depthwise 3x3 256@56", (32, 256, 56, 56), 256, 3, groups=256),
    Case("batch norm 64@112", norm, ((32, 64, 112, 112), (64,), (64,)), 32 * 112 * 112),
    Case("silu 64@112", lambda x: ops.activation(x, "silu"), ((32, 64, 112, 112),), 1),
    Case("max pool 2x2 64@112", lambda x: ops.max_pool2d(x, 2), ((32, 64, 112, 112),), 1),
    Case("avg pool 3x3 s2 64@112", lambda x: ops.avg_pool2d(x, 3, 2, 1), ((32, 64, 112, 112),), 9),
    Case("bilinear x2 64@56", lambda x: ops.upsample(x, 2, mode="bilinear"), ((32, 64, 56, 56),), 3136),
)


def tensors(case: Case, batch: int | None = None) -> list[Tensor]:
    """Draw a case's inputs, weights scaled by 1 / sqrt(terms); `batch` replaces the first shape's."""
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for i, shape in enumerate(case.shapes):
        size = (batch, *shape[1:]) if i == 0 and batch else shape
        scale = (shape[1] * shape[2] * shape[3]) ** -0.5 if i == 1 and len(shape) == 4 else 1.0
        tensor = (torch.randn(size, generator=generator) * scale).cuda().bfloat16()
        tensor = tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
        drawn.append(tensor.requires_grad_())
    return drawn


def steps(case: Case, switch: str) -> dict[str, Callable[[], object]]:
    """Return what is timed on one road: forward without gradients, backward alone, both."""
    inputs = tensors(case)
    with ops.kernels(switch):
        out = case.function(*inputs)
    incoming = torch.randn_like(out)

    def forward() -> object:
        with torch.no_grad(), ops.kernels(switch):
            return case.function(*inputs)

    def backward() -> object:
        return torch.autograd.grad(out, inputs, incoming, retain_graph=True)

    def both() -> object:
        with ops.kernels(switch):
            return torch.autograd.grad(case.function(*inputs), inputs, incoming)

    return {"forward": forward, "backward": backward, "both": both}


def main() -> None:
    """Check, time, keep, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--only", default="", help="cases whose name holds this word")
    parser.add_argument("--dry", action="store_true", help="print the table and keep nothing")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("expected an NVIDIA GPU; got none; run this benchmark on a machine with one")
    torch.backends.cudnn.benchmark = True
    chosen = [case for case in CASES if options.only in case.name]
    for case in chosen:
        share = assert_exact_enough(case.function, tensors(case, batch=2), terms=case.terms)
        print(f"{case.name}: right, {share:.2f} of the tolerance")
    run, rows = new_run(), []
    for case in chosen:
        ours, theirs = steps(case, "triton"), steps(case, "torch")
        for step in ours:
            candidates = {"striate": ours[step], "torch": theirs[step]}
            rows += measure(
                "kernels", f"{case.name}, {step}", candidates, baseline="torch", run=run, device="cuda",
                rounds=options.rounds, warmup=5, synchronize=torch.cuda.synchronize,
            )  # fmt: skip
    if not options.dry:
        keep(rows)
    print(table(rows))


if __name__ == "__main__":
    main()
