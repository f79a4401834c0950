"""What describers measure, where, and what they do with pictures that show nothing."""

import cv2
import numpy as np
import pytest
from skimage import data

from striate.bow_baseline.descriptors import COLOURS, DESCRIBERS, DenseSift, Descriptors, KeypointSift
from striate.bow_baseline.sift import smooth
from striate.core.checks import DataError, ImageError, UsageError
from striate.tests.bow_baseline.test_sift import plain_sift, scaled


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return data.astronaut()[:120, 150:310]


def test_a_grid_at_three_scales(photo: np.ndarray) -> None:
    found = DenseSift(step=10, bin_sizes=(4, 8)).describe(photo)
    # The largest patch's outer bins lie 12 pixels from its centre: 136 pixels of 160 and 96 of 120 are left.
    assert len(found) == 2 * 14 * 10
    np.testing.assert_allclose(found.centres[:2], [[14.5, 14.5], [24.5, 14.5]])
    np.testing.assert_allclose(found.centres[:140], found.centres[140:])
    assert found.radii.tolist() == [8] * 140 + [16] * 140
    assert found.size == (120, 160)
    assert {found.values.dtype, found.centres.dtype, found.radii.dtype} == {np.dtype(np.float32)}


def test_one_patch_as_the_loop_over_pixels(photo: np.ndarray) -> None:
    grey = (photo / 255) @ [0.299, 0.587, 0.114]
    found = DenseSift(step=37, bin_sizes=(5,), root=False).describe(photo)
    x, y = found.centres[4]
    expected = plain_sift(smooth(grey.astype(np.float32), 5).astype(np.float64), x, y, 5)
    np.testing.assert_allclose(found.values[4], scaled(expected), atol=1e-5)  # observed: 1e-7
    rooted = DenseSift(step=37, bin_sizes=(5,)).describe(photo).values[4]
    np.testing.assert_allclose(rooted, np.sqrt(scaled(expected) / scaled(expected).sum()), atol=1e-3)


def test_opponent_colours(photo: np.ndarray) -> None:
    describer = DenseSift(colour="opponent", step=20)
    found = describer.describe(photo).values
    assert found.shape[1] == describer.dimension == 384
    np.testing.assert_allclose(COLOURS["opponent"] @ COLOURS["opponent"].T, np.eye(3), atol=1e-6)
    grey = np.repeat(photo[..., :1], 3, 2)
    of_grey = describer.describe(grey).values
    assert of_grey[:, :128].any()
    assert not of_grey[:, 128:].any()  # no colour, no gradient of colour
    swapped = describer.describe(np.ascontiguousarray(photo[..., [1, 0, 2]])).values
    np.testing.assert_allclose(swapped[:, 256:], found[:, 256:], atol=1e-3)  # yellow against blue knows no red or green
    assert np.abs(swapped[:, 128:256] - found[:, 128:256]).max() > 0.1


def test_position_is_appended_with_its_weight(photo: np.ndarray) -> None:
    plain, placed = (DenseSift(step=20, position=p).describe(photo) for p in (0.0, 2.0))
    assert placed.values.shape[1] == DenseSift(position=2.0).dimension == 130
    np.testing.assert_array_equal(placed.values[:, :128], plain.values)
    expected = 2 * ((plain.centres + 0.5) / [160, 120] - 0.5)
    np.testing.assert_allclose(placed.values[:, 128:], expected, atol=1e-6)
    np.testing.assert_allclose(placed.values[:, 128:].mean(0), 0, atol=1e-5)


def test_flat_patches_are_zero_and_flat_pictures_defined() -> None:
    image = np.full((80, 90, 3), 77, np.uint8)
    found = DenseSift().describe(image)
    assert len(found)
    assert not found.values.any()
    image[40:, 60:] = 200
    values = DenseSift().describe(image).values
    shown = values.any(1)
    assert 0 < shown.sum() < len(values)
    np.testing.assert_allclose(np.linalg.norm(values[shown], axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("side", "scales"), [(1, 0), (12, 0), (13, 1), (18, 1), (19, 2), (25, 3)])
def test_scales_that_do_not_fit_are_left_out(side: int, scales: int) -> None:
    found = DenseSift(step=100).describe(np.zeros((side, 300, 3), np.uint8))
    assert len(np.unique(found.radii)) == scales
    assert found.values.shape == (len(found), 128)


def test_large_pictures_are_shrunk_and_places_stay_theirs(photo: np.ndarray) -> None:
    large = cv2.resize(photo, (640, 480), interpolation=cv2.INTER_LINEAR)
    small, found = DenseSift().describe(photo), DenseSift(max_side=160).describe(large)
    assert found.size == (480, 640)
    np.testing.assert_allclose((found.centres + 0.5) / 4, small.centres + 0.5, rtol=1e-5)
    np.testing.assert_allclose(found.radii, small.radii * 4)
    shown = small.values.any(1)
    assert (found.values * small.values)[shown].sum(1).mean() > 0.97
    keypoints = KeypointSift(max_side=160).describe(large)
    assert (keypoints.centres.max(0) > (160, 120)).all()
    assert (keypoints.centres <= (640, 480)).all()


def test_keypoints_as_opencv_finds_them(photo: np.ndarray) -> None:
    found = KeypointSift(root=False, max_keypoints=50).describe(photo)
    points, values = cv2.SIFT.create(50).detectAndCompute(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), None)
    np.testing.assert_allclose(found.centres, [p.pt for p in points], atol=1e-4)
    np.testing.assert_allclose(found.radii, [3 * p.size for p in points], rtol=1e-6)
    np.testing.assert_allclose(found.values, values / np.linalg.norm(values, axis=1, keepdims=True), atol=1e-6)
    rooted = KeypointSift(max_keypoints=50).describe(photo)
    np.testing.assert_allclose(rooted.values**2, found.values / found.values.sum(1, keepdims=True), atol=1e-6)
    assert KeypointSift(position=0.5).describe(photo).values.shape[1] == KeypointSift(position=0.5).dimension == 130


@pytest.mark.parametrize("side", [1, 64])
def test_a_picture_without_keypoints(side: int) -> None:
    found = KeypointSift().describe(np.full((side, side, 3), 90, np.uint8))
    assert (found.values.shape, found.centres.shape, found.radii.shape) == ((0, 128), (0, 2), (0,))


def test_describing_again_gives_the_same(photo: np.ndarray) -> None:
    for describer in (DenseSift(), KeypointSift()):
        assert np.array_equal(describer.describe(photo).values, describer.describe(photo.copy()).values)


@pytest.mark.parametrize("name", DESCRIBERS)
def test_keywords_make_the_same_describer(name: str, photo: np.ndarray) -> None:
    keywords = {"dense": {"step": 9, "bin_sizes": [3, 5]}, "keypoints": {"max_keypoints": 20}}[name]
    describer = DESCRIBERS[name](position=0.1, root=False, **keywords)
    stored = describer.keywords()
    assert {**stored, **keywords, "position": 0.1, "root": False} == stored
    again = DESCRIBERS[name](**stored)
    assert np.array_equal(again.describe(photo).values, describer.describe(photo).values)


def test_a_part_of_the_descriptors(photo: np.ndarray) -> None:
    found = DenseSift().describe(photo)
    left = found.subset(found.centres[:, 0] < 80)
    assert 0 < len(left) < len(found)
    assert left.size == found.size
    np.testing.assert_array_equal(found.subset(np.array([3, 1])).radii, found.radii[[3, 1]])


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: DenseSift(colour="hsv"), UsageError, "colour to be one of grey, opponent; got 'hsv'"),
        (lambda: DenseSift(bin_sizes=()), UsageError, "at least one bin size, in a list; got"),
        (lambda: DenseSift(bin_sizes=(4, -1)), UsageError, "bin_sizes to be a positive number; got -1"),
        (lambda: DenseSift(step=0), UsageError, "step to be a whole number of at least 1; got 0"),
        (lambda: DenseSift(position=-1), UsageError, "position of at least 0; got -1"),
        (lambda: DenseSift(contrast=float("nan")), UsageError, "contrast of at least 0; got nan"),
        (lambda: KeypointSift(max_keypoints=-3), UsageError, "max_keypoints to be a whole number of at least 0"),
        (lambda: KeypointSift(max_side=0), UsageError, "max_side to be a whole number of at least 1; got 0"),
        (lambda: DenseSift().describe(np.zeros((9, 9), np.uint8)), ImageError, r"uint8 RGB image of shape \(H, W, 3\)"),
        (lambda: KeypointSift().describe(np.zeros((9, 9, 3))), ImageError, "got float64"),
        (
            lambda: Descriptors(np.zeros((2, 3)), np.zeros((1, 2)), np.zeros(2), (9, 9)),
            DataError,
            r"values \(n, D\), centres \(n, 2\) and radii \(n,\); got \(2, 3\), \(1, 2\) and \(2,\)",
        ),
    ],
)
def test_errors(make, error, words) -> None:
    with pytest.raises(error, match=words):
        make()
