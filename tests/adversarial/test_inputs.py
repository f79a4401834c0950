"""What cannot be attacked is refused, and says why."""

import numpy as np
import pytest
import torch
from torch import nn

from striate.adversarial import ATTACKS, Attackable, BlackBox, ConfidenceAtLeast, Pgd, Targeted, make_attack
from striate.adversarial.defended import Defended, bit_depth
from striate.adversarial.distances import DISTANCES
from striate.adversarial.inputs import check_epsilon, mask_for
from striate.core.checks import DataError, ImageError, ModelError, UsageError
from striate.tests.adversarial.stand_ins import NAMES, pictures

CALLS = [
    ({"target": "z"}, "class to be one of a, b, c, d; got 'z'"),
    ({"target": 4}, "target as names or numbers 0 to 3; got 4"),
    ({"labels": "z"}, "class to be one of a, b, c, d; got 'z'"),
    ({"labels": ["a"]}, "one of labels for each of 2 pictures; got 1"),
    ({"labels": [True, None]}, "labels as names or numbers 0 to 3; got None"),
    ({"epsilons": 0}, "a finite epsilon above 0; got 0"),
    ({"epsilons": -0.1}, "a finite epsilon above 0"),
    ({"epsilons": float("nan")}, "a finite epsilon above 0; got nan"),
    ({"epsilons": 1}, "an epsilon below 1, the whole range of a pixel; got 1; divide by 255"),
    ({"epsilons": 8}, "an epsilon below 1.* got 8"),
    ({"epsilons": []}, "at least one epsilon; got an empty list"),
    ({"epsilons": np.zeros(0)}, "at least one epsilon; got an empty list"),
    ({"epsilons": "8/255"}, "an epsilon as a number; got '8/255'"),
    ({"epsilons": [0.1, "x"]}, "an epsilon as a number; got 'x'"),
    ({"epsilons": True}, "an epsilon as a number; got True"),
    ({"criterion": Targeted()}, r"a target for Targeted\(\); got none"),
    ({"mask": np.ones((3, 3), bool)}, r"a mask bool \(12, 12\) or a box \(x0, y0, x1, y1\); got bool \(3, 3\)"),
    ({"mask": np.ones((12, 12))}, r"a mask bool \(12, 12\) or a box .*; got float64"),
    ({"mask": np.zeros((12, 12), bool)}, "a mask with pixels that may change; got none that is True"),
    ({"mask": (20, 20, 30, 30)}, r"a box \(x0, y0, x1, y1\) inside \(0, 0, 12, 12\), .* got \(20, 20, 30, 30\)"),
    ({"mask": (4, 4, 13, 8)}, r"inside \(0, 0, 12, 12\), with x0 < x1 and y0 < y1; got \(4, 4, 13, 8\); x counts to"),
    ({"mask": (4, 4, 8, 13)}, r"a box .* got \(4, 4, 8, 13\)"),
    ({"mask": (-1, 4, 8, 8)}, r"a box .* got \(-1, 4, 8, 8\)"),
    ({"mask": (4, -1, 8, 8)}, r"a box .* got \(4, -1, 8, 8\)"),
    ({"mask": (4, 4, 4, 8)}, r"a box .* got \(4, 4, 4, 8\)"),
    ({"mask": (4, 8, 8, 4)}, r"a box .* got \(4, 8, 8, 4\)"),
    ({"mask": (0, 0, 4.5, 8)}, r"a box .* of whole numbers; got \(0, 0, 4.5, 8\); round them"),
    ({"mask": (0, 0, float("nan"), 8)}, r"a box .* of whole numbers; got \(0, 0, nan, 8\)"),
    ({"mask": (None, 0, 4, 8)}, r"a box .* of whole numbers; got \(None, 0, 4, 8\)"),
]


@pytest.mark.parametrize(("keywords", "words"), CALLS, ids=[words[:30] for _, words in CALLS])
def test_impossible_wishes(keywords: dict, words: str, small: Attackable, images) -> None:
    with pytest.raises(UsageError, match=words):
        Pgd().run(small, images[:2], **keywords)


def test_a_target_that_is_the_label(small: Attackable, images) -> None:
    own = NAMES[int(small.probabilities(images[:1]).argmax())]
    with pytest.raises(UsageError, match=f"a target that differs from the label; got '{own}', its label"):
        Pgd().run(small, images[0], target=own)


def test_a_box_is_half_open_and_may_fill_the_picture() -> None:
    found = mask_for((2, 1, 5, 3), (4, 6))
    assert np.argwhere(found).tolist() == [[y, x] for y in (1, 2) for x in (2, 3, 4)]
    assert mask_for((0, 0, 6, 4), (4, 6)).all()
    np.testing.assert_array_equal(mask_for([2.0, 1.0, 5.0, 3.0], (4, 6)), found)


def test_a_name_like_none_has_no_suggestion() -> None:
    with pytest.raises(UsageError, match="got 'foo'; choose one of those names"):
        make_attack("foo")


def test_budgets_in_other_distances_may_hold_any_picture() -> None:
    """Only in linf a number is too large whatever the picture."""
    for name, epsilon in (("l2", 500.0), ("l1", 1e6), ("l0", 1e6)):
        assert check_epsilon(epsilon, DISTANCES[name], minimal=False) == epsilon


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


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "one-pixel"])
def test_an_attack_is_not_made_with_a_budget_of_nothing(name: str) -> None:
    for wrong in (0, -1, float("nan"), "8/255"):
        with pytest.raises(UsageError, match=r"(a finite epsilon above 0|an epsilon as a number); got"):
            make_attack(name, epsilon=wrong)


def test_a_step_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="step_size to be a positive number; got 0"):
        Pgd(step_size=0)
    with pytest.raises(UsageError, match="a momentum of 0 or more; got nan"):
        Pgd(momentum=float("nan"))


def test_budgets_of_any_kind(small: Attackable, images) -> None:
    attack, given = Pgd(steps=2), [0.05, 0.1]
    for several in (given, tuple(given), np.array(given), (one for one in given)):
        assert [found.epsilon for found in attack.run(small, images[0], epsilons=several)] == given
    assert attack.run(small, images[0], epsilons=np.float32(0.05)).epsilon == pytest.approx(0.05)


def test_a_criterion_without_a_class_is_joined_to_one(small: Attackable, images) -> None:
    for target, criterion in ((None, ConfidenceAtLeast(0.3)), ("own", ConfidenceAtLeast(0.3))):
        own = int(small.probabilities(images[:1]).argmax())
        wanted = None if target is None else (own + 1) % 4
        found = Pgd(steps=30).run(small, images[0], target=wanted, epsilons=0.3, criterion=criterion)
        assert found.success
        assert found.label_after != found.label_before
        assert wanted is None or found.label_after == NAMES[wanted]


def test_a_mask_beside_what_the_network_sees(net: nn.Module) -> None:
    wide = pictures(2, 12, 20)
    middle = Attackable(net, NAMES, geometry=lambda x, exact=False: x[..., 4:16])
    for model in (middle, Defended(middle, [bit_depth(8)])):
        with pytest.raises(UsageError, match=r"the model sees; got none of them; .* inside \(4, 0, 16, 12\)"):
            Pgd().run(model, wide, mask=(0, 0, 4, 12))
        found = Pgd(steps=2).run(model, wide[0], epsilons=0.1, mask=(0, 0, 6, 12))
        assert (found.image != found.original).any(2).nonzero()[1].tolist()
        assert set((found.image != found.original).any(2).nonzero()[1]) <= {4, 5}
