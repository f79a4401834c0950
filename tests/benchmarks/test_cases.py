"""The benchmarks' cases: both roads give the same shapes at full size, and the networks are the published ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from striate.benchmarks.goals import GOALS
from striate.benchmarks.gpu import Case
from striate.benchmarks.kernels import CONVOLUTIONS, LAYERS
from striate.benchmarks.networks import NETWORKS
from striate.core import layers, ops

CASES = [*CONVOLUTIONS, *LAYERS]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_roads_give_the_same_shapes(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    shapes = []
    for triton in (False, True):  # on fake tensors nothing is computed or launched
        monkeypatch.setattr(ops.switch, "uses_triton", lambda x, triton=triton: triton)
        with FakeTensorMode():
            tensors = [torch.empty(shape, dtype=torch.bfloat16, requires_grad=True) for shape in case.shapes]
            out = case.function(*tensors)
            gradients = torch.autograd.grad(out, tensors, torch.empty_like(out))
        shapes.append([(t.shape, t.dtype) for t in (out, *gradients)])
    assert shapes[0] == shapes[1]


def test_every_case_counts_for_a_goal_and_names_its_operation() -> None:
    keys = {goal.key for goal in GOALS}
    assert {case.goal for case in CASES} <= keys
    assert {goal for case in CASES for goal, _ in case.gradients} - {""} <= keys
    assert {case.operation for case in CASES} <= ops.OPERATIONS.keys()
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("ResNet-18", 11_689_512), ("ResNet-50", 25_557_032), ("VGG-16", 138_357_544), ("MobileNet", 4_231_976)],
)
def test_networks_have_the_published_number_of_parameters(name: str, parameters: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in NETWORKS[name](nn).parameters()) == parameters


@pytest.mark.parametrize("name", NETWORKS)
def test_ours_load_the_references_weights(name: str) -> None:
    with torch.device("meta"):
        reference, ours = NETWORKS[name](nn, width=4), NETWORKS[name](layers, width=4)
    assert ours.load_state_dict(reference.state_dict(), assign=True).missing_keys == []
