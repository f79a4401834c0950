"""Defences, and attacks that go through them."""

import cv2
import numpy as np
import pytest
import torch

from striate.adversarial import Attackable, BlackBox, Pgd
from striate.adversarial.defended import Defence, Defended, bit_depth, blur, defence_named, jpeg
from striate.adversarial.transfer import surviving
from striate.core.checks import ModelError, UsageError
from striate.core.images import to_tensor
from striate.tests.adversarial.stand_ins import NAMES, Set, pictures


def test_defences_change_pictures_as_they_say() -> None:
    image = pictures(1, 40, 40)[0]
    assert len(np.unique(bit_depth(1)(image))) == 2
    np.testing.assert_array_equal(bit_depth(8)(image), image)
    np.testing.assert_array_equal(bit_depth(3)(image), np.rint(np.rint(image / 255 * 7) * 255 / 7))
    assert blur(2.0)(image).std() < 0.5 * image.std()
    coarse, fine = (np.abs(jpeg(quality)(image).astype(int) - image).mean() for quality in (20, 95))
    assert coarse > fine > 0
    with pytest.raises(UsageError, match="a quality from 1 to 100; got 0"):
        jpeg(0)
    with pytest.raises(UsageError, match="a sigma above 0; got 0"):
        blur(0)
    with pytest.raises(UsageError, match="1 to 8 bits; got 9"):
        bit_depth(9)


def test_attacks_that_know_the_defence_pass_it_more_often(digits: Set) -> None:
    defence = bit_depth(1)
    images, labels = digits.images[:8], digits.labels[:8]
    blind = Pgd(steps=20).run(digits.model, images, labels, epsilons=0.2)
    through = Pgd(steps=20).run(Defended(digits.model, [defence]), images, labels, epsilons=0.2)
    assert blind.success.all()
    assert surviving(blind, digits.model, defence) < 0.5
    seen = [digits.model.predict(defence(one.image)).label for one in through if one.success]
    assert len(seen) > 0
    assert all(label != one.label for label, one in zip(seen, (one for one in through if one.success), strict=True))
    assert through.success_rate >= surviving(blind, digits.model, defence)


def test_the_expectation_is_over_all_transformations(small: Attackable, images) -> None:
    some = [blur(0.5), jpeg(90), bit_depth(5)]
    both = Defended(small, some)
    alone = [Defended(small, [one]).probabilities(images) for one in some]
    np.testing.assert_allclose(both.probabilities(images), np.mean(alone, 0), atol=1e-6)
    x = to_tensor(images)
    own = both.probabilities(images)
    np.testing.assert_allclose(both.scores(x).detach().exp(), own, atol=1e-5)  # what is attacked is what answers
    found = Pgd(steps=10).run(both, images, epsilons=0.1)
    assert found.success_rate > 0.5
    assert both.predict_proba([found[0].image]).argmax() == NAMES.index(found[0].label_after)
    with pytest.raises(UsageError, match="at least one defence; got none"):
        Defended(small, [])
    with pytest.raises(ModelError, match="a model that gives gradients; got one that gives scores"):
        Defended(BlackBox(small.probabilities, NAMES), some)


def opencvs(images: np.ndarray, sigma: float) -> np.ndarray:
    """Blur pictures float64 (N, 3, H, W) by OpenCV, with the kernel that it takes for 8 bits, without its rounding."""
    side = round(6 * sigma + 1) | 1
    rows = [
        cv2.GaussianBlur(one.transpose(1, 2, 0), (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)
        for one in images
    ]
    return np.stack(rows).transpose(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("sigma", "height", "width"),
    [(0.3, 12, 12), (1.0, 12, 17), (5.0, 9, 7), (0.8, 1, 5)],
    ids=["hardly any", "odd width", "mirrored more than once", "one row"],
)
def test_the_gradient_through_blur_is_that_of_the_unrounded_blur(sigma: float, height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.random((2, 3, height, width))
    smooth = blur(sigma).smooth
    assert smooth is not None
    given = torch.from_numpy(x).requires_grad_(True)
    np.testing.assert_allclose(smooth(given).detach().numpy(), opencvs(x, sigma), atol=1e-13)
    weights = rng.standard_normal(x.shape)
    (slope,) = torch.autograd.grad((smooth(given) * torch.from_numpy(weights)).sum(), given)
    for place in zip(*(rng.integers(0, side, 12) for side in x.shape), strict=True):
        moved = np.zeros_like(x)
        moved[place] = 1e-3  # a linear function: its differences are exact at any distance
        difference = ((opencvs(x + moved, sigma) - opencvs(x - moved, sigma)) * weights).sum() / 2e-3
        assert slope[place].item() == pytest.approx(difference, abs=1e-9)


def test_the_values_are_the_defences_own_and_the_slopes_the_smooth_ones(linear: Attackable) -> None:
    images, defence = pictures(3, 4, 4), blur(1.0)
    x = to_tensor(images).requires_grad_(True)
    scores = Defended(linear, [defence]).scores(x)
    expected = linear.scores(to_tensor([defence(one) for one in images]))
    torch.testing.assert_close(scores, expected.log_softmax(1))
    assert defence.smooth is not None
    weights = torch.tensor([0.0, 1.0, -1.0, 0.0])  # of logits and of their log softmax the same
    (through,) = torch.autograd.grad((scores * weights).sum(), x)
    (beyond,) = torch.autograd.grad((linear.scores(defence.smooth(x)) * weights).sum(), x)
    torch.testing.assert_close(through, beyond)


def test_attacks_through_blur_fool_more_than_as_if_it_were_nothing(small: Attackable) -> None:
    defence, images = blur(3.0), pictures(24)
    rates = {
        name: Pgd(steps=10).run(Defended(small, [one]), images, epsilons=6 / 255).success_rate
        for name, one in (("through", defence), ("identity", Defence("blur", defence.change)))
    }
    assert rates["through"] > rates["identity"] + 0.2, rates  # 1.0 and 0.58


def test_defences_by_name() -> None:
    image = pictures(1, 20, 20)[0]
    for words, same in (("jpeg:75", jpeg(75)), ("blur:1.5", blur(1.5)), ("bits:3", bit_depth(3))):
        found = defence_named(words)
        assert found.name == same.name == words
        np.testing.assert_array_equal(found(image), same(image))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("jpg:75", "defence to be one of jpeg, blur, bits; got 'jpg'; did you mean 'jpeg'"),
        ("jpeg", "jpeg with a whole number; got 'jpeg'; write jpeg:75, blur:1.5 or bits:3"),
        ("bits:2.5", "bits with a whole number; got 'bits:2.5'"),
        ("blur:much", "blur with a number; got 'blur:much'"),
        ("blur:nan", "a sigma above 0; got nan"),
        ("jpeg:0", "a quality from 1 to 100; got 0"),
    ],
)
def test_defences_that_are_none(words: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        defence_named(words)
