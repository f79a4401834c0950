"""Rounding to 8 bits: inside the ball, to the last bit, with how many questions; and what is left of a lead."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from striate.adversarial import make_attack
from striate.adversarial.apgd import _State
from striate.adversarial.carlini_wagner import CarliniWagner
from striate.adversarial.criteria import ConfidenceAtLeast, Misclassified
from striate.adversarial.distances import DISTANCES, Linf
from striate.adversarial.eight_bits import STRETCHES, on_the_grid, rounded_inside, stepped, whole_levels
from striate.adversarial.goals import ClassGoal
from striate.adversarial.problem import Problem
from striate.adversarial.victims import Attackable
from striate.core.checks import UsageError
from striate.core.images import to_tensor
from striate.tests.adversarial.stand_ins import pictures
from striate.tests.adversarial.test_attack import quick


class DividesAsCuda(TorchFunctionMode):
    """Tensors divided by a number are multiplied by its reciprocal, rounded to float32, as CUDA computes it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.__truediv__, Tensor.div, torch.div) and isinstance(args[1], int | float):
            return args[0] * float(np.float32(1 / args[1]))
        return func(*args, **(kwargs or {}))


def never(small: Attackable, images: list[np.ndarray], distance: str, epsilon: float) -> Problem:
    """Return a problem whose goal is out of reach: every picture is asked about as often as there is reason to."""
    own = torch.from_numpy(small.probabilities(images).argmax(1))
    goal = ClassGoal(Misclassified() & ConfidenceAtLeast(1.0), own)
    return Problem.of(small, to_tensor(images), goal, DISTANCES[distance], epsilon)


def test_cuda_divides_another_way() -> None:
    levels = torch.arange(256.0)
    with DividesAsCuda():
        theirs = levels / 255
    assert int((theirs != levels / 255).sum()) == 126


@pytest.mark.parametrize(("distance", "epsilon"), [("l0", 4.0), ("l1", 2.0), ("l2", 0.3), ("linf", 0.02)])
def test_values_that_do_not_move_keep_every_bit(distance: str, epsilon: float, small: Attackable) -> None:
    problem = never(small, pictures(6), distance, epsilon)
    moves = torch.zeros_like(problem.originals)
    moves[:, :, 2:4, 5:7] = 0.1
    with DividesAsCuda():
        found = rounded_inside(problem, problem.project(problem.originals + moves))
    levels, before = ((one * 255).round() for one in (found, problem.originals))
    assert (levels != before).flatten(1).any(1).all()
    assert torch.equal(found[levels == before], problem.originals[levels == before])
    assert (problem.lengths(found) <= epsilon * (1 + 1e-4)).all()


@pytest.mark.parametrize(("distance", "epsilon"), [("l0", 9.0), ("l1", 20.0), ("l2", 0.9), ("linf", 0.0431)])
def test_whole_levels_are_inside_the_ball(distance: str, epsilon: float) -> None:
    deltas = torch.randn(5, 3, 12, 12, generator=torch.Generator().manual_seed(0)) / 10
    steps = whole_levels(DISTANCES[distance], deltas, torch.full((5,), epsilon))
    assert torch.equal(steps, steps.round())
    assert (DISTANCES[distance].norm(steps / 255) <= epsilon * (1 + 1e-5)).all()
    room = torch.full((5,), 1e3)
    assert torch.equal(whole_levels(DISTANCES[distance], deltas, room), (deltas * 255).round())
    assert torch.equal(stepped(torch.zeros_like(deltas), steps.abs()) * 255, steps.abs())


@pytest.mark.parametrize("name", ["noise", "fgsm", "square", "universal"])
@pytest.mark.parametrize(("distance", "epsilon"), [("linf", 3 / 255), ("l2", 0.1)])
def test_what_is_saved_is_what_chance_a_step_or_a_search_made(
    name: str, distance: str, epsilon: float, small: Attackable
) -> None:
    images = [np.where(image > 128, 255, image) for image in pictures(6)]  # in L2 a clipped change has room to grow
    attack = quick(name, distance=distance)
    own = torch.from_numpy(small.probabilities(images).argmax(1))
    problem = Problem.of(small, to_tensor(images), ClassGoal(Misclassified(), own), attack.distance, epsilon)
    made = rounded_inside(problem, attack.perturb(problem))
    saved = attack.run(small, images, epsilons=epsilon)
    assert not saved.success.all()
    np.testing.assert_array_equal(to_tensor(saved.images), made)
    assert [one.queries for one in saved] == [asked + 1 for asked in problem.cost.queries.tolist()]


def test_square_keeps_to_its_queries(small: Attackable, images) -> None:
    found = make_attack("square", queries=7).run(small, images, epsilons=1 / 255)
    assert max(one.queries for one in found) == 7 + 1  # the saved picture


def test_pictures_that_stretching_does_not_change_are_not_asked_about_again(small: Attackable, images) -> None:
    problem = never(small, images, "linf", 20 / 255)
    step = torch.tensor([20.0, 20.0, 12.0, 7.0, 1.0, 0.0])[:, None, None, None] / 255
    found, fooled = on_the_grid(problem, problem.originals + step)
    assert not fooled.any()
    assert torch.equal(found, stepped(problem.originals, (step * 255).expand_as(found).round()))
    # Twelve levels become 12.2, 12.6, 13.2, 14.4, 16.2, 19.2 and 24, which are 12, 13, 14, 16, 19 and 20 inside.
    assert problem.cost.queries.tolist() == [1, 1, 6, 5, 2, 1]


def test_the_first_try_is_projected_once(small: Attackable, images, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, seen = never(small, images, "linf", 20 / 255), []
    plain = Linf.project

    def project(*args):
        seen.append(len(args[1]))
        return plain(*args)

    monkeypatch.setattr(Linf, "project", project)
    on_the_grid(problem, problem.originals + 0.02, (1.0,))
    assert seen == [6]
    seen.clear()
    on_the_grid(problem, problem.originals + 0.02)
    assert seen == [6] * len(STRETCHES)


@pytest.mark.parametrize("name", ["noise", "fgsm", "pgd", "apgd", "square", "universal", "ensemble"])
def test_a_budget_between_two_levels_is_the_lower_one(name: str, small: Attackable, images) -> None:
    lower, between = (quick(name).run(small, images, epsilons=budget / 255) for budget in (8, 8.9))
    assert [one.epsilon for one in between] == [8.9 / 255] * len(images)
    for a, b in zip(lower, between, strict=True):
        np.testing.assert_array_equal(a.image, b.image)


def test_less_than_one_level_is_refused(small: Attackable, images) -> None:
    with pytest.raises(UsageError, match=r"an epsilon of at least one level, 1 / 255; got 0\.003; .* 8 bits"):
        make_attack("pgd").run(small, images[0], epsilons=0.003)
    assert make_attack("pgd").run(small, images[0], epsilons=1 / 255).norms["linf"] <= 1 / 255 + 1e-9
    assert make_attack("deepfool").run(small, images[0], epsilons=0.003).norms["l2"] <= 0.003


def test_auto_pgd_counts_steps_that_rose_not_looks() -> None:
    x = torch.zeros(2, 3, 2, 2)
    first = _State.at(x, torch.ones(2)).seen(torch.tensor([1.0, 1.0]), x)
    assert first.rises.tolist() == [0, 0]
    assert first.seen(torch.tensor([2.0, 0.5]), x).rises.tolist() == [1, 0]


@pytest.mark.parametrize("lead", [0.0, 1.0, 3.0])
def test_carlini_wagner_leads_by_the_confidence(lead: float, small: Attackable, images) -> None:
    x, own = to_tensor(images), torch.from_numpy(small.probabilities(images).argmax(1))
    goal = ClassGoal(Misclassified(), own)
    attack = CarliniWagner(steps=40, searches=4, constant=1.0, confidence=lead)
    found = attack.perturb(Problem.of(small, x, goal, DISTANCES["l2"]))
    changed = (found != x).flatten(1).any(1)
    assert changed.sum() >= 4
    with torch.no_grad():
        assert (goal.margin(small.scores(found))[changed] <= -lead + 1e-4).all()


@pytest.mark.parametrize("lead", [-1.0, float("nan"), float("inf")])
def test_no_lead_below_nothing(lead: float) -> None:
    with pytest.raises(UsageError, match="a confidence of 0 or more; got"):
        CarliniWagner(confidence=lead)
