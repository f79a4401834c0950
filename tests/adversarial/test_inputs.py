"""What cannot be attacked is refused, and says why."""

import numpy as np
import pytest
import torch
from torch import nn

from striate.adversarial import Attackable, BlackBox, Pgd, Targeted, make_attack
from striate.core.checks import DataError, ImageError, ModelError, UsageError
from striate.tests.adversarial.stand_ins import NAMES, pictures

CALLS = [
    ({"target": "z"}, "class to be one of a, b, c, d; got 'z'"),
    ({"target": 4}, "target as names or numbers 0 to 3; got 4"),
    ({"labels": "z"}, "class to be one of a, b, c, d; got 'z'"),
    ({"labels": ["a"]}, "one of labels for each of 2 pictures; got 1"),
    ({"labels": [True, None]}, "labels as names or numbers 0 to 3; got None"),
    ({"epsilons": 0}, "an epsilon above 0; got 0"),
    ({"epsilons": -0.1}, "an epsilon above 0"),
    ({"epsilons": float("nan")}, "an epsilon above 0; got nan"),
    ({"epsilons": 1}, "an epsilon below 1, the whole range of a pixel; got 1; divide by 255"),
    ({"epsilons": 8}, "an epsilon below 1.* got 8"),
    ({"epsilons": []}, "at least one epsilon; got an empty list"),
    ({"criterion": Targeted()}, r"a target for Targeted\(\); got none"),
    ({"mask": np.ones((3, 3), bool)}, r"a mask bool \(12, 12\) or a box; got bool \(3, 3\)"),
    ({"mask": np.ones((12, 12))}, r"a mask bool \(12, 12\) or a box; got float64"),
    ({"mask": np.zeros((12, 12), bool)}, "a mask with pixels that may change"),
    ({"mask": (20, 20, 30, 30)}, "a mask with pixels that may change"),
]


@pytest.mark.parametrize(("keywords", "words"), CALLS, ids=[words[:30] for _, words in CALLS])
def test_impossible_wishes(keywords: dict, words: str, small: Attackable, images) -> None:
    with pytest.raises(UsageError, match=words):
        Pgd().run(small, images[:2], **keywords)


def test_a_target_that_is_the_label(small: Attackable, images) -> None:
    own = NAMES[int(small.probabilities(images[:1]).argmax())]
    with pytest.raises(UsageError, match=f"a target that differs from the label; got '{own}' for picture 0"):
        Pgd().run(small, images[0], target=own)


def test_no_budget_for_an_attack_that_uses_it_up(small: Attackable, images) -> None:
    attack = Pgd()
    attack.epsilon = None
    with pytest.raises(UsageError, match="a budget; got none"):
        attack.run(small, images[0])


def test_pictures_out_of_range(small: Attackable) -> None:
    with pytest.raises(ImageError, match=r"values from 0 to 1; got values from 1\.5 to 1\.5"):
        Pgd().run(small, np.full((12, 12, 3), 1.5, np.float32))
    with pytest.raises(ImageError):
        Pgd().run(small, "nowhere.png")


def test_attacks_that_need_more_than_is_given(small: Attackable, images) -> None:
    box = BlackBox(small.probabilities, NAMES)
    with pytest.raises(ModelError, match="a model that gives gradients, for pgd; got one that gives scores"):
        Pgd().run(box, images)
    decided = BlackBox(small.probabilities, NAMES, gives="decisions")
    with pytest.raises(ModelError, match="a model that gives scores, for square; got one that gives decisions"):
        make_attack("square").run(decided, images)


def test_answers_that_are_none(images) -> None:
    with pytest.raises(DataError, match=r"finite probabilities \(2, 4\) of the model; got \(2, 4\) with NaN"):
        make_attack("noise").run(BlackBox(lambda p: np.full((len(p), 4), np.nan), NAMES), images[:2])
    with pytest.raises(DataError, match=r"got \(1, 4\)"):
        make_attack("noise").run(BlackBox(lambda p: np.full((1, 4), 0.25), NAMES), images[:2])


def test_gradients_that_are_none(images) -> None:
    class Root(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            flat = x.mean((2, 3))
            return torch.cat((flat, (flat[:, :1] * 0).sqrt()), 1)  # its slope at 0 is infinite

    for name in ("pgd", "deepfool", "szegedy"):
        with pytest.raises(ModelError, match="finite gradients; got NaN or infinity"):
            make_attack(name).run(Attackable(Root().eval(), NAMES), images[0])


def test_a_model_in_train_mode(net: nn.Module) -> None:
    with pytest.raises(ModelError, match="a network in eval mode; got one in train mode"):
        Attackable(nn.Sequential(net), NAMES)  # a new Sequential is in train mode


def test_one_perturbation_for_all_has_no_target(small: Attackable, images) -> None:
    own = int(small.probabilities(images[:1]).argmax())
    with pytest.raises(UsageError, match="no target for a universal perturbation"):
        make_attack("universal").run(small, images[:1], target=(own + 1) % 4)


def test_a_flat_network_is_not_fooled_and_nothing_is_claimed() -> None:
    class Flat(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([3.0, 2.0, 1.0, 0.0]) + 0 * x.mean((1, 2, 3))[:, None]

    flat = Attackable(Flat().eval(), NAMES)
    for name in ("pgd", "apgd", "deepfool", "hopskipjump", "fgsm"):
        found = make_attack(name).run(flat, pictures(2))
        assert found.success_rate == 0
        assert found.robust_accuracy == 1


def test_a_wrapper_that_disagrees_with_its_model(net: nn.Module, small: Attackable, images) -> None:
    twice = Attackable(net, NAMES, geometry=lambda x, exact=False: x / 2, ask=small.probabilities)
    with pytest.raises(ModelError, match=r"a wrapper that gives the model's own probabilities within 0\.02"):
        Pgd().run(twice, images)
