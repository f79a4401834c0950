"""Whole networks on a GPU: inference and training steps beside eager torch and torch.compile, and their memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.benchmarks.gpu import device_clock
from striate.benchmarks.harness import Differs, Part, Row, measure
from striate.benchmarks.networks import NETWORKS, BasicBlock, Bottleneck
from striate.core import layers, ops
from striate.core.optimize import optimize

SUBJECT = "whole_networks"
# (network, batch, size of the pictures, goal)
INFERENCE = (
    ("ResNet-50", 1, 224, "G8"),
    ("tiny YOLO", 1, 416, "G8"),
    ("VGG-16", 32, 224, "G7 VGG"),
    ("ResNet-50", 32, 224, "G7"),
    ("ResNet-50", 128, 224, "G7"),
)
# How torch.compile is asked where a goal names it; elsewhere its default. G7 is autotuned without the descent on block
# sizes that the mode "max-autotune" adds, which goes through the kernels one by one: all has ten minutes.
COMPILED: dict[str, dict[str, Any]] = {
    "G7": {"max_autotune": True, "triton.cudagraphs": True},
    "G8": {"triton.cudagraphs": True},
}
TRAINING = (("ResNet-18", 64, 224, "G9"), ("ResNet-50", 64, 224, "G9"))
# Shares of the norm, seen on a CPU with the pictures and weights below. Eager bfloat16 differs from float32 by 0.013
# (ResNet-50), 0.03 (tiny YOLO), 0.01 (VGG-16), another picture by 0.24, 1.1, 0.4.
TOLERANCE = 0.06
# The first training step in bfloat16: the loss by 1e-4; the gradient of the first filters, which has come through the
# whole network, by 0.17 (ResNet-18) and 0.27 (ResNet-50), with other pictures by 1.4.
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-3, 0.6
GAMMA = 0.1


def images(batch: int, size: int, seed: int, device: str = "cuda") -> Tensor:
    """Draw smooth pictures in channels_last: white noise looks the same to a network that averages it."""
    coarse = torch.randn(batch, 3, 7, 7, generator=torch.Generator().manual_seed(seed))
    smooth = F.interpolate(coarse, size=(size, size), mode="bilinear")
    return smooth.to(device).contiguous(memory_format=torch.channels_last)


def channels_last(network: nn.Module) -> nn.Module:
    """Bring a network's filters into channels_last memory."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def reference(name: str, device: str = "cuda") -> nn.Module:
    """Return torch's network with weights that bring a picture's signal to the end, and no more of its rounding.

    The last norm of a residual block scales by 0.1 (Goyal et al. 2017 begin with 0): with 1, fifty layers of random
    weights blow bfloat16's rounding up to a tenth of ResNet-50's answer. Without norms the filters are He et al.'s
    (2015), which keep the signal's size.
    """
    torch.manual_seed(0)
    network = NETWORKS[name](nn)
    normed = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    for module in network.modules():
        if isinstance(module, BasicBlock | Bottleneck):
            nn.init.constant_(getattr(module, "bn3", module.bn2).weight, GAMMA)
        elif isinstance(module, nn.Conv2d | nn.Linear) and not normed:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return channels_last(network.to(device))


def settle(network: nn.Module, pictures: Tensor) -> nn.Module:
    """Give the norms the statistics of a batch of pictures, which keep all values of size 1, and evaluate."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(pictures)
    return network.eval()


def apart(got: Tensor, expected: Tensor) -> float:
    """Return the distance of two results as a share of the second's norm."""
    return ((got.float() - expected.float()).norm() / expected.float().norm()).item()


def agree(name: str, got: Tensor, expected: Tensor, limit: float = TOLERANCE) -> None:
    """Raise unless two candidates computed the same thing."""
    if not apart(got, expected) < limit:
        raise Differs(f"{name} differs from float32 by {apart(got, expected):.1e} of the norm: nothing was timed")


def disagree(other: Tensor, expected: Tensor, limit: float = TOLERANCE) -> None:
    """Raise unless `agree` would notice another picture's result."""
    if not apart(other, expected) > 1.5 * limit:
        raise Differs(f"another picture differs by {apart(other, expected):.1e} only: the check sees nothing")


def inference_rows(name: str, batch: int, size: int, goal: str, run: str, rounds: int) -> list[Row]:
    """Time forward passes: ours optimized in bfloat16, eager bfloat16, compiled bfloat16."""
    network, x = settle(reference(name), images(8, size, seed=2)), images(batch, size, seed=0)
    ours = NETWORKS[name](layers).cuda().eval()
    ours.load_state_dict(network.state_dict())
    with torch.inference_mode():
        exact = network(x)
        disagree(network(images(batch, size, seed=1)), exact)
        eager, half = copy.deepcopy(network).bfloat16(), x.bfloat16()
        compiled = torch.compile(eager, dynamic=False, options=COMPILED.get(goal, {}))
        calls: dict[str, Callable[[], object]] = {
            "striate": partial(optimize(ours, x, precision="bf16"), x),
            "torch": partial(eager, half),
            "torch.compile": partial(compiled, half),
        }
        for candidate, call in calls.items():
            agree(candidate, call(), exact)  # type: ignore[arg-type]
        return measure(
            SUBJECT, f"{name}, batch {batch}, inference", calls, baseline="torch", run=run, device="cuda",
            rounds=rounds, clock=device_clock, goal=goal,
        )  # fmt: skip


def step(
    network: nn.Module,
    forward: Callable[[Tensor], Tensor],
    switch: str,
    x: Tensor,
    target: Tensor,
    mixed: bool = True,
) -> Callable[[], Tensor]:
    """Return one training step: forward (in mixed precision), cross-entropy, backward, SGD."""
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)

    def call() -> Tensor:
        with ops.kernels(switch), torch.autocast(x.device.type, torch.bfloat16, enabled=mixed):
            loss = F.cross_entropy(forward(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return call


def first_step(network: nn.Module, call: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """Take a step; return the loss before it and the gradient of the first filters."""
    loss, filters = call(), next(network.parameters())
    assert filters.grad is not None
    return loss, filters.grad.clone()


def exact_step(name: str, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Take the first step in float32 by torch."""
    network = reference(name, x.device.type).train()
    return first_step(network, step(network, network, "torch", x, target, mixed=False))


def agree_on_step(name: str, got: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    """Raise unless two candidates begin with the same loss and the same gradient."""
    agree(f"{name}'s first loss", got[0], expected[0], LOSS_TOLERANCE)
    agree(f"{name}'s first gradient", got[1], expected[1], GRADIENT_TOLERANCE)


def peak(call: Callable[[], object]) -> float:
    """Return the megabytes that a call holds at its peak."""
    call()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() / 2**20


def training_rows(name: str, batch: int, size: int, goal: str, run: str, rounds: int) -> list[Row]:
    """Time training steps, and note the memory that each candidate alone needs at its peak."""
    x, target = images(batch, size, seed=0), torch.arange(batch, device="cuda")
    exact = exact_step(name, x, target)
    disagree(exact_step(name, images(batch, size, seed=1), target)[1], exact[1], GRADIENT_TOLERANCE)
    state = reference(name).state_dict()
    calls: dict[str, Callable[[], object]] = {}
    peaks = {}
    for candidate, kit, switch in (
        ("striate", layers, "triton"),
        ("torch", nn, "torch"),
        ("torch.compile", nn, "torch"),
    ):
        network = channels_last(NETWORKS[name](kit).cuda())
        network.load_state_dict(state)
        forward = torch.compile(network, dynamic=False) if candidate == "torch.compile" else network
        before = torch.cuda.memory_allocated() / 2**20  # the other candidates' networks
        call = step(network, forward, switch, x, target)
        agree_on_step(candidate, first_step(network, call), exact)
        calls[candidate] = call
        peaks[candidate] = peak(call) - before
    return measure(
        SUBJECT, f"{name}, batch {batch}, training step", calls, baseline="torch", run=run, device="cuda",
        rounds=rounds, clock=device_clock, goal=goal, peaks=peaks,
    )  # fmt: skip


def fresh(rows: Callable[..., list[Row]], *case: object) -> list[Row]:
    """Measure a case, and leave nothing compiled to the next."""
    try:
        return rows(*case)
    finally:
        torch._dynamo.reset()


def parts(run: str, rounds: int) -> Iterator[Part]:
    """Name every case with what checks and times it."""
    for title, rows, cases in (("inference", inference_rows, INFERENCE), ("training", training_rows, TRAINING)):
        for case in cases:
            yield f"{title}, {case[0]}, batch {case[1]}", partial(fresh, rows, *case, run, rounds)
