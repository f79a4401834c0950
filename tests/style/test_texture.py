"""More of a texture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striate.core.checks import UsageError
from striate.style import TextureSynthesis
from striate.style.patterns import PATTERNS, pattern
from striate.tests.style.stand_ins import stripes, tiny, total


def synthesis(**keywords: Any) -> TextureSynthesis:
    usual: dict[str, Any] = {"features": tiny(), "steps": 40, "smallest": 24, "precision": "fp32"}
    return TextureSynthesis(**{**usual, **keywords}).fit(stripes())


def test_any_size_comes_out_in_the_texture_s_colours() -> None:
    found = synthesis().transform(40, 72)
    assert found.image.shape == (40, 72, 3)
    assert np.abs(found.image.mean((0, 1)) - stripes().mean((0, 1))).max() < 45
    assert total(found.losses[-1]) < total(found.losses[0]) / 10
    assert [*dict.fromkeys(row["scale"] for row in found.losses)] == [1, 2]


def test_another_seed_gives_another_picture() -> None:
    one, two, other = (synthesis(seed=seed, steps=5).transform(24, 24).image for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_the_texture_s_scale_changes_what_is_matched() -> None:
    sizes = []
    for scale in (0.5, 1.0):
        made = synthesis(texture_scale=scale, steps=2)
        made.transform(24, 24)
        sizes.append(made.grams_[0][48]["relu2_1"])
    assert not np.allclose(sizes[0], sizes[1], rtol=0.05)


def test_a_stopped_texture_goes_on() -> None:
    whole = synthesis(steps=8).transform(48, 48)
    part = synthesis(steps=8).transform(48, 48, on_step=lambda step: step.step == 3)
    assert np.array_equal(synthesis(steps=8).transform(48, 48, state=part.state).image, whole.image)


def test_what_makes_no_texture_is_refused() -> None:
    with pytest.raises(UsageError, match=r"expected a texture; got none; call fit\(texture\) first"):
        TextureSynthesis(features=tiny()).transform(40, 40)
    with pytest.raises(UsageError, match="sides up to 16384; got 40 x 20000"):
        synthesis().transform(40, 20_000)
    with pytest.raises(UsageError, match="pictures of at least 8 pixels a side"):
        synthesis().transform(4, 4)


def test_patterns_are_drawn_the_same_for_a_seed() -> None:
    for name in PATTERNS:
        one = pattern(name, size=64, seed=1)
        assert one.shape == (64, 64, 3)
        assert np.array_equal(one, pattern(name, size=64, seed=1))
        assert not np.array_equal(one, pattern(name, size=64, seed=2))
        assert one.std() > 20
    with pytest.raises(UsageError, match="did you mean 'mosaic'"):
        pattern("mosaik")
    with pytest.raises(UsageError, match="a size of at least 16; got 3"):
        pattern("mosaic", size=3)
