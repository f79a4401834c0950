"""PGD-10 on a GPU: ResNet-18 with random weights, beside the same loop in plain torch, and torchattacks' own (G13).

All take every step: such a network is fooled by the first, and an attack that stops there would flatter itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.adversarial import Pgd
from striate.adversarial.attack import Attack
from striate.adversarial.criteria import Misclassified
from striate.adversarial.goals import ClassGoal
from striate.adversarial.problem import Problem
from striate.adversarial.victims import Attackable
from striate.benchmarks.gpu import device_clock
from striate.benchmarks.harness import Part, Row, measure
from striate.benchmarks.networks import NETWORKS
from striate.benchmarks.whole_networks import agree, images, reference, settle
from striate.core import layers

SUBJECT = "attacks"
NETWORK = "ResNet-18"
CASES = ((64, 32), (32, 224))  # batch, size
EPSILON, STEPS, STEP = 8 / 255, 10, 2.5 / 10
BY_HAND = "torch, by hand"
CLOSE = 0.05
"""Of the gradients' norm; in float32, tf32 included, networks of 18 layers differ by 0.01."""


class Attacked(NamedTuple):
    """A network on torch's layers, and as ours with and without CUDA graphs; pictures with what it calls them."""

    network: nn.Module
    graphs: Attackable
    eager: Attackable
    x: Tensor
    y: Tensor


def pictures(batch: int, size: int, seed: int, device: str) -> Tensor:
    """Draw smooth pictures in [0, 1]."""
    return images(batch, size, seed, device).sigmoid()


def attacked(batch: int, size: int, device: str = "cuda") -> Attacked:
    """Make a network whose maps keep their size, and a batch for it."""
    network = settle(reference(NETWORK, device), pictures(8, size, 2, device)).requires_grad_(False)
    ours = NETWORKS[NETWORK](layers).to(device).eval()
    ours.load_state_dict(network.state_dict())
    x = pictures(batch, size, 0, device).contiguous()
    with torch.no_grad():
        scores = network(x)
    names = [str(i) for i in range(scores.shape[1])]
    graphs, eager = (Attackable(ours, names, cuda_graphs=wanted) for wanted in (True, False))
    return Attacked(network, graphs, eager, x, scores.argmax(1))


def problem(data: Attacked, victim: Attackable, attack: Attack) -> Problem:
    """Pose the problem to one of our victims."""
    return Problem.of(victim, data.x, ClassGoal(Misclassified(), data.y), attack.distance, EPSILON)


def ours(data: Attacked, victim: Attackable, attack: Attack) -> Tensor:
    """Run PGD of ours."""
    return attack.perturb(problem(data, victim, attack))


def by_hand(data: Attacked) -> Tensor:
    """Run PGD as one writes it down."""
    start = (data.x + torch.empty_like(data.x).uniform_(-EPSILON, EPSILON)).clamp(0, 1)
    for _ in range(STEPS):
        x = start.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(data.network(x), data.y), x)
        moved = start + STEP * EPSILON * gradient.sign()
        start = (data.x + (moved - data.x).clamp(-EPSILON, EPSILON)).clamp(0, 1)
    return start


def rows(batch: int, size: int, run: str, rounds: int, device: str = "cuda") -> list[Row]:
    """Compare the gradients at the pictures, then time attacks.

    Raises:
        Differs: The gradients are not the same.
    """
    data, attack = attacked(batch, size, device), Pgd(steps=STEPS, step_size=STEP, early_stop=False)
    x = data.x.clone().requires_grad_()
    (exact,) = torch.autograd.grad(F.cross_entropy(data.network(x), data.y, reduction="sum"), x)
    for name, victim in (("striate", data.graphs), ("striate, no graphs", data.eager)):
        posed = problem(data, victim, attack)
        agree(name, posed.gradient(data.x, posed.goal.loss)[2], exact, CLOSE)
    calls: dict[str, Callable[[], object]] = {
        "striate": partial(ours, data, data.graphs, attack),
        "striate, no graphs": partial(ours, data, data.eager, attack),
        BY_HAND: partial(by_hand, data),
    }
    baseline = BY_HAND
    if find_spec("torchattacks"):
        import torchattacks

        theirs = torchattacks.PGD(data.network, eps=EPSILON, alpha=STEP * EPSILON, steps=STEPS)
        baseline = "torchattacks"
        calls[baseline] = partial(theirs, data.x, data.y)
    case = f"PGD-{STEPS}, {NETWORK}, {batch} pictures of {size}x{size}, float32"
    return measure(
        SUBJECT, case, calls, baseline=baseline, run=run, device=device, rounds=max(3, rounds // 4),
        clock=device_clock, goal="G13",
    )  # fmt: skip


def parts(run: str, rounds: int) -> Iterator[Part]:
    """Name the cases with what checks and times them."""
    for batch, size in CASES:
        yield f"{NETWORK}, {batch} of {size}x{size}", partial(rows, batch, size, run, rounds)
