"""Every attack on a CUDA device finds what it finds on the CPU: of twelve pictures as many, within one.

Random numbers are drawn on the CPU, so both see the same ones; sums differ, by tf32 in convolutions too. Without a GPU
the second run is one on the CPU that divides as CUDA does: x / 255 as x * (1 / 255), another float for 126 of the 256
levels.
"""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
import torch
from torch import nn

from striate.adversarial import ATTACKS, Attackable, Results, make_attack
from striate.core.images import to_tensor
from striate.tests.adversarial.stand_ins import NAMES, pictures
from striate.tests.adversarial.test_eight_bits import DividesAsCuda

COUNT, LEAST, APART = 12, 8, 1
"""Pictures; of them fooled on the CPU; differences between the devices."""
ATTACKED: dict[str, tuple[dict[str, Any], float]] = {
    "noise": ({}, 38 / 255),  # (10)
    "fgsm": ({}, 4 / 255),  # (11)
    "pgd": ({"steps": 10}, 3 / 255),  # (9)
    "apgd": ({"steps": 10}, 3 / 255),  # (9)
    "ensemble": ({"steps": 10, "queries": 50, "classes": 2}, 3 / 255),  # (9)
    "deepfool": ({}, 0.2),  # (10)
    "carlini-wagner": ({"steps": 30, "searches": 3}, 0.2),  # (9)
    "fab": ({"steps": 10, "classes": 2}, 3 / 255),  # (9)
    "szegedy": ({"steps": 10, "searches": 4}, 0.2),  # (10)
    "square": ({"queries": 100}, 13 / 255),  # (10)
    "hopskipjump": ({"steps": 5, "samples": 30}, 0.5),  # (11)
    "one-pixel": ({"population": 40, "generations": 10}, 2),  # (10)
    "universal": ({"passes": 5}, 13 / 255),  # (11)
}
"""Settings and budgets in which some pictures hold out; how many were fooled on the CPU."""


def network() -> nn.Module:
    """Return a small network, the same every time, whose scores of noise are spread alike over the classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        body = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU()
        made = nn.Sequential(*body, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(72, len(NAMES))).eval()
    with torch.no_grad():
        scores = made(to_tensor(pictures(64, seed=9)))
        made[-1].weight.mul_(2 / scores.std(0)[:, None])
        made[-1].bias.copy_(2 * (made[-1].bias - scores.mean(0)) / scores.std(0))
    return made


def attacked(name: str, device: str) -> Results:
    """Run an attack on a device."""
    options, budget = ATTACKED[name]
    victim = Attackable(copy.deepcopy(network()).to(device), NAMES, cuda_graphs=True)
    found: Results = make_attack(name, **options).run(victim, pictures(COUNT), epsilons=budget)
    return found


def test_every_attack_is_tried() -> None:
    assert ATTACKED.keys() == ATTACKS.keys()


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=pytest.mark.gpu), "cpu"])
@pytest.mark.parametrize("name", ATTACKED)
def test_as_many_are_fooled_as_on_the_cpu(name: str, device: str) -> None:
    here = attacked(name, "cpu")
    with contextlib.nullcontext() if device == "cuda" else DividesAsCuda():
        there = attacked(name, device)
    assert here.success.sum() >= LEAST
    assert abs(int(there.success.sum()) - int(here.success.sum())) <= APART
    assert [one.label_before for one in there] == [one.label_before for one in here]
    budget = ATTACKED[name][1]
    assert all(one.norms[one.distance] <= budget * (1 + 1e-6) for one in there)
