"""How operations are timed on a GPU: on the device, launches left out, each candidate checked before the clock starts.

Forward and backward passes are recorded as CUDA graphs of many calls and replayed, so that neither Python nor the
driver is in the time. Maps below 50 MB stay in the L2 cache between repeats, for every candidate alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from striate.benchmarks.goals import COPY
from striate.benchmarks.harness import Differs, Row, measure
from striate.core import ops
from striate.core.testing import assert_exact_enough
from striate.core.tuning import Recorded

REPEATS = 10  # of a call that is not recorded
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


def tensors(case: Case, batch: int | None = None, device: str = "cuda") -> list[Tensor]:
    """Draw a case's inputs in bfloat16, weights scaled by the root of their terms; `batch` replaces the first size.

    A scale or shift of a channel lies around 1, as a trained norm's does: around 0 it would multiply the results away.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for i, shape in enumerate(case.shapes):
        maps = len(shape) == 4 and not (i == 1 and case.operation.startswith(("conv", "fused")))
        size = (batch, *shape[1:]) if batch and maps else shape
        scale = 1.0 if maps else 0.1 if len(shape) < 2 else (torch.Size(shape).numel() / shape[0]) ** -0.5
        tensor = torch.randn(size, generator=generator) * scale + (1.0 if len(shape) < 2 else 0.0)
        tensor = tensor.to(device, torch.bfloat16)
        drawn.append(tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor)
    return [tensor.requires_grad_() for tensor in drawn]


def device_clock(call: Callable[[], object]) -> float:
    """Return milliseconds on the device: of a recorded call, or else for one of ten launched in a row."""
    if isinstance(call, Recorded):
        return call.milliseconds()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(REPEATS):
        call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / REPEATS


def recorded(call: Callable[[], object]) -> Recorded:
    """Record a call that needs nothing prepared."""
    return Recorded(lambda: call)


def agree(name: str, got: Tensor, expected: Tensor, limit: float) -> None:
    """Raise unless two candidates computed the same thing, to a share of the largest value."""
    if got.shape != expected.shape:
        raise Differs(f"{name} gives {tuple(got.shape)}, expected {tuple(expected.shape)}: nothing was timed")
    worst = ((got.float() - expected.float()).abs().max() / expected.float().abs().max()).item()
    if not worst < limit:
        raise Differs(f"{name} differs by {worst:.1e} of the largest value: nothing was timed")


def check(case: Case, device: str = "cuda") -> float:
    """Compare forward and every gradient with float64 at batch 2 and return the worst share of the tolerance.

    A fused operation is one launch only where nobody wants a gradient: of it the forward pass alone is compared.
    """
    inputs = tensors(case, 2, device)
    if case.operation.startswith("fused"):
        inputs = [tensor.detach() for tensor in inputs]
    return assert_exact_enough(case.function, inputs, terms=case.terms)


def forward(case: Case, inputs: list[Tensor], switch: str) -> Callable[[], Tensor]:
    """Return the forward pass without gradients on a road."""

    def call() -> Tensor:
        with torch.no_grad(), ops.kernels(switch):
            return case.function(*inputs)

    return call


def backward(case: Case, inputs: list[Tensor], switch: str, wanted: tuple[int, ...]) -> Callable[[], object]:
    """Run the forward pass and return the backward pass alone, for the gradients of the inputs that are wanted."""
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


def rows(case: Case, subject: str, run: str, rounds: int) -> list[Row]:
    """Check a case, then time it on both roads."""
    print(f"{case.name}: right, {check(case):.2f} of the tolerance", flush=True)
    inputs = tensors(case)
    names = {"striate": "triton", "torch": "torch"}
    calls = {name: recorded(forward(case, inputs, switch)) for name, switch in names.items()}
    if case.copied:
        moved = [*inputs, forward(case, inputs, "torch")()]
        calls[COPY] = recorded(copy_of(sum(t.numel() * t.element_size() for t in moved)))
    timed = [(f"{case.name}, forward", case.goal, calls)]
    for goal, wanted in case.gradients:
        both = {name: Recorded(partial(backward, case, inputs, switch, wanted)) for name, switch in names.items()}
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
