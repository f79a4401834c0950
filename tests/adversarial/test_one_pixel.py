"""One pixel: who a candidate's parents are, how many pixels a budget buys, what another quotient changes."""

import numpy as np
import pytest
import torch

from striate.adversarial import OnePixel
from striate.adversarial.criteria import Misclassified
from striate.adversarial.distances import DISTANCES
from striate.adversarial.eight_bits import on_the_grid
from striate.adversarial.goals import ClassGoal
from striate.adversarial.one_pixel import different
from striate.adversarial.problem import Problem
from striate.adversarial.victims import Attackable
from striate.core.images import to_tensor
from striate.tests.adversarial.stand_ins import Set, pictures
from striate.tests.adversarial.test_eight_bits import DividesAsCuda, never


def test_parents_are_three_others_evenly_drawn() -> None:
    drawn = torch.rand(4000, 5, 3, generator=torch.Generator().manual_seed(0))
    found = different(drawn)
    own = torch.arange(5)[None, :, None].expand(4000, -1, -1)
    together = torch.cat((own, found), 2).sort(2).values
    assert (together.diff(dim=2) > 0).all()
    assert found.min() == 0
    assert found.max() == 4
    shares = torch.nn.functional.one_hot(found, 5).double().mean(0)  # (candidate, parent, who)
    others = ~torch.eye(5, dtype=torch.bool)[:, None].expand(-1, 3, -1)
    assert (shares[others] - 0.25).abs().max() < 0.03  # four standard deviations of 4,000 draws


def test_draws_at_the_ends_stay_inside() -> None:
    for end in (0.0, 1 - 2**-24):
        found = different(torch.full((1, 4, 3), end))
        assert all(sorted([row, *found[0, row].tolist()]) == [0, 1, 2, 3] for row in range(4))


def test_a_larger_budget_changes_more_pixels_and_fools_more(digits: Set) -> None:
    attack = OnePixel(population=60, generations=12)
    several = attack.run(digits.model, digits.images, digits.labels, epsilons=[1, 4, 12.5])
    changed = [np.array([one.norms["l0"] for one in found]) for found in several]
    assert all((some <= most).all() for some, most in zip(changed, (1, 4, 12), strict=True))
    assert changed[0].mean() < changed[1].mean() - 2 < changed[2].mean() - 6
    rates = [found.success_rate for found in several]
    assert rates == sorted(rates)
    assert rates[2] >= rates[0] + 0.15
    assert [found[0].attack for found in several] == [
        f"OnePixel(pixels={pixels}, population=60, generations=12, factor=0.5)" for pixels in (1, 4, 12)
    ]


def test_pixels_are_the_budget_where_none_is_given(small: Attackable) -> None:
    attack, images = OnePixel(pixels=3, population=10, generations=2), pictures(3)
    assert repr(attack) == "OnePixel(pixels=3, population=10, generations=2, factor=0.5)"
    own, three = attack.run(small, images), attack.run(small, images, epsilons=3)
    assert [one.epsilon for one in own] == [3.0] * 3
    assert all(np.array_equal(a.image, b.image) for a, b in zip(own, three, strict=True))
    free = never(small, images, "l0", float("inf"))
    assert (free.lengths(attack.perturb(free)) == 3).all()


def test_a_budget_beyond_the_picture_is_all_of_it(small: Attackable) -> None:
    (found,) = OnePixel(population=4, generations=1).run(small, pictures(1, 4, 4), epsilons=1e9)
    assert found.norms["l0"] <= 16


@pytest.mark.parametrize("pixels", [1, 4])
def test_it_succeeds_where_numbers_are_divided_as_on_cuda(pixels: int, small: Attackable) -> None:
    images = pictures(16, seed=11)
    goal = ClassGoal(Misclassified(), torch.from_numpy(small.probabilities(images).argmax(1)))
    problem = Problem.of(small, to_tensor(images), goal, DISTANCES["l0"], float(pixels))
    attack = OnePixel(population=60, generations=10)
    expected = on_the_grid(problem, attack.perturb(problem))[1]
    again = Problem.of(small, to_tensor(images), goal, DISTANCES["l0"], float(pixels))
    with DividesAsCuda():
        found, fooled = on_the_grid(again, attack.perturb(again))
    assert expected.any()
    assert torch.equal(fooled, expected)
    assert (again.lengths(found) <= pixels).all()
