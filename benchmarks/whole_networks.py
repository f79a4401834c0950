"""Whole networks on a GPU: inference and training steps beside eager torch and torch.compile, and their memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.benchmarks.gpu import device_clock
from striate.benchmarks.harness import Row, measure
from striate.benchmarks.networks import NETWORKS
from striate.core import layers, ops
from striate.core.optimize import optimize

SUBJECT = "whole_networks"
# (network, batch, size of the pictures, goal)
INFERENCE = (
    ("ResNet-50", 1, 224, "G8"),
    ("tiny YOLO", 1, 416, "G8"),
    ("ResNet-50", 32, 224, "G7"),
    ("ResNet-50", 128, 224, "G7"),
    ("VGG-16", 32, 224, "G7 VGG"),
)
TRAINING = (("ResNet-18", 64, 224, "G9"), ("ResNet-50", 64, 224, "G9"))
# bfloat16 keeps eight bits: 0.4 % a layer, which adds up to some per cent of the largest logit.
TOLERANCE = 0.1


def images(batch: int, size: int) -> Tensor:
    """Return random pictures in channels_last."""
    return torch.randn(batch, 3, size, size, device="cuda").contiguous(memory_format=torch.channels_last)


def channels_last(network: nn.Module) -> nn.Module:
    """Bring a network's filters into channels_last memory."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def agree(name: str, got: Tensor, expected: Tensor) -> None:
    """Stop unless two candidates computed the same thing."""
    worst = ((got.float() - expected.float()).abs().max() / expected.float().abs().max()).item()
    if not worst < TOLERANCE:
        raise SystemExit(f"{name} differs from float32 by {worst:.1e} of the largest value: nothing was timed")


def inference_rows(run: str, rounds: int) -> list[Row]:
    """Time forward passes: ours optimized in bfloat16, eager bfloat16, compiled bfloat16."""
    found = []
    for name, batch, size, goal in INFERENCE:
        torch.manual_seed(0)
        reference = channels_last(NETWORKS[name](nn).cuda().eval())
        ours = NETWORKS[name](layers).cuda().eval()
        ours.load_state_dict(reference.state_dict())
        x = images(batch, size)
        with torch.inference_mode():
            exact = reference(x)
            eager = copy.deepcopy(reference).bfloat16()
            compiled = torch.compile(eager, mode="max-autotune" if batch > 1 else "reduce-overhead")
            fast = optimize(ours, x, precision="bf16")
            half = x.bfloat16()
            calls: dict[str, Callable[[], object]] = {
                "striate": partial(fast, x),
                "torch": partial(eager, half),
                "torch.compile": partial(compiled, half),
            }
            for candidate, call in calls.items():
                agree(candidate, call(), exact)  # type: ignore[arg-type]
            found += measure(
                SUBJECT, f"{name}, batch {batch}, inference", calls, baseline="torch", run=run, device="cuda",
                rounds=rounds, clock=device_clock, goal=goal,
            )  # fmt: skip
        torch._dynamo.reset()
    return found


def step(
    network: nn.Module, forward: Callable[[Tensor], Tensor], switch: str, x: Tensor, target: Tensor
) -> Callable[[], object]:
    """Return one training step in mixed precision: forward, cross-entropy, backward, SGD."""
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)

    def call() -> Tensor:
        with ops.kernels(switch), torch.autocast("cuda", torch.bfloat16):
            loss = F.cross_entropy(forward(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return call


def peak(call: Callable[[], object]) -> float:
    """Return the megabytes that a call holds at its peak."""
    call()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() / 2**20


def training_rows(run: str, rounds: int) -> list[Row]:
    """Time training steps, and note the memory that each candidate alone needs at its peak."""
    found = []
    for name, batch, size, goal in TRAINING:
        x, target = images(batch, size), torch.randint(0, 1000, (batch,), device="cuda")
        calls: dict[str, Callable[[], object]] = {}
        peaks = {}
        for candidate, kit, switch in (
            ("striate", layers, "triton"),
            ("torch", nn, "torch"),
            ("torch.compile", nn, "torch"),
        ):
            torch.manual_seed(0)
            network = channels_last(NETWORKS[name](kit).cuda())
            forward = torch.compile(network) if candidate == "torch.compile" else network
            before = torch.cuda.memory_allocated() / 2**20  # the other candidates' networks
            calls[candidate] = step(network, forward, switch, x, target)
            peaks[candidate] = peak(calls[candidate]) - before
        found += measure(
            SUBJECT, f"{name}, batch {batch}, training step", calls, baseline="torch", run=run, device="cuda",
            rounds=rounds, clock=device_clock, goal=goal, peaks=peaks,
        )  # fmt: skip
        torch._dynamo.reset()
    return found
