"""One budget for what is held at once: fewer pictures in a pass, and the same answers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from striate.adversarial import Ascent, HopSkipJump, Targeted, make_attack, parts
from striate.adversarial.distances import DISTANCES
from striate.adversarial.goals import ClassGoal
from striate.adversarial.inputs import Inputs
from striate.adversarial.jury import Jury
from striate.adversarial.parts import at_once, summed
from striate.adversarial.problem import Problem
from striate.adversarial.victims import Attackable
from striate.core.images import to_tensor
from striate.tests.adversarial.stand_ins import pictures

FEW = 5 * 3 * 12 * 12
"""Values of five pictures."""


@pytest.fixture
def passes(small: Attackable) -> Iterator[list[int]]:
    """How many pictures each pass through the network had."""
    seen: list[int] = []
    handle = small.network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    yield seen
    handle.remove()


def test_how_many_pictures_fit() -> None:
    assert at_once((3, 128, 128)) == 170
    assert at_once((3, 12, 12)) == parts.MOST_PICTURES
    assert at_once((3, 12, 12), copies=100) == 2
    assert at_once((3, 12, 12), copies=1000) == at_once((3, 4000, 4000)) == 1  # one has to be held


def test_answers_about_many_pictures_are_given_in_parts(
    small: Attackable, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pictures(13)
    expected = small.probabilities(images), Jury(small).confidences(images)
    monkeypatch.setattr(parts, "MOST_NUMBERS", FEW)
    passes.clear()
    found = small.probabilities(images), Jury(small).confidences(images)
    assert passes == [5, 5, 3] * 2
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("one-pixel", {"pixels": 4, "population": 30, "generations": 4}),
        ("hopskipjump", {"steps": 3, "samples": 40}),
    ],
)
def test_candidates_and_probes_are_asked_about_in_parts(
    name: str, options: dict, small: Attackable, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    attack = make_attack(name, **options)
    expected = attack.run(small, pictures(2))
    whole = max(passes)
    monkeypatch.setattr(parts, "MOST_NUMBERS", FEW)
    passes.clear()
    found = attack.run(small, pictures(2))
    assert max(passes) <= 5 < whole
    for mine, theirs in zip(found, expected, strict=True):
        # Probes of HopSkipJump are summed in another order: a value at the middle of two levels may go to either.
        assert (np.abs(mine.image.astype(int) - theirs.image) > 1).mean() < 0.01
        assert (mine.success, mine.queries) == (theirs.success, theirs.queries)


class Made(TorchFunctionMode):
    """Counts the values of the tensors that torch returns."""

    def __init__(self) -> None:
        super().__init__()
        self.values = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor):
            self.values += found.numel()
        return found


def test_a_start_from_the_other_pictures_is_taken_one_turn_at_a_time(
    small: Attackable, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, made, before = pictures(24), Made(), []
    own = small.probabilities(images).argmax(1)
    plain = Problem.met

    def met(*args):
        before.append(made.values)
        return plain(*args)

    monkeypatch.setattr(Problem, "met", met)
    problem = Problem.of(
        small, to_tensor(images), ClassGoal(Targeted(), torch.from_numpy(own), torch.from_numpy((own + 1) % 4)),
        DISTANCES["l2"],
    )  # fmt: skip
    with made:
        HopSkipJump(steps=1, samples=1, halvings=1).perturb(problem)
    assert before[0] < 12 * problem.originals.numel()  # 7 are; all 23 turns together were 23 more


def test_an_ascent_to_many_classes_is_climbed_in_parts(
    small: Attackable, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ascent = Ascent(steps=10, size=(12, 12), jitter=2, tv=0.1)
    expected = ascent.run(small)
    monkeypatch.setattr(parts, "MOST_NUMBERS", 3 * 3 * 12 * 12)
    passes.clear()
    found = ascent.run(small)
    assert max(passes) == 3
    np.testing.assert_allclose(found.confidences, expected.confidences, atol=1e-4)
    for mine, theirs in zip(found, expected, strict=True):
        assert np.abs(mine.image.astype(int) - theirs.image).max() <= 1


@pytest.mark.parametrize("most", [2**23, 2 * 12], ids=["one part", "four parts"])
def test_a_sum_in_parts_has_the_gradient_of_the_whole(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MOST_NUMBERS", most)
    x = torch.rand(7, 3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_(True)
    weights = torch.arange(7.0, dtype=torch.float64)

    def value(part: Tensor, rows: Tensor) -> Tensor:
        return weights[rows] * (part**3).sum((1, 2, 3))

    total = summed(value, 2 * x)
    (slope,) = torch.autograd.grad(total, x)
    whole = (weights * ((2 * x) ** 3).sum((1, 2, 3))).sum()
    assert float(total.detach()) == pytest.approx(float(whole.detach()))
    torch.testing.assert_close(slope, 6 * weights[:, None, None, None] * (2 * x) ** 2)


def test_pictures_under_attack_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = np.eye(4, dtype=np.float32)[[0, 1, 0, 0, 0, 0, 0]]
    images = [*pictures(6), *pictures(1, 20, 20)]
    inputs = Inputs(images, before, np.zeros(7, np.int64), None, None, ("a", "b", "c", "d"))
    assert list(inputs.batches()) == [[0, 2, 3, 4, 5], [6]]
    monkeypatch.setattr(parts, "MOST_NUMBERS", 2 * 3 * 12 * 12)
    assert list(inputs.batches()) == [[0, 2], [3, 4], [5], [6]]
