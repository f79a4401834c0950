"""Gradient ascent: it fools, each regularizer does what it is called, several models, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import nn

from striate.adversarial.ascent import Ascent, blurred, pictures, without_small
from striate.adversarial.fooling import judge
from striate.adversarial.jury import Jury
from striate.adversarial.victims import Attackable
from striate.core.checks import ImageError, ModelError, UsageError
from striate.core.classifier import Classifier
from striate.core.images import save_image
from striate.tests.adversarial.fooled import Quarters
from striate.tests.adversarial.stand_ins import NAMES

SIZE = (12, 12)


def test_every_class_is_reached_from_noise_grey_and_a_picture(small: Attackable, tmp_path: Path) -> None:
    path = tmp_path / "start.png"
    save_image(np.random.default_rng(0).integers(0, 256, (20, 16, 3), dtype=np.uint8), path)
    for start, size in (("noise", SIZE), ("mean", SIZE), (path, SIZE), (path, None)):
        found = Ascent(steps=30, rate=0.04, start=start, size=size).run(small)
        assert [one.name for one in found] == list(NAMES)
        assert all(one.fooled for one in found)
        assert found.confidences.min() > 0.9
        assert found[0].image.shape[:2] == (size or (20, 16))
        assert found[0].settings["start"] == (start if isinstance(start, str) else "picture")


def test_lenet_is_fooled_about_all_ten_digits() -> None:
    found = Ascent(steps=30, rate=0.05).run(Classifier.from_pretrained("lenet5-mnist"))
    assert found.confidences.min() > 0.99
    assert all((one.image == one.image[..., :1]).all() for one in found)  # grey, as the model sees


def test_the_score_is_climbed_as_simonyan_does(linear: Attackable) -> None:
    """On a linear score less l2 * mean (x - 0.5)^2 the top is known: x = 0.5 + n w / (2 l2)."""
    weights = linear.network.get_parameter("1.weight").detach().view(4, 3, 4, 4)
    strength = 5000.0
    ascent = Ascent(steps=400, objective="score", l2=strength, size=(8, 8), start="mean")
    ascent.size = (4, 4)  # smaller than pictures may be: the network's own size
    found = ascent.run(linear)
    top = (0.5 + weights.numpy() * 48 / (2 * strength)).clip(0, 1) * 255
    for one, wanted in zip(found, top, strict=True):
        assert np.abs(one.image.transpose(2, 0, 1) - wanted).max() < 2


def test_the_gradient_of_the_odds_does_not_vanish(small: Attackable) -> None:
    images = torch.rand(4, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    ids = torch.arange(4)
    odds = Jury(small).goal(images, ids)
    probabilities = small.scores(images).softmax(1)[ids, ids]
    torch.testing.assert_close(odds.detach(), torch.logit(probabilities.detach()), atol=1e-4, rtol=1e-4)
    assert torch.equal(Jury(small).goal(images, ids, logits=True), small.scores(images)[ids, ids])


def test_regularizers_make_what_they_weigh_smaller(small: Attackable) -> None:
    def measured(**options: float) -> dict[str, float]:
        levels = np.stack([one.image for one in Ascent(steps=20, rate=0.04, size=SIZE, **options).run(small)]) / 255  # type: ignore[arg-type]
        rough = np.abs(np.diff(levels, axis=1)).mean() + np.abs(np.diff(levels, axis=2)).mean()
        grey = np.mean(np.abs(levels - 0.5).max(3) < 2 / 255)
        return {
            "l2": float(((levels - 0.5) ** 2).mean()),
            "tv": float(rough),
            "blur": float(rough),
            "clip": -float(grey),
        }

    plain = measured()
    for name, strength in (("l2", 200.0), ("tv", 50.0), ("blur", 1.0), ("clip", 0.5)):
        assert measured(**{name: strength})[name] < 0.7 * plain[name] - 0.01 * (name == "clip")


def test_blur_is_a_gaussian() -> None:
    pixels = torch.rand(2, 3, 16, 20, generator=torch.Generator().manual_seed(0))
    theirs = gaussian_filter(pixels.numpy(), (0, 0, 1.2, 1.2), mode="mirror", radius=(0, 0, 4, 4))
    np.testing.assert_allclose(blurred(pixels, 1.2).numpy(), theirs, atol=1e-5)
    assert blurred(pixels[..., :3, :3], 2.0).shape == (2, 3, 3, 3)  # wider than the picture


def test_the_pixels_nearest_to_grey_are_cleared() -> None:
    pixels = torch.linspace(0.5, 1.0, 10).view(1, 1, 2, 5).expand(2, 3, 2, 5)
    cleared = without_small(pixels, 0.4)
    assert (cleared.flatten(2)[:, :, :4] == 0.5).all()
    assert torch.equal(cleared.flatten(2)[:, :, 4:], pixels.flatten(2)[:, :, 4:])
    assert without_small(pixels, 0.05) is pixels


def test_jitter_moves_the_picture_before_the_model_sees_it(small: Attackable) -> None:
    plain, moved, same = (Ascent(steps=5, size=SIZE, jitter=jitter).run(small)[0].image for jitter in (0, 3, 3))
    assert np.array_equal(moved, same)
    assert not np.array_equal(plain, moved)


def test_two_models_are_fooled_at_once(small: Attackable) -> None:
    """A second network that sees the picture upside down, and whose classes stand in another order."""

    class Upside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small.network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(F.max_pool2d(x, 1).flip(2))[:, [3, 2, 1, 0]]

    other = Attackable(Upside().eval(), NAMES[::-1])
    for combine in ("min", "product"):
        both = Ascent(steps=30, rate=0.04, size=SIZE, combine=combine).run([small, other])
        assert all(one.fooled and min(one.each) > 0.9 for one in both)
    assert both[0].confidence == pytest.approx(both[0].each[0] * both[0].each[1])
    alone = judge(other, [one.image for one in Ascent(steps=30, rate=0.04, size=SIZE).run(small)], NAMES)
    assert alone.confidences.min() < 0.5


def test_it_is_told_about_steps_and_can_be_ended(small: Attackable) -> None:
    found = Ascent(steps=50, size=SIZE).run(small, classes=["b"], on_step=lambda step: step.step == 7)
    assert (len(found), found[0].name, found[0].born) == (1, "b", 7)


def test_pictures_are_rounded_to_eight_bits() -> None:
    grey = pictures(torch.tensor([[[[-1.0, 0.5, 2.0]]]]))[0]
    assert grey.tolist() == [[[0] * 3, [128] * 3, [255] * 3]]


def test_what_cannot_be_climbed_is_refused(small: Attackable) -> None:
    with pytest.raises(ModelError, match="a Quarters without"):
        Ascent(size=SIZE).run([small, Quarters(NAMES)])
    with pytest.raises(UsageError, match="a size for models that tell none"):
        Ascent().run(small)
    with pytest.raises(UsageError, match="class to be one of a, b, c, d"):
        Ascent(size=SIZE).run(small, classes=["e"])
    with pytest.raises(ImageError, match="nothing"):
        Ascent(start="nothing.png", size=SIZE).run(small)


def test_options_out_of_range_are_refused() -> None:
    for options, words in (
        ({"objective": "loss"}, "objective to be one of"),
        ({"rate": 0}, "rate to be a positive number"),
        ({"clip": 2}, "clip to lie between 0 and 1"),
        ({"tv": -1}, "tv from 0"),
        ({"steps": 0}, "at least one step"),
        ({"size": (2, 2)}, "8 to 1024 pixels"),
        ({"channels": 4}, "1 or 3 channels"),
    ):
        with pytest.raises(UsageError, match=words):
            Ascent(**options)  # type: ignore[arg-type]
