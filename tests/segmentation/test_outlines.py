"""Outlines drawn again give the same pixels: by scikit-image, and by pycocotools, which has rules of its own."""

import numpy as np
import pytest
from pycocotools import mask as coco
from skimage.draw import polygon
from skimage.measure import label
from skimage.morphology import disk

from striate.segmentation.outlines import Outline, outlines


def drawn(parts: list[Outline], size: tuple[int, int]) -> np.ndarray:
    """Fill exteriors, cut out holes; a pixel belongs to a polygon when its middle does."""
    found = np.zeros(size, bool)
    for part in parts:
        inside = np.zeros(size, bool)
        inside[polygon(part.exterior[:, 1] - 0.5, part.exterior[:, 0] - 0.5, size)] = True
        for hole in part.holes:
            inside[polygon(hole[:, 1] - 0.5, hole[:, 0] - 0.5, size)] = False
        found |= inside
    return found


def blobs(seed: int, size: tuple[int, int] = (40, 53)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.random((size[0] // 4 + 1, size[1] // 3 + 1)) < 0.5
    return np.repeat(np.repeat(coarse, 4, 0), 3, 1)[: size[0], : size[1]]


MASKS = {
    "a pixel": np.eye(1, dtype=bool),
    "a pixel in a corner": np.pad(np.eye(1, dtype=bool), ((4, 0), (0, 3))),
    "all": np.ones((5, 4), bool),
    "touching at a corner": np.eye(4, dtype=bool),
    "a line": np.pad(np.ones((1, 6), bool), 2),
    "a ring": np.pad(disk(9).astype(bool) & ~np.pad(disk(4), 5).astype(bool), 1),
    "an island in a lake": np.pad(np.pad(np.pad(np.ones((1, 1), bool), 1), 2, constant_values=True), 1),
    "blobs": blobs(0),
    "noise": np.random.default_rng(0).random((23, 31)) < 0.5,
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_drawn_again_they_are_the_mask(mask: np.ndarray) -> None:
    parts = outlines(mask, "thing", 3)
    np.testing.assert_array_equal(drawn(parts, mask.shape), mask)
    assert len(parts) == label(mask, connectivity=2).max()
    assert sum(part.area for part in parts) == mask.sum()
    assert {(part.label, part.class_id) for part in parts} == {("thing", 3)}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
@pytest.mark.parametrize("seed", range(5))
def test_pycocotools_draws_the_same_pixels(seed: int) -> None:
    mask = blobs(seed)
    found = np.zeros(mask.shape, bool)
    for part in outlines(mask, "thing", 0):
        rings = [ring.ravel().astype(float).tolist() for ring in (part.exterior, *part.holes)]
        inside, *holes = coco.decode(coco.frPyObjects(rings, *mask.shape)).astype(bool).transpose(2, 0, 1)
        found |= inside & ~np.any([np.zeros_like(inside), *holes], axis=0)
    np.testing.assert_array_equal(found, mask)


def test_corners_only() -> None:
    (part,) = outlines(np.pad(np.ones((3, 5), bool), ((2, 1), (4, 0))), "thing", 0)
    assert sorted(map(tuple, part.exterior.tolist())) == [(4, 2), (4, 5), (9, 2), (9, 5)]
    assert part.to_dict()["area"] == 15
    assert part.to_dict()["holes"] == []
    assert outlines(np.zeros((3, 3), bool), "thing", 0) == []
