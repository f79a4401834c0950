"""An attack inside a comparison of models of different kinds."""

import numpy as np
import pytest

from striate.adversarial import Attackable, BlackBox, DeepFool, HopSkipJump, Pgd, Square
from striate.adversarial.contest import Contest
from striate.tests.adversarial.stand_ins import NAMES


def test_each_model_is_attacked_by_what_it_gives(small: Attackable, images) -> None:
    contest = Contest(Pgd(steps=10), black_box=Square(queries=100), epsilon=0.1)
    box = BlackBox(small.probabilities, NAMES)
    own = [int(i) for i in small.probabilities(images).argmax(1)]
    for model in (small, box):
        changed = [contest(model, one, i, np.random.default_rng(0)) for one, i in zip(images, own, strict=True)]
        assert all(one.shape == image.shape for one, image in zip(changed, images, strict=True))
        assert max(int(np.abs(one.astype(int) - image).max()) for one, image in zip(changed, images, strict=True)) <= 25
        assert (small.probabilities(changed).argmax(1) != own).mean() >= 0.5
    assert "Square(" in contest.options["black_box"]
    again, first = (contest(box, images[0], own[0], np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_a_picture_that_is_wrong_already_stays(small: Attackable, images) -> None:
    wrong = (int(small.probabilities(images[:1]).argmax()) + 1) % 4
    changed = Contest(Pgd())(small, images[0], wrong, np.random.default_rng(0))
    np.testing.assert_array_equal(changed, images[0])


@pytest.mark.parametrize(
    ("contest", "budget"),
    [
        (Contest(Pgd(epsilon=0.1)), 0.1 * 12),
        (Contest(Pgd(distance="l2", epsilon=0.7)), 0.7),
        (Contest(Pgd(distance="l1", epsilon=3.0)), None),
        (Contest(Pgd(epsilon=0.1), black_box=HopSkipJump(epsilon=2.0)), None),
        (Contest(DeepFool()), None),
        (Contest(Pgd(epsilon=0.1), epsilon=0.5), 0.5),
    ],
    ids=["ball around the ball", "same distance", "l1", "its own", "an attack without one", "one for both"],
)
def test_the_black_box_gets_a_budget_of_the_same_size(contest: Contest, budget: float | None) -> None:
    assert contest._budget(12 * 12) == (None if budget is None else pytest.approx(budget))


def test_no_picture_is_changed_by_more_than_the_budget(small: Attackable, images) -> None:
    contest = Contest(Pgd(epsilon=0.02), black_box=HopSkipJump(steps=1, samples=4))
    box = BlackBox(small.probabilities, NAMES)
    own = [int(i) for i in small.probabilities(images).argmax(1)]
    changed = [contest(box, one, i, np.random.default_rng(0)) for one, i in zip(images, own, strict=True)]
    moved = [np.sqrt(np.mean((a / 255 - b / 255) ** 2)) for a, b in zip(changed, images, strict=True)]
    assert 0.01 < max(moved) <= 0.02
    assert contest.method_on(box) == "hopskipjump"
    assert contest.method_on(small) == "pgd"


def test_what_tells_a_contest_from_others() -> None:
    contest = Contest(Pgd(steps=7), about={"code": "abc"})
    assert "steps=7" in contest.options["attack"]
    assert contest.options["code"] == "abc"
