"""An attack inside a comparison of models of different kinds."""

import numpy as np
import pytest
import torch

from striate.adversarial import Attackable, BlackBox, DeepFool, HopSkipJump, Pgd, Square, contest
from striate.adversarial.contest import KEPT, Contest
from striate.adversarial.victims import victim
from striate.core.classifier import Classifier
from striate.tests.adversarial.stand_ins import NAMES


def test_each_model_is_attacked_by_what_it_gives(small: Attackable, images) -> None:
    made = Contest(Pgd(steps=10), black_box=Square(queries=100), epsilon=0.1)
    box = BlackBox(small.probabilities, NAMES)
    own = [int(i) for i in small.probabilities(images).argmax(1)]
    for model in (small, box):
        changed = [made(model, one, i, np.random.default_rng(0)) for one, i in zip(images, own, strict=True)]
        assert all(one.shape == image.shape for one, image in zip(changed, images, strict=True))
        assert max(int(np.abs(one.astype(int) - image).max()) for one, image in zip(changed, images, strict=True)) <= 25
        assert (small.probabilities(changed).argmax(1) != own).mean() >= 0.5
    assert "Square(" in made.options["black_box"]
    again, first = (made(box, images[0], own[0], np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_a_picture_that_is_wrong_already_stays(small: Attackable, images) -> None:
    wrong = (int(small.probabilities(images[:1]).argmax()) + 1) % 4
    changed = Contest(Pgd())(small, images[0], wrong, np.random.default_rng(0))
    np.testing.assert_array_equal(changed, images[0])


@pytest.mark.parametrize(
    ("made", "budget"),
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
def test_the_black_box_gets_a_budget_of_the_same_size(made: Contest, budget: float | None) -> None:
    assert made._budget(12 * 12) == (None if budget is None else pytest.approx(budget))


def test_no_picture_is_changed_by_more_than_the_budget(small: Attackable, images) -> None:
    made = Contest(Pgd(epsilon=0.02), black_box=HopSkipJump(steps=1, samples=4))
    box = BlackBox(small.probabilities, NAMES)
    own = [int(i) for i in small.probabilities(images).argmax(1)]
    changed = [made(box, one, i, np.random.default_rng(0)) for one, i in zip(images, own, strict=True)]
    moved = [np.sqrt(np.mean((a / 255 - b / 255) ** 2)) for a, b in zip(changed, images, strict=True)]
    assert 0.01 < max(moved) <= 0.02
    assert made.method_on(box) == "hopskipjump"
    assert made.method_on(small) == "pgd"


def test_what_tells_a_contest_from_others() -> None:
    made = Contest(Pgd(steps=7), about={"code": "abc"})
    assert "steps=7" in made.options["attack"]
    assert made.options["code"] == "abc"


def test_a_network_is_wrapped_once_as_long_as_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped: list[object] = []

    def counted(model: object) -> object:
        wrapped.append(model)
        return victim(model)

    monkeypatch.setattr(contest, "victim", counted)
    models = [Classifier.from_pretrained("lenet5-mnist") for _ in range(KEPT + 1)]
    made, image = Contest(Pgd(steps=1)), np.zeros((28, 28, 3), np.uint8)
    own = int(models[0].predict_proba([image]).argmax())

    def attack(model: Classifier) -> None:
        made(model, image, own, np.random.default_rng(0))

    for _ in range(3):
        attack(models[0])
    assert wrapped == models[:1]
    assert made.method_on(models[0]) == "pgd"
    assert len(wrapped) == 1
    assert models[0].network_ is not None
    with torch.no_grad():
        next(models[0].network_.parameters()).mul_(1.001)  # it learned something
    attack(models[0])
    assert wrapped == [models[0]] * 2
    for model in (models[1], models[0], models[2], models[0], models[1]):
        attack(model)
    assert wrapped[2:] == [models[1], models[2], models[1]]  # the first was asked for in between
    assert len(made._wrapped) == KEPT
