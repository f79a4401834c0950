"""Attacks without a published twin in foolbox: exhaustive search, torchattacks' Square, controls, their own parts."""

from itertools import product

import numpy as np
import pytest
import torch

from striate.adversarial import ConfidenceAtLeast, Ensemble, Misclassified, OnePixel, Square, Universal
from striate.adversarial.distances import DISTANCES
from striate.adversarial.goals import ClassGoal
from striate.adversarial.problem import Problem
from striate.adversarial.victims import Attackable, of_classifier
from striate.core.images import to_tensor
from striate.tests.adversarial.stand_ins import Set, pictures
from striate.tests.adversarial.test_oracles import Batch


def test_one_pixel_finds_what_trying_all_of_them_finds(linear: Attackable) -> None:
    """-log p of a linear model is convex in the pixel: the best colour is a corner of the cube, one of 16 x 8."""
    x = to_tensor(pictures(4, 4, 4, seed=5))
    y = linear.scores(x).argmax(1)
    never = ClassGoal(Misclassified() & ConfidenceAtLeast(1.0), y)  # so that it evolves to the end
    attack = OnePixel(generations=30)
    found = attack.perturb(Problem.of(linear, x, never, DISTANCES["l0"], 1.0))
    assert (DISTANCES["l0"].between(found, x) <= 1).all()
    for row in range(4):
        tried = x[row].repeat(16 * 8, 1, 1, 1)
        for place, (v, u, *colour) in enumerate(product(range(4), range(4), (0, 1), (0, 1), (0, 1))):
            tried[place, :, v, u] = torch.tensor(colour, dtype=torch.float32)
        best, mine, before = (
            linear.scores(one).log_softmax(1)[:, y[row]].min()
            for one in (tried, found[row : row + 1], x[row : row + 1])
        )
        assert best < before
        assert float(mine - best) <= 0.05 * float(before - best)


@pytest.mark.parametrize(("distance", "epsilon", "queries"), [("linf", 0.13, 150), ("l2", 3.5, 200)])
def test_square_fools_as_many_as_torchattacks(distance: str, epsilon: float, queries: int, digits: Set) -> None:
    batch = Batch(of_classifier(digits.model), digits.images, digits.labels)
    ours = batch.fooled(batch.ours(Square(distance=distance, queries=queries), epsilon))
    theirs = batch.fooled(batch.torchattacks("Square", norm=distance.capitalize(), eps=epsilon, n_queries=queries))
    assert theirs.sum() > 4
    assert ours.sum() >= theirs.sum() - 3  # of 16; both are random


def test_one_perturbation_for_all_beats_random_ones(small: Attackable) -> None:
    images, epsilon = pictures(24, seed=7), 0.15
    own = small.probabilities(images).argmax(1)
    x = to_tensor(images)
    problem = Problem.of(small, x, ClassGoal(Misclassified(), torch.from_numpy(own)), DISTANCES["linf"], epsilon)
    found = Universal(passes=5).perturb(problem)
    moves = found - x
    inside = ((x + moves) > 0) & ((x + moves) < 1)
    same = torch.where(inside, moves, torch.nan).nanmedian(0).values
    assert (torch.where(inside, moves - same, 0.0).abs() < 1e-6).all()  # it is one, where no picture meets the box
    signs = torch.randint(0, 2, (20, 3, 12, 12), generator=torch.Generator().manual_seed(0)) * 2 - 1
    random = [problem.goal.met(small.scores((x + epsilon * sign).clamp(0, 1))).float().mean() for sign in signs]
    assert problem.goal.met(small.scores(found)).float().mean() >= max(random) + 0.2


@pytest.mark.parametrize("distance", ["linf", "l2"])
def test_the_ensemble_fools_at_least_what_each_of_its_members_does(distance: str, small: Attackable) -> None:
    images, epsilon = pictures(16, seed=8), {"linf": 3 / 255, "l2": 0.08}[distance]
    whole = Ensemble(distance=distance, steps=10, queries=40, classes=3)
    assert [member.name for member in whole.members()] == ["apgd", "apgd", "fab", "square"]
    together = whole.run(small, images, epsilons=epsilon)
    alone = np.array([member.run(small, images, epsilons=epsilon).success for member in whole.members()])
    assert 0 < together.success.sum() < 16
    assert together.success.sum() >= alone.sum(1).max()
    assert together.success.sum() >= alone.any(0).sum() - 1  # the later ones draw other numbers than alone
