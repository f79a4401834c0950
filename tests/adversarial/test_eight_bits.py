"""Budgets between two levels of 8 bits, and what is left of a lead after rounding."""

import numpy as np
import pytest
import torch

from striate.adversarial import make_attack
from striate.adversarial.apgd import _State
from striate.adversarial.carlini_wagner import CarliniWagner
from striate.adversarial.criteria import Misclassified
from striate.adversarial.distances import DISTANCES
from striate.adversarial.goals import ClassGoal
from striate.adversarial.problem import Problem
from striate.adversarial.victims import Attackable
from striate.core.checks import UsageError
from striate.core.images import to_tensor
from striate.tests.adversarial.test_attack import quick


@pytest.mark.parametrize("name", ["noise", "fgsm", "pgd", "apgd", "square", "universal", "ensemble"])
def test_a_budget_between_two_levels_is_the_lower_one(name: str, small: Attackable, images) -> None:
    lower, between = (quick(name).run(small, images, epsilons=budget / 255) for budget in (8, 8.9))
    assert lower.success.any() == between.success.any()
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
