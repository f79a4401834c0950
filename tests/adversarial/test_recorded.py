"""Recorded gradients are those of the plain road, whatever the number of pictures and the loss."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from striate.adversarial import Apgd, Misclassified, Pgd
from striate.adversarial import recorded as under_test
from striate.adversarial.distances import DISTANCES
from striate.adversarial.geometry import ClassGeometry
from striate.adversarial.goals import ClassGoal
from striate.adversarial.problem import Problem
from striate.adversarial.victims import Attackable
from striate.core.images import to_tensor
from striate.tests.adversarial.stand_ins import NAMES, pictures


class Replayed:
    """Instead of CUDA graphs: runs the function, and notes how many pictures it was given."""

    sizes: list[int]

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *given: Tensor) -> Any:
        self.sizes.append(len(given[0]))
        return self.function(*given)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let recordings be made on the CPU; return the sizes of what they are given."""
    Replayed.sizes = []
    monkeypatch.setattr(under_test, "CudaGraphs", Replayed)
    monkeypatch.setattr(under_test, "on_device", lambda pictures: True)
    monkeypatch.setattr(under_test, "PATIENCE", 0)
    return Replayed.sizes


def two(net: nn.Module) -> list[Attackable]:
    """Return the network on the middle of a picture, plain and recorded."""
    return [
        Attackable(net, NAMES, geometry=ClassGeometry(9, 8, 3), views="flip", cuda_graphs=graphs)
        for graphs in (False, True)
    ]


@pytest.mark.parametrize("loss", ["loss", "dlr"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("count", [1, 5, 17])
def test_gradients_of_any_number_of_pictures(loss: str, targeted: bool, count: int, net: nn.Module, sizes) -> None:
    x = to_tensor(pictures(count, 12, 10))
    labels = torch.arange(count) % 4
    goal = ClassGoal(Misclassified(), labels, (labels + 1) % 4 if targeted else None)
    plain, recorded = (
        Problem.of(one, x, goal, DISTANCES["l2"], 1.0).gradient(x, getattr(goal, loss)) for one in two(net)
    )
    assert sizes == [32 if count == 17 else 16]
    for mine, theirs in zip(recorded, plain, strict=True):
        assert mine.shape == theirs.shape
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("attack", [Pgd(steps=6, epsilon=0.1), Apgd(steps=6, epsilon=0.1, loss="dlr-targeted")])
def test_attacks_find_the_same(attack, net: nn.Module, sizes) -> None:
    plain, recorded = (attack.run(one, pictures(20)) for one in two(net))
    assert sizes[0] == 32
    assert {*sizes} <= {16, 32}  # as pictures are fooled, fewer are asked about
    assert [one.label_after for one in recorded] == [one.label_after for one in plain]
    assert [one.gradients for one in recorded] == [one.gradients for one in plain]


def test_what_is_asked_for_seldom_is_not_recorded(net: nn.Module, sizes, monkeypatch) -> None:
    monkeypatch.setattr(under_test, "PATIENCE", 3)
    x, goal = to_tensor(pictures(3)), ClassGoal(Misclassified(), torch.tensor([0, 1, 2]))
    problem = Problem.of(two(net)[1], x, goal, DISTANCES["l2"])
    for _ in range(5):
        problem.gradient(x, goal.loss)
        problem.gradient(x[:, :, :8], goal.loss)
    assert sizes == [16] * 4


def test_other_losses_are_not_recorded(net: nn.Module, sizes) -> None:
    x, goal = to_tensor(pictures(3)), ClassGoal(Misclassified(), torch.tensor([0, 1, 2]))
    _, losses, _ = Problem.of(two(net)[1], x, goal, DISTANCES["l2"]).gradient(x, lambda scores: scores[:, 0])
    assert sizes == []
    assert len(losses) == 3


@pytest.mark.gpu
@pytest.mark.parametrize("loss", ["loss", "dlr"])
def test_a_graph_gives_what_the_network_gives(loss: str, net: nn.Module) -> None:
    plain, recorded = two(copy.deepcopy(net).cuda())
    for count in (20, 5) * (under_test.PATIENCE + 2):
        x, labels = to_tensor(pictures(count, seed=count)).cuda(), torch.arange(count).cuda() % 4
        goal = ClassGoal(Misclassified(), labels)
        problems = [Problem.of(one, x, goal, DISTANCES["l2"], 1.0) for one in (plain, recorded)]
        expected, found = (one.gradient(x, getattr(goal, loss)) for one in problems)
        for mine, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)
    assert recorded.recorded is not None
    assert sum(len(one.recordings) for one in recorded.recorded.graphs.values()) == 2
