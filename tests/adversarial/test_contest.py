"""An attack inside a comparison of models of different kinds."""

import numpy as np

from striate.adversarial import Attackable, BlackBox, Pgd, Square
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
