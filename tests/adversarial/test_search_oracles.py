"""Attacks without a published twin in foolbox: exhaustive search, torchattacks' Square, controls, their own parts."""

from itertools import product

import numpy as np
import pytest
import torch

from striate.adversarial import (
    ConfidenceAtLeast,
    DeepFool,
    Ensemble,
    HopSkipJump,
    Misclassified,
    OnePixel,
    Square,
    Targeted,
    Universal,
)
from striate.adversarial.deepfool import closer
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


def test_targeted_hopskipjump_starts_from_each_other_picture_in_turn(
    small: Attackable, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, asked = to_tensor(pictures(5)), []
    own = small.scores(x).argmax(1)
    unsure = ClassGoal(Targeted() & ConfidenceAtLeast(1.0), own, (own + 1) % 4)  # no picture will do
    problem, plain = Problem.of(small, x, unsure, DISTANCES["l2"]), Problem.met

    def met(part, tried):
        asked.append(tried)
        return plain(part, tried)

    monkeypatch.setattr(Problem, "met", met)
    assert torch.equal(HopSkipJump(starts=2).perturb(problem), x)
    assert len(asked) == 4 + 2
    for turn, tried in enumerate(asked[:4], 1):
        torch.testing.assert_close(tried, x.roll(turn, 0), rtol=0, atol=1e-7)


def test_what_did_not_fool_is_not_bisected(small: Attackable) -> None:
    x = to_tensor(pictures(3))
    own = small.scores(x).argmax(1)
    never = Problem.of(small, x, ClassGoal(Misclassified() & ConfidenceAtLeast(1.0), own), DISTANCES["l2"])
    assert torch.equal(closer(never, x, 5), x)
    assert never.cost.queries.tolist() == [0] * 3
    walked = DeepFool(steps=4, halvings=5).perturb(never)
    assert (walked != x).flatten(1).any(1).all()
    assert never.cost.queries.tolist() == [1 + 4 + 1] * 3  # the likeliest classes, the steps, what the last one made


def test_what_the_last_step_fooled_comes_back_as_far_as_it_may(linear: Attackable) -> None:
    x = to_tensor(pictures(4, 4, 4, seed=5))
    own = linear.scores(x).argmax(1)
    problem = Problem.of(linear, x, ClassGoal(Misclassified(), own), DISTANCES["l2"])
    far, near = (DeepFool(steps=1, overshoot=1.0, halvings=halvings).perturb(problem) for halvings in (0, 6))
    assert problem.goal.met(linear.scores(near)).all()
    ratio = problem.lengths(near) / problem.lengths(far)
    assert ((ratio > 0.48) & (ratio < 0.54)).all()  # it overshot by as much as the way: half of it is enough


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
