"""Corruptions: stronger with severity, the same for everybody, never in place."""

from itertools import pairwise

import numpy as np
import pytest

from striate.bow_baseline.corruptions import CORRUPTIONS, COVERED, DEGREES, NOISE, corrupted
from striate.bow_baseline.small_set import scene
from striate.core.checks import DataError, UsageError

IMAGE = scene("bricks", 3)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_severity_is_farther_from_the_picture(name: str) -> None:
    before = IMAGE.copy()
    changed = [corrupted(CORRUPTIONS[name], name, IMAGE, severity, 0) for severity in (1, 2, 3, 4, 5)]
    assert np.array_equal(IMAGE, before)
    assert all(one.dtype == np.uint8 and one.shape == IMAGE.shape for one in changed)
    far = [np.abs(one.astype(float) - IMAGE).mean() for one in changed]
    assert far[0] > 0
    grows = far if name != "rotation" else [far[0], far[-1]]  # a turned wall may meet itself again
    assert all(a < b for a, b in pairwise(grows))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_contender_gets_the_same_picture(name: str) -> None:
    one, again = (corrupted(CORRUPTIONS[name], name, IMAGE, 3, 7) for _ in range(2))
    assert np.array_equal(one, again)


@pytest.mark.parametrize("name", ["noise", "rotation", "occlusion"])
def test_draws_differ_from_picture_to_picture(name: str) -> None:
    drawn = [corrupted(CORRUPTIONS[name], name, IMAGE, 3, index).tobytes() for index in range(8)]
    assert len(set(drawn)) > 1


def test_strengths_are_what_they_say() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    for severity in (1, 3):
        noisy = corrupted(CORRUPTIONS["noise"], "noise", grey, severity, 0) / 255
        assert noisy.std() == pytest.approx(NOISE[severity - 1], rel=0.03)
    white = np.full((90, 160, 3), 255, np.uint8)
    for severity in (1, 5):
        covered = corrupted(CORRUPTIONS["occlusion"], "occlusion", white, severity, 0)
        assert (covered == 128).all(2).mean() == pytest.approx(COVERED[severity - 1], rel=0.05)
    brighter = corrupted(CORRUPTIONS["brightness"], "brightness", grey, 2, 0)
    assert brighter.mean() == pytest.approx(128 + 0.2 * 255, abs=1)


def test_a_turn_by_the_angle_and_back_gives_the_middle_again() -> None:
    import cv2

    turned = corrupted(CORRUPTIONS["rotation"], "rotation", IMAGE, 2, 1)
    errors = []
    for degrees in (DEGREES[1], -DEGREES[1]):
        matrix = cv2.getRotationMatrix2D((39.5, 39.5), degrees, 1)
        back = cv2.warpAffine(turned, matrix, (80, 80), borderMode=cv2.BORDER_REFLECT_101)
        errors.append(np.abs(back[25:55, 25:55].astype(float) - IMAGE[25:55, 25:55]).mean())
    assert min(errors) < 0.6 * max(errors)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(1, 1), (2, 37), (40, 3)], ids=["one pixel", "a strip", "a column"])
def test_odd_pictures(name: str, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert corrupted(CORRUPTIONS[name], name, image, 5, 0).shape == image.shape


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_severity_that_does_not_exist(name: str) -> None:
    with pytest.raises(UsageError, match="a severity from 1 to 5"):
        corrupted(CORRUPTIONS[name], name, IMAGE, 6, 0)


def as_floats(image, severity, rng):
    return image / 255


def test_what_a_corruption_of_ones_own_must_give() -> None:
    with pytest.raises(DataError, match="from the corruption 'half'; got uint8"):
        corrupted(lambda image, severity, rng: image[::2], "half", IMAGE, 1, 0)
    with pytest.raises(DataError, match="got float64"):
        corrupted(as_floats, "floats", IMAGE, 1, 0)
