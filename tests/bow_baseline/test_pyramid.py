"""Cells of a picture, their weights, and the row that they make."""

import numpy as np
import pytest

from striate.bow_baseline.descriptors import Descriptors
from striate.bow_baseline.pyramid import Pyramid
from striate.core.checks import UsageError


def at(*places: tuple[float, float], size: tuple[int, int] = (100, 200)) -> Descriptors:
    n = len(places)
    centres = np.array(places, np.float32).reshape(n, 2)
    return Descriptors(np.zeros((n, 3), np.float32), centres, np.ones(n, np.float32), size)


def test_cells_row_by_row_and_level_by_level() -> None:
    picture = at((10, 10), (150, 20), (10, 90), (190, 99), (99, 49), (100, 50))
    found = [region.tolist() for region in Pyramid(layout="1x1+2x2+3x1").regions(picture)]
    # (99, 49) is the middle of the last pixel of the first cell, (100, 50) of the first pixel of the last.
    assert found == [[0, 1, 2, 3, 4, 5], [0, 4], [1], [2], [3, 5], [0, 1], [4, 5], [2, 3]]


def test_every_descriptor_is_in_one_cell_of_each_level_and_in_its_box() -> None:
    rng = np.random.default_rng(0)
    picture = at(*rng.uniform((-0.5, -0.5), (199.5, 99.5), (500, 2)))
    pyramid = Pyramid(layout="1x1+3x5+4x4")
    regions, boxes = pyramid.regions(picture), pyramid.boxes(picture.size)
    assert len(regions) == len(boxes) == len(pyramid) == 32
    for cells in (regions[:1], regions[1:16], regions[16:]):
        assert sorted(np.concatenate(cells)) == list(range(500))
    for region, (x1, y1, x2, y2) in zip(regions, boxes, strict=True):
        inside = picture.centres[region] + 0.5
        assert (inside >= (x1, y1)).all()
        assert (inside <= (x2, y2)).all()


def test_keypoints_on_the_edge_and_none() -> None:
    found = Pyramid(layout="2x2").regions(at((-3, -3), (205, 103), (205, 10)))
    assert [region.tolist() for region in found] == [[0], [2], [], [1]]
    assert [len(region) for region in Pyramid(layout="1x1+2x2").regions(at())] == [0] * 5


def test_weights_of_lazebnik() -> None:
    found = Pyramid(layout="1x1+2x2+4x4", weights="lazebnik").level_weights()
    assert found.tolist() == [1 / 4] + [1 / 4] * 4 + [1 / 2] * 16
    assert Pyramid(layout="2x2", weights="lazebnik").level_weights().tolist() == [1] * 4
    assert Pyramid(layout="1x1+2x2").level_weights().tolist() == [1] * 5


def test_a_row_of_normalized_and_weighted_cells() -> None:
    pyramid = Pyramid(layout="1x1+1x2+1x2", weights="lazebnik")
    pooled = np.array([[3, 1], [2, 0], [0, 0], [1, 1], [0, 4]], np.float32)
    row = pyramid.join(pooled, region="l1", whole="none")  # levels count 1/4, 1/4 and 1/2
    np.testing.assert_allclose(row, np.array([0.75, 0.25, 1, 0, 0, 0, 1, 1, 0, 2]) / 4)
    np.testing.assert_allclose(pyramid.join(pooled, region="l1", whole="l2"), row / np.linalg.norm(row), rtol=1e-6)
    assert pyramid.join(pooled, region="power", whole="l2").dtype == np.float32
    assert not pyramid.join(np.zeros((5, 2), np.float32), region="l1", whole="l2").any()


@pytest.mark.parametrize("layout", ["", "1", "1x1+", "0x2", "1x1,2x2", "2x200"])
def test_layouts_that_cannot_be_read(layout: str) -> None:
    with pytest.raises(UsageError, match=r'levels such as "1x1\+2x2\+4x4" or "1x1\+3x1"; got .*write rows x columns'):
        Pyramid(layout=layout)


def test_unknown_weights() -> None:
    with pytest.raises(UsageError, match="weights to be one of equal, lazebnik; got 'lazebnick'; did you mean"):
        Pyramid(weights="lazebnick")
