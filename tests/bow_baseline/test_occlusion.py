"""Occlusion maps find what decides, and painting is signed."""

import numpy as np
import pytest

from striate.bow_baseline.occlusion import occlusion_map, painted
from striate.core.checks import ImageError, UsageError


class Corner:
    """Says class 1 by the brightness of the upper left 16 pixels' square."""

    def predict_proba(self, sources: list) -> np.ndarray:
        bright = np.array([one[:16, :16].mean() / 255 for one in sources])
        return np.stack([1 - bright, bright], 1)


def picture() -> np.ndarray:
    image = np.zeros((64, 48, 3), np.uint8)
    image[:16, :16] = 255
    return image


def test_the_map_is_high_where_the_answer_comes_from() -> None:
    heat = occlusion_map(Corner(), picture(), 1)
    assert heat.shape == (64, 48)
    assert heat.dtype == np.float32
    assert np.unravel_index(heat.argmax(), heat.shape) < (16, 16)
    assert heat[4, 4] > 0.3
    assert np.abs(heat[32:, 32:]).max() < 1e-6
    np.testing.assert_allclose(occlusion_map(Corner(), picture(), 0), -heat, atol=1e-6)


def test_one_window_over_all_is_the_difference_to_a_plain_picture() -> None:
    image = picture()
    heat = occlusion_map(Corner(), image[:48], 1, window=1, step=1)
    plain = np.broadcast_to(np.rint(image[:48].mean((0, 1))), image[:48].shape).astype(np.uint8)
    drop = Corner().predict_proba([image[:48]])[0, 1] - Corner().predict_proba([plain])[0, 1]
    np.testing.assert_allclose(heat, drop, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (41, 37)], ids=["one pixel", "a strip", "odd sides"])
def test_every_pixel_is_covered(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert np.isfinite(occlusion_map(Corner(), image, 0)).all()


@pytest.mark.parametrize("options", [{"window": 0}, {"step": 1.5}])
def test_windows_that_cannot_be(options: dict) -> None:
    with pytest.raises(UsageError, match="above 0 and at most 1"):
        occlusion_map(Corner(), picture(), 0, **options)
    with pytest.raises(UsageError, match=r"a step of at most the window, 0\.25; got 0\.5"):
        occlusion_map(Corner(), picture(), 0, window=0.25, step=0.5)


def test_paint_is_orange_above_and_blue_below_nothing() -> None:
    image = np.full((1, 3, 3), 100, np.uint8)
    drawn = painted(image, np.array([[1.0, 0.0, -1.0]], np.float32))[0].astype(int)
    assert drawn[0, 0] > drawn[0, 2]
    assert drawn[1].tolist() == [100, 100, 100]
    assert drawn[2, 2] > drawn[2, 0]
    assert (image == 100).all()
    assert (painted(image, np.zeros((1, 3), np.float32)) == 100).all()


def test_paint_refuses_other_sizes() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    for heat in (np.zeros((3, 4), np.float32), np.full((4, 4), np.nan, np.float32)):
        with pytest.raises(UsageError, match="explain this very picture"):
            painted(image, heat)
    with pytest.raises(ImageError):
        painted(image[..., 0], np.zeros((4, 4), np.float32))
