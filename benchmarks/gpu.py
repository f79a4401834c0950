"""How operations are timed on a GPU: on the device, launches left out, each candidate checked before the clock starts.

A forward pass is recorded as a CUDA graph and replayed, so that neither Python nor the driver is in the time; a
backward pass is launched ten times in a row, so that the device is never waiting. Maps below 50 MB stay in the L2 cache
between repeats, for every candidate alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from striate.benchmarks.goals import COPY
from striate.benchmarks.harness import Row, measure
from striate.core import ops
from striate.core.testing import assert_exact_enough

REPEATS = 10
Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Case:
    """A function of tensors of these shapes, as it runs on either road.

    Args:
        name: What the table calls it.
        goal: The line of goals.py for its forward pass; "" where it counts for none.
        operation: The operation of `core.ops` that it is about.
        function: Called with the tensors; the road is chosen by `ops.kernels`.
        shapes: The first is the map (its batch is cut for the check), the second the weight, if it has four dimensions.
        terms: Length of the longest sum behind one number, for the tolerance.
        gradients: Goal -> which tensors' gradients are timed together.
        copied: Compare with a copy of as many bytes as must be read and written, too.
    """

    name: str
    goal: str
    operation: str
    function: Function
    shapes: tuple[tuple[int, ...], ...]
    terms: int = 1
    gradients: tuple[tuple[str, tuple[int, ...]], ...] = ()
    copied: bool = False


def tensors(case: Case, batch: int | None = None) -> list[Tensor]:
    """Draw a case's inputs in bfloat16, weights scaled by the root of their terms; `batch` replaces the first size."""
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for i, shape in enumerate(case.shapes):
        maps = len(shape) == 4 and not (i == 1 and case.operation.startswith(("conv", "fused")))
        size = (batch, *shape[1:]) if batch and maps else shape
        scale = 1.0 if maps or len(shape) < 2 else (torch.Size(shape).numel() / shape[0]) ** -0.5
        tensor = (torch.randn(size, generator=generator) * scale).to("cuda", torch.bfloat16)
        drawn.append(tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor)
    return [tensor.requires_grad_() for tensor in drawn]


def device_clock(call: Callable[[], object]) -> float:
    """Return milliseconds on the device for one of ten calls in a row."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(REPEATS):
        call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / REPEATS


def recorded(call: Callable[[], object]) -> Callable[[], object]:
    """Return the replay of a CUDA graph of one call."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def check(case: Case) -> float:
    """Compare forward and every gradient with float64 at batch 2 and return the worst share of the tolerance."""
    return assert_exact_enough(case.function, tensors(case, batch=2), terms=case.terms)


def forward(case: Case, inputs: list[Tensor], switch: str) -> Callable[[], object]:
    """Return the forward pass without gradients on a road."""

    def call() -> object:
        with torch.no_grad(), ops.kernels(switch):
            return case.function(*inputs)

    return call


def backward(case: Case, inputs: list[Tensor], switch: str, wanted: tuple[int, ...]) -> Callable[[], object]:
    """Return the backward pass alone, for the gradients of the inputs that are wanted."""
    held = [t.detach().requires_grad_(i in wanted) for i, t in enumerate(inputs)]
    with ops.kernels(switch):
        out = case.function(*held)
    incoming, targets = torch.randn_like(out), [held[i] for i in wanted]
    return lambda: torch.autograd.grad(out, targets, incoming, retain_graph=True)


def copy_of(size: int) -> Callable[[], object]:
    """Return a copy on the device that reads and writes `size` bytes together."""
    source = torch.empty(max(size // 2, 1), dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def rows(
    case: Case, subject: str, run: str, rounds: int, peers: dict[str, Callable[[], object]] | None = None
) -> list[Row]:
    """Time a case on both roads, with peers beside them where there are any."""
    inputs = tensors(case)
    names = {"striate": "triton", "torch": "torch"}
    calls = {name: recorded(forward(case, inputs, switch)) for name, switch in names.items()} | (peers or {})
    if case.copied:
        moved = [*inputs, case.function(*inputs)]
        calls[COPY] = recorded(copy_of(sum(t.numel() * t.element_size() for t in moved)))
    timed = [(f"{case.name}, forward", case.goal, calls)]
    for goal, wanted in case.gradients:
        both = {name: backward(case, inputs, switch, wanted) for name, switch in names.items()}
        timed.append((f"{case.name}, backward to {wanted}", goal, both))
    return [
        row
        for name, goal, candidates in timed
        for row in measure(
            subject,
            name,
            candidates,
            baseline="torch",
            run=run,
            device="cuda",
            rounds=rounds,
            clock=device_clock,
            goal=goal,
            operation=case.operation,
        )
    ]
