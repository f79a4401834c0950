"""Universal: one perturbation for all pictures, after saving too, and for pictures that it has not seen."""

from pathlib import Path

import numpy as np
import pytest
import torch

from striate.adversarial import Universal
from striate.adversarial.distances import DISTANCES
from striate.adversarial.results import Results
from striate.adversarial.victims import Attackable
from striate.core.checks import ImageError, ModelError, UsageError
from striate.core.classifier import Classifier
from striate.core.datasets.load_classes import load_classes
from striate.tests.adversarial.stand_ins import pictures

BUDGETS = {"linf": 20 / 255, "l2": 1.2}


def differences(found: Results) -> np.ndarray:
    """Return how many levels each value moved, (N, H, W, 3)."""
    return np.stack([one.image.astype(int) - one.original for one in found])


@pytest.mark.parametrize("distance", list(BUDGETS))
def test_saved_pictures_differ_by_one_perturbation(distance: str, small: Attackable) -> None:
    images, epsilon = pictures(24, seed=7), BUDGETS[distance]  # values from 40 to 215: none is clipped
    attack = Universal(distance=distance, passes=3)
    found = attack.run(small, images, epsilons=epsilon)
    moved = differences(found)
    assert 0 < found.success.sum() < 24
    assert (moved == moved[0]).all()
    assert moved.any()
    v = attack.perturbation_
    assert (v.shape, v.dtype, v.device.type) == ((3, 12, 12), torch.float32, "cpu")
    np.testing.assert_array_equal((v * 255).round().int().permute(1, 2, 0), moved[0])
    assert float(DISTANCES[distance].norm(v[None])) <= epsilon * (1 + 1e-5)


def test_clipped_pictures_differ_by_what_is_left_of_it(small: Attackable) -> None:
    images = [np.where(image > 128, 255, 0).astype(np.uint8) for image in pictures(8, seed=7)]
    attack = Universal(passes=2)
    found = attack.run(small, images, epsilons=BUDGETS["linf"])
    v = (attack.perturbation_ * 255).round().int().permute(1, 2, 0).numpy()
    for image, one in zip(images, found, strict=True):
        np.testing.assert_array_equal(one.image, (image + v).clip(0, 255))
        np.testing.assert_array_equal(attack.transform(image), one.image)
    assert (differences(found) != v).any()


@pytest.mark.parametrize("distance", list(BUDGETS))
def test_only_the_mask_is_in_the_perturbation(distance: str, small: Attackable) -> None:
    attack = Universal(distance=distance, passes=2)
    attack.run(small, pictures(6), epsilons=BUDGETS[distance], mask=(2, 3, 9, 10))
    inside = torch.zeros(12, 12, dtype=torch.bool)
    inside[3:10, 2:9] = True
    assert not attack.perturbation_[:, ~inside].any()
    assert attack.perturbation_[:, inside].any()


def test_it_is_added_to_other_pictures_as_in_the_run(small: Attackable) -> None:
    images = pictures(6)
    attack = Universal(passes=2)
    found = attack.run(small, images, epsilons=0.1)
    for one, again in zip(found, attack.transform(images), strict=True):
        np.testing.assert_array_equal(again, one.image)
    before = images[0].copy()
    alone = attack.transform(images[0])
    assert (alone.dtype, alone.shape) == (np.uint8, (12, 12, 3))
    np.testing.assert_array_equal(images[0], before)


def test_held_out_digits_are_fooled_more_often_than_by_noise(shared_data: Path) -> None:
    model, data = Classifier.from_pretrained("lenet5-mnist"), load_classes(shared_data / "mnist", "test")
    images, labels = [data.image(i) for i in range(140)], data.labels[:140]
    attack = Universal(distance="l2", passes=3)
    attack.run(model, images[:40], labels[:40].tolist(), epsilons=5.0)
    held, wanted = images[40:], labels[40:]
    rng = np.random.default_rng(0)
    noise = Universal(distance="l2")

    def misread(attack: Universal) -> float:
        return float((model.predict_proba(attack.transform(held)).argmax(1) != wanted).mean())

    shares = []
    for _ in range(5):
        drawn = torch.from_numpy(rng.standard_normal((3, 28, 28))).float()
        noise.perturbation_ = drawn / drawn.norm() * attack.perturbation_.norm()
        shares.append(misread(noise))
    assert misread(attack) >= max(shares) + 0.3  # 0.56, and 0.02 at most


def test_what_cannot_be_added() -> None:
    attack = Universal()
    with pytest.raises(ModelError, match=r"a perturbation; got an attack that was not run; call run with pictures"):
        attack.transform(pictures(1)[0])
    attack.perturbation_ = torch.zeros(3, 12, 16)
    with pytest.raises(ImageError, match=r"a picture of 16 x 12 pixels, .*; got 10 x 12; resize it first"):
        attack.transform(pictures(1, 12, 10))


def test_a_target_is_refused(small: Attackable, images) -> None:
    with pytest.raises(UsageError, match=r"no target for a universal perturbation; got one; leave target out"):
        Universal().run(small, images[:1], target=(small.probabilities(images[:1]).argmax(1) + 1) % 4)
