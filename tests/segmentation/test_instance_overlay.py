"""Objects are drawn inside their pixels only, neighbours in different colours."""

import numpy as np
import pytest
from skimage.segmentation import find_boundaries

from striate.core.checks import ImageError, UsageError
from striate.segmentation.instance_overlay import HUES, LINE, draw_instances, outermost
from striate.segmentation.instances import Instances

LABELS = np.zeros((20, 30), np.int32)
LABELS[2:12, 0:10], LABELS[2:12, 10:20], LABELS[15:18, 25:30] = 1, 2, 3
IMAGE = np.full((20, 30, 3), 100, np.uint8)


def test_draws_inside_objects_only() -> None:
    drawn = draw_instances(IMAGE, Instances(LABELS))
    assert drawn is not IMAGE
    assert (IMAGE == 100).all()
    assert (drawn[LABELS == 0] == 100).all()
    edge = outermost(LABELS)
    assert (drawn[edge] == LINE).all()
    colours = [np.unique(drawn[(i == LABELS) & ~edge], axis=0) for i in (1, 2, 3)]
    assert [len(colour) for colour in colours] == [1, 1, 1]
    assert len({tuple(colour[0]) for colour in colours}) == 3


def test_opacity_and_lines() -> None:
    plain = draw_instances(IMAGE, Instances(LABELS), opacity=0, lines=False)
    assert np.array_equal(plain, IMAGE)
    full, half = (draw_instances(IMAGE, Instances(LABELS), opacity=share, lines=False) for share in (1, 0.5))
    assert np.abs(half.astype(float) - (full.astype(float) + IMAGE) / 2).max() <= 0.5
    assert np.array_equal(draw_instances(IMAGE, Instances(LABELS * 0)), IMAGE)


def test_lines_are_scikit_images_inner_boundaries() -> None:
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 4, (6, 7)), np.ones((5, 5), int)).astype(np.int32)
    assert np.array_equal(outermost(labels), find_boundaries(labels, connectivity=1, mode="inner"))


def test_colours_do_not_repeat_soon() -> None:
    labels = np.arange(1, 2 * HUES + 1, dtype=np.int32)[None]
    drawn = draw_instances(np.zeros((1, 2 * HUES, 3), np.uint8), Instances(labels), opacity=1, lines=False)[0]
    assert len(np.unique(drawn[:HUES], axis=0)) == HUES
    assert np.array_equal(drawn[:HUES], drawn[HUES:])


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(UsageError, match="the picture that the objects were found on; got 30x10 for objects on 30x20"):
        draw_instances(IMAGE[:10], Instances(LABELS))
    with pytest.raises(UsageError, match="opacity"):
        draw_instances(IMAGE, Instances(LABELS), opacity=1.5)
    with pytest.raises(ImageError, match="uint8 RGB"):
        draw_instances(IMAGE[..., 0], Instances(LABELS))
