"""Results measure, print, draw and save themselves."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from striate.adversarial import Attackable, Pgd
from striate.adversarial.drawing import amplified
from striate.core.checks import ImageError, SaveError
from striate.tests.adversarial.stand_ins import NAMES, pictures


@pytest.fixture
def found(small: Attackable, images):
    return Pgd(steps=10).run(small, images, epsilons=0.1)


def test_figures_are_those_of_the_pictures(found) -> None:
    one = next(one for one in found if one.success)
    deltas = (one.image.astype(float) - one.original) / 255
    assert one.norms["linf"] == pytest.approx(np.abs(deltas).max())
    assert one.norms["l2"] == pytest.approx(np.linalg.norm(deltas))
    assert one.norms["l1"] == pytest.approx(np.abs(deltas).sum())
    assert one.norms["l0"] == (one.image != one.original).any(2).sum()
    assert one.psnr == pytest.approx(peak_signal_noise_ratio(one.original, one.image))
    assert 0 < one.ssim < 1
    assert one.label_after in NAMES
    assert f"-> {one.label_after}" in str(one)
    unsure = replace(one, success=False)  # the confidence that was asked for is missing
    assert str(unsure).startswith(f"{one.label} became only {one.label_after} ")
    assert str(replace(unsure, label_after=one.label_before)).startswith(f"{one.label} stays {one.confidence:.1%}")


def test_a_png_carries_its_settings(found, tmp_path) -> None:
    path = found[0].save(tmp_path / "one.png")
    with Image.open(path) as picture:
        kept = json.loads(picture.info["striate"])
        np.testing.assert_array_equal(np.asarray(picture), found[0].image)
    assert kept == json.loads(json.dumps(found[0].to_dict()))
    assert kept["attack"].startswith("Pgd(")
    assert kept["seed"] == 0
    with pytest.raises(ImageError, match=r"a file name that ends in \.png; got .*one\.jpg"):
        found[0].save(tmp_path / "one.jpg")
    with pytest.raises(SaveError):
        found[0].save(tmp_path / "nowhere" / "one.png")


def test_many_results_are_a_list_with_rates(found) -> None:
    assert len(found[1:3]) == 2
    assert found[1:3][0] is found[1]
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["pictures"] == 6
    assert plain["success_rate"] == found.success_rate
    assert plain["queries"] == sum(one.queries for one in found)
    assert len(found.distances()) == found.success.sum()
    assert len(found.distances("l2")) == found.success.sum()
    assert "6 pictures: clean accuracy 100.0%" in str(found)
    assert np.isnan(found[:0].success_rate)
    assert str(found[:0]) == "no pictures"


def test_drawing_shows_three_panels_and_changes_nothing(found) -> None:
    before = found[0].image.copy()
    drawn = found[0].draw(side=96)
    assert drawn.dtype == np.uint8
    assert drawn.shape[0] > 96
    assert drawn.shape[1] == 3 * 96 + 4 * 8
    np.testing.assert_array_equal(found[0].image, before)


def test_the_difference_is_amplified_around_grey() -> None:
    image = pictures(1)[0]
    shown, factor = amplified(image, image)
    assert factor == 1
    assert (shown == 128).all()
    moved = image.copy()
    moved[0, 0, 0] += 4
    shown, factor = amplified(image, moved)
    assert factor == 31
    assert shown[0, 0].tolist() == [128 + 124, 128, 128]


def test_tiny_pictures_have_figures(small: Attackable) -> None:
    for height, width in ((1, 1), (2, 5), (4, 4)):
        one = Pgd(steps=3).run(small, pictures(1, height, width)[0], epsilons=0.2)
        assert np.isfinite(one.ssim)
        assert one.to_dict()["norms"]["linf"] <= 0.2
