"""Tiles: they cover, they lie on the network's grid, and blending gives back what was cut."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from striate.core.checks import UsageError
from striate.segmentation.tiling import Blend, Part, Tiles, grid

CASES = {
    "smaller than a tile": (50, 64, 32, 8),
    "just a tile": (64, 64, 32, 8),
    "a pixel more": (65, 64, 16, 8),
    "many": (1000, 128, 32, 32),
    "three at one place": (150, 64, 32, 8),
    "no overlap": (200, 64, 0, 8),
    "one pixel": (1, 64, 16, 32),
}


@pytest.mark.parametrize(("length", "tile", "overlap", "stride"), CASES.values(), ids=CASES)
def test_tiles_cover_a_side_on_the_grid(length: int, tile: int, overlap: int, stride: int) -> None:
    tiles = grid(length, tile, overlap, stride)
    assert sorted({i for own in tiles for i in own}) == list(range(length))
    assert all(own.start % stride == 0 and len(own) <= tile for own in tiles)
    assert all(one.stop - two.start >= overlap for one, two in pairwise(tiles))
    assert all(len(own) == tile for own in tiles[:-1])
    assert len(tiles) == len({own.start for own in tiles})


@pytest.mark.parametrize(("height", "tile", "overlap", "stride"), CASES.values(), ids=CASES)
def test_blending_what_was_cut_gives_the_whole(height: int, tile: int, overlap: int, stride: int) -> None:
    width = 3 * height // 2 + 1
    whole = torch.rand(3, height, width)
    found, told = torch.full_like(whole, torch.nan), np.zeros((height, width), int)
    down, along = grid(height, tile, overlap, stride), grid(width, tile, overlap, stride)
    blend = Blend(width)
    for row, rows in enumerate(down):
        for column, columns in enumerate(along):
            cut = whole[:, rows.start : rows.stop, columns.start : columns.stop]
            for y, x, values in blend.add(cut, Part.of(down, row), Part.of(along, column)):
                found[:, y, x] = values
                told[y, x] += 1
    assert (told == 1).all()
    torch.testing.assert_close(found, whole, atol=1e-6, rtol=0)


def test_nothing_is_taken_from_the_rim_of_a_tile() -> None:
    """Tiles that are wrong within 3/8 of the overlap of an inner side, by any amount, change nothing."""
    height, width, tile, overlap = 200, 170, 96, 32
    down, along = grid(height, tile, overlap, 8), grid(width, tile, overlap, 8)
    blend, found = Blend(width), torch.full((1, height, width), torch.nan)
    for row, rows in enumerate(down):
        for column, columns in enumerate(along):
            cut = torch.full((1, len(rows), len(columns)), 1e6)
            sides = [12 * (rows.start > 0), len(rows) - 12 * (rows.stop < height)]
            sides += [12 * (columns.start > 0), len(columns) - 12 * (columns.stop < width)]
            cut[:, sides[0] : sides[1], sides[2] : sides[3]] = 1
            for y, x, values in blend.add(cut, Part.of(down, row), Part.of(along, column)):
                found[:, y, x] = values
    assert found.min() == pytest.approx(1)
    assert found.max() == pytest.approx(1)


def test_a_tile_counts_most_in_its_middle() -> None:
    part = Part.of(grid(300, 128, 32, 32), 1)
    weights = part.weights.numpy()
    assert weights.argmax() in (63, 64)
    assert (np.diff(weights[:64]) >= 0).all()
    assert not weights[:12].any()
    assert weights[12] > 0
    assert Part.of(grid(300, 128, 32, 32), 0).weights[0] > 0  # where the picture ends there is no rim


@pytest.mark.parametrize("wrong", [{"tile": 32}, {"overlap": 769}, {"overlap": -1}, {"whole_pixels": 0}])
def test_tiles_that_make_no_sense(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=r"tiles of 64 to 8192 pixels.*pass tile=1536, overlap=384"):
        Tiles(**wrong).check()
