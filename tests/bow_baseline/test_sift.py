"""Dense SIFT against a loop over pixels in float64, written from Lowe 2004, and against OpenCV's."""

import cv2
import numpy as np
import pytest
from skimage import data

from striate.bow_baseline import sift


def plain_sift(plane: np.ndarray, x0: float, y0: float, bin_size: float) -> np.ndarray:
    """One patch, pixel by pixel: each adds its gradient to the bins around it, in proportion (Lowe, section 6.1)."""
    height, width = plane.shape
    found = np.zeros((4, 4, 8))
    for y in range(height):
        for x in range(width):
            up, down, left, right = max(y - 1, 0), min(y + 1, height - 1), max(x - 1, 0), min(x + 1, width - 1)
            dy = (plane[down, x] - plane[up, x]) / (down - up)
            dx = (plane[y, right] - plane[y, left]) / (right - left)
            angle = np.arctan2(dy, dx) / (2 * np.pi) * 8 % 8
            i, j = (y - y0) / bin_size + 1.5, (x - x0) / bin_size + 1.5
            window = np.exp(-((y - y0) ** 2 + (x - x0) ** 2) / (2 * (2 * bin_size) ** 2))
            for by in range(4):
                for bx in range(4):
                    near = max(0, 1 - abs(i - by)) * max(0, 1 - abs(j - bx))
                    if near:
                        for o in range(8):
                            turn = abs(angle - o)
                            share = max(0, 1 - min(turn, 8 - turn))
                            found[by, bx, o] += near * share * window * np.hypot(dx, dy)
    return found.ravel()


def scaled(histogram: np.ndarray) -> np.ndarray:
    clamped = np.minimum(histogram / np.linalg.norm(histogram), 0.2)
    return clamped / np.linalg.norm(clamped)


def of_grid(plane: np.ndarray, x: np.ndarray, y: np.ndarray, bin_size: float) -> np.ndarray:
    rows, columns = sift.bin_weights(y, bin_size, plane.shape[0]), sift.bin_weights(x, bin_size, plane.shape[1])
    return sift.grid_histograms(sift.orientation_planes(plane), rows, columns)


@pytest.mark.parametrize("bin_size", [3, 4.5], ids=["whole", "broken"])
def test_as_a_loop_over_pixels(bin_size: float) -> None:
    rng = np.random.default_rng(0)
    plane = cv2.GaussianBlur(rng.random((26, 31)), (0, 0), 1.0).astype(np.float32)
    x, y = np.array([8.5, 14.25, 21.0], np.float32), np.array([9.0, 15.5], np.float32)
    expected = np.array([plain_sift(plane.astype(np.float64), x0, y0, bin_size) for y0 in y for x0 in x])
    found = of_grid(plane, x, y, bin_size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max())  # observed: 3e-7 of the largest
    np.testing.assert_allclose(
        sift.normalized(found, 0.0), [scaled(histogram) for histogram in expected], atol=1e-5
    )  # observed: 8e-8


def test_near_opencv_at_the_same_keypoints() -> None:
    # OpenCV's blur is that of its octave, 1.6 pixels: ours of a bin of 9.6. It looks arctangents up, rounds to bytes,
    # and its y points up: its direction k is our -k. Observed: 0.99998 in the mean and at the least; unturned 0.57.
    camera = data.camera()[100:300, 150:350]
    places, bin_size = np.arange(40, 160, 12, dtype=np.float32), 9.6
    points = [cv2.KeyPoint(float(x), float(y), bin_size / 1.5, 0.0, 1.0, 0) for y in places for x in places]
    kept, theirs = cv2.SIFT.create().compute(camera, points)
    assert [p.pt for p in kept] == [p.pt for p in points]
    plane = sift.smooth(camera.astype(np.float32) / 255, bin_size)
    ours = sift.normalized(of_grid(plane, places, places, bin_size), 0.0)
    theirs = theirs.reshape(-1, 16, 8)[:, :, -np.arange(8) % 8].reshape(-1, 128)
    cosines = (ours * theirs).sum(1) / np.linalg.norm(theirs, axis=1)
    assert cosines.min() > 0.9995


def test_the_blur_is_a_sixth_of_a_bin_less_the_cameras() -> None:
    dot = np.zeros((61, 61), np.float32)
    dot[30, 30] = 1
    spread = sift.smooth(dot, 12)
    variance = (spread.sum(0) * (np.arange(61) - 30.0) ** 2).sum()
    assert variance == pytest.approx(2.0**2 - 0.5**2, rel=0.02)
    assert sift.smooth(dot, 3) is dot


def test_a_flat_patch_is_zero_and_the_threshold_is_a_mean_gradient() -> None:
    ramp = np.tile(np.arange(60, dtype=np.float32) * 0.01, (60, 1))
    histograms = of_grid(ramp, np.array([30], np.float32), np.array([30], np.float32), 4)
    assert histograms.sum() / sift.window_mass(4) == pytest.approx(0.01, rel=1e-3)
    assert not sift.normalized(histograms.copy(), 0.0101 * sift.window_mass(4)).any()
    assert sift.normalized(histograms.copy(), 0.0099 * sift.window_mass(4)).any()
    nothing = sift.normalized(np.zeros((2, 128), np.float32), 0.0)
    assert not nothing.any()
    assert not sift.rooted(nothing).any()


def test_roots_of_histograms_that_sum_to_one() -> None:
    histograms = np.random.default_rng(0).random((5, 128)).astype(np.float32)
    expected = np.sqrt(histograms.astype(np.float64) / histograms.sum(1, keepdims=True, dtype=np.float64))
    np.testing.assert_allclose(sift.rooted(histograms), expected, rtol=1e-6)


def test_a_turned_picture_turns_its_descriptor() -> None:
    rng = np.random.default_rng(1)
    plane = cv2.GaussianBlur(rng.random((41, 41)).astype(np.float32), (0, 0), 1.5)
    centre = np.array([20], np.float32)
    upright, turned = (of_grid(p, centre, centre, 5).reshape(4, 4, 8) for p in (plane, np.rot90(plane, -1).copy()))
    # A quarter to the right: bins as pixels turn, and each direction moves on by two.
    np.testing.assert_allclose(turned, np.roll(np.rot90(upright, -1), 2, 2), atol=1e-5)
