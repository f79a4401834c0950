"""Boxes move with their pixels: coloured rectangles are found again where the boxes say."""

import numpy as np
import pytest

from striate.core.augment import (
    Augmentation,
    Labelled,
    augment,
    flip,
    jitter_colour,
    mosaic,
    place,
    transpose,
    zoom_and_shift,
)
from striate.core.checks import UsageError

COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)


def scene(seed: int = 0, height: int = 96, width: int = 128) -> Labelled:
    """Three rectangles of pure colours on black, one in each third."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.uint8)
    boxes = []
    for i in range(3):
        x1 = i * width // 3 + rng.integers(2, 8)
        y1 = rng.integers(5, height // 3)
        x2, y2 = x1 + rng.integers(15, 25), y1 + rng.integers(15, 40)
        image[y1:y2, x1:x2] = COLOURS[i]
        boxes.append((x1, y1, x2, y2))
    return Labelled(image, np.asarray(boxes, np.float32), np.arange(3))


def only(sample: Labelled, class_id: int) -> Labelled:
    """Black out all other rectangles, so that no colour goes on beyond the joint of a mosaic."""
    keep = sample.class_ids == class_id
    image = sample.image.copy()
    for x1, y1, x2, y2 in sample.boxes[~keep].astype(int):
        image[y1:y2, x1:x2] = 0
    return Labelled(image, sample.boxes[keep], sample.class_ids[keep])


def assert_boxes_hold_their_colours(sample: Labelled, tolerance: float = 1.5) -> None:
    """Every box is the hull of its own colour's pixels that lie inside it and one more pixel around."""
    for box, class_id in zip(sample.boxes, sample.class_ids, strict=True):
        x1, y1, x2, y2 = box
        grown = np.array([x1 - 2, y1 - 2, x2 + 2, y2 + 2]).round().astype(int).clip(0)
        part = sample.image[grown[1] : grown[3], grown[0] : grown[2]].astype(int)
        other = np.delete(part, class_id, axis=2).max(axis=2)
        rows, columns = np.nonzero((part[..., class_id] > 127) & (other < 100))
        hull = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) + np.tile(grown[:2], 2)
        np.testing.assert_allclose(hull, box, atol=tolerance)


@pytest.mark.parametrize(("horizontal", "vertical"), [(1, 0), (0, 1), (1, 1), (0, 0)])
def test_flip(horizontal: float, vertical: float) -> None:
    assert_boxes_hold_their_colours(flip(scene(), np.random.default_rng(0), horizontal, vertical), tolerance=0)


def test_flip_twice_is_the_picture_itself() -> None:
    rng, once = np.random.default_rng(0), scene()
    twice = flip(flip(once, rng, 1, 1), rng, 1, 1)
    assert (twice.image == once.image).all()
    assert (twice.boxes == once.boxes).all()


def test_transpose() -> None:
    turned = transpose(scene())
    assert turned.image.shape == (128, 96, 3)
    assert_boxes_hold_their_colours(turned, tolerance=0)


@pytest.mark.parametrize("seed", range(8))
def test_zoom_and_shift(seed: int) -> None:
    moved = zoom_and_shift(scene(seed), np.random.default_rng(seed), (128, 160), scale=0.4, translate=0.05)
    assert moved.image.shape == (128, 160, 3)
    assert_boxes_hold_their_colours(moved)


@pytest.mark.parametrize("seed", range(8))
def test_mosaic(seed: int) -> None:
    joined = mosaic([only(scene(i), i) for i in range(4)], np.random.default_rng(seed), (192, 256), scale=0.3)
    assert joined.image.shape == (192, 256, 3)
    assert len(joined.boxes) >= 1
    assert_boxes_hold_their_colours(joined)
    assert (joined.boxes[:, :2] >= 0).all()
    assert (joined.boxes[:, 2:] <= [256, 192]).all()


def test_mosaic_leaves_no_gap() -> None:
    bright = Labelled(np.full((40, 200, 3), 255, np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    for seed in range(10):
        joined = mosaic([bright] * 4, np.random.default_rng(seed), (96, 128), scale=0.5)
        assert (joined.image > 250).all()


def test_box_mostly_outside_is_dropped_and_partly_outside_is_clipped() -> None:
    sample = Labelled(
        np.zeros((100, 100, 3), np.uint8), np.array([[0, 0, 40, 40], [60, 60, 90, 90]], np.float32), np.array([0, 1])
    )
    moved = place(sample, 1.0, (-32, 0), (100, 100))
    assert moved.class_ids.tolist() == [1]
    moved = place(sample, 1.0, (-20, 0), (100, 100))
    assert moved.boxes[0].tolist() == [0, 0, 20, 40]


def test_no_boxes_go_through_everything() -> None:
    empty = Labelled(np.zeros((50, 60, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    for count in (1, 4):
        result = augment([empty] * count, np.random.default_rng(0), (64, 64), Augmentation(transpose=0.5))
        assert result.boxes.shape == (0, 4)


def test_colour_without_strength_changes_nothing_but_rounding() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    same = jitter_colour(image, np.random.default_rng(1), 0, 0, 0)
    assert np.abs(same.astype(int) - image).max() <= 6  # OpenCV keeps the hue in steps of 2 degrees
    assert np.abs(jitter_colour(image, np.random.default_rng(1), 0.1, 0.5, 0.5).astype(int) - image).mean() > 5


def test_same_seed_same_picture() -> None:
    options = Augmentation(flip_vertical=0.5, transpose=0.5)
    samples = [scene(i) for i in range(4)]
    first, second = (augment(samples, np.random.default_rng((3, 1, 4)), (96, 128), options) for _ in range(2))
    assert (first.image == second.image).all()
    assert (first.boxes == second.boxes).all()
    other = augment(samples, np.random.default_rng((3, 1, 5)), (96, 128), options)
    assert (first.image != other.image).any()


def test_probability_out_of_range() -> None:
    with pytest.raises(UsageError, match=r"expected flip_vertical to lie between 0 and 1; got 2"):
        Augmentation(flip_vertical=2)
