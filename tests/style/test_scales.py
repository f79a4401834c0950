"""Sizes and steps of a painting."""

from __future__ import annotations

import pytest

from striate.core.checks import UsageError
from striate.style.scales import Scale, fitted, plan


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
