"""Convolutions that others wrote in Triton, beside ours: attorch, FlagGems, and Inductor's template; float16 (G5).

Every one computes the same numbers from the same weights. Ours and Inductor's get channels_last maps, which is what
they store; attorch and FlagGems get torch's usual layout, which is what they store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.benchmarks.gpu import Case, agree, device_clock, forward, recorded
from striate.benchmarks.harness import Part, Row, measure
from striate.benchmarks.kernels import CONVOLUTIONS

SUBJECT = "rivals"
INDUCTOR = "Inductor, Triton only"
# float16 keeps eleven bits; a wrong template (pytorch#173068) was 1.3e2 off.
TOLERANCE = 0.01
TEMPLATES: dict[str, Any] = {
    "max_autotune": True,
    "max_autotune_conv_backends": "TRITON",
    "max_autotune_gemm_backends": "TRITON",
}


def attorch(x: Tensor, weight: Tensor) -> Callable[[], Tensor]:
    """Return attorch's layer with this weight."""
    filters, channels, taps, _ = weight.shape
    layer = import_module("attorch").Conv2d(channels, filters, taps, padding=taps // 2, bias=False)
    layer = layer.to(x.device, x.dtype).requires_grad_(False)
    layer.weight.copy_(weight)
    return partial(layer, x)


def flag_gems(x: Tensor, weight: Tensor) -> Callable[[], Tensor]:
    """Return FlagGems' function with this weight."""
    return partial(import_module("flag_gems").conv2d, x, weight, None, 1, weight.shape[2] // 2)


def inductor(x: Tensor, weight: Tensor) -> Callable[[], Tensor]:
    """Return torch's convolution, compiled with Inductor's Triton template as the only choice."""
    x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))

    def convolve(x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, None, 1, weight.shape[2] // 2)

    torch._dynamo.reset()  # it stops compiling a function after eight shapes
    return partial(torch.compile(convolve, dynamic=False, options=TEMPLATES), x, weight)


RIVALS = {"attorch": ("attorch", attorch), "FlagGems": ("flag_gems", flag_gems), INDUCTOR: ("triton", inductor)}


def quiet(call: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Return a call without gradients."""

    def without() -> Tensor:
        with torch.no_grad():
            return call()

    return without


def inputs_of(case: Case, device: str = "cuda") -> tuple[Tensor, Tensor]:
    """Draw a convolution's map and weight in float16, the weight scaled by the root of its terms."""
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(shape, generator=generator) for shape in case.shapes[:2])
    return x.to(device, torch.float16), (weight / weight[0].numel() ** 0.5).to(device, torch.float16)


def rows(case: Case, name: str, run: str, rounds: int) -> list[Row]:
    """Compare a rival and ours with torch's convolution, then time the two; no row where Inductor compiles none."""
    x, weight = inputs_of(case)
    theirs = quiet(RIVALS[name][1](x, weight))
    try:
        got = theirs()
    except torch._dynamo.exc.TorchDynamoException as error:
        print(f"{case.name}: {name} does not compile here: {str(error).splitlines()[0]}", flush=True)
        return []
    ours = forward(case, [t.contiguous(memory_format=torch.channels_last) for t in (x, weight)], "triton")
    exact = F.conv2d(x.float(), weight.float(), None, 1, weight.shape[2] // 2)
    for candidate, answer in ((name, got), ("striate", ours())):
        agree(candidate, answer, exact, TOLERANCE)
    calls = {"striate": recorded(ours), name: recorded(theirs)}
    return measure(
        SUBJECT, f"{case.name}, float16, beside {name}", calls, baseline=name, run=run, device="cuda", rounds=rounds,
        clock=device_clock, goal=f"G5 {name.split(',')[0]}", operation="conv2d",
    )  # fmt: skip


def parts(run: str, rounds: int) -> Iterator[Part]:
    """Name every convolution of G1 with every rival that is installed."""
    for case in (case for case in CONVOLUTIONS if case.goal == "G1"):
        for name, (package, _) in RIVALS.items():
            if find_spec(package):
                yield f"{case.name} beside {name}", partial(rows, case, name, run, rounds)
