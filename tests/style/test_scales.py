"""Sizes, steps and memory of a painting."""

from __future__ import annotations

import pytest
import torch

from striate.core.checks import UsageError
from striate.style.scales import Scale, fitted, free_memory, memory, plan, tile_for
from striate.tests.style.stand_ins import STYLE_LAYERS, tiny


def test_scales_double_and_steps_halve_down_to_a_quarter() -> None:
    assert plan(1024, 200, 100) == (Scale(128, 200), Scale(256, 100), Scale(512, 50), Scale(1024, 50))
    assert plan(300, 200, 256) == (Scale(300, 200),)
    assert plan(512, 7, 0) == (Scale(512, 7),)


def test_a_smallest_side_below_0_is_refused() -> None:
    with pytest.raises(UsageError, match="expected smallest not below 0; got -1; pass smallest=0"):
        plan(512, 7, -1)


@pytest.mark.parametrize(
    ("size", "wanted"), [((100, 50), (64, 32)), ((3, 900), (1, 64))], ids=["tall", "a side of a pixel"]
)
def test_the_shape_is_kept(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert fitted(*size, 64) == wanted


def test_tiles_are_as_large_as_the_budget_allows() -> None:
    features, names = tiny(), list(STYLE_LAYERS)
    whole, half, quarter = (memory(features, names, 4096, 4096, tile) for tile in (None, 1024, 512))
    assert quarter < half < whole
    assert tile_for(features, names, 4096, 4096, whole) is None
    assert tile_for(features, names, 4096, 4096, half) == 1024
    assert tile_for(features, names, 4096, 4096, half - 1) == 768
    with pytest.raises(UsageError, match=r"GiB of memory for 4096 x 4096 pixels; got 0\.0 GiB"):
        tile_for(features, names, 4096, 4096, 1e6)


def test_free_memory_is_a_share_of_what_there_is() -> None:
    assert 2**20 < free_memory(torch.device("cpu")) < 2**45
