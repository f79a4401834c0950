"""The styles' pictures: measured once for a scale, and within the memory that a painting may take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from striate.core.checks import UsageError
from striate.style import TextureSynthesis, styles
from striate.style.features import Features
from striate.style.memory import needed
from striate.style.networks import SqueezeTrunk
from striate.tests.style.stand_ins import STYLE_LAYERS, small, stripes, tiny

LARGE = stripes(500, 700)


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Return a list of the tiles that pictures are measured in."""
    seen: list[int | None] = []
    real = styles.measured

    def measured(features: Any, layers: Any, picture: Any, tile: int | None) -> Any:
        seen.append(tile)
        return real(features, layers, picture, tile)

    monkeypatch.setattr(styles, "measured", measured)
    return seen


def budget(tile: int) -> float:
    """Return GiB that suffice to look at the large picture in tiles."""
    return (needed(tiny(), list(STYLE_LAYERS), 500, 700, tile, gradient=False) + 1) / 2**30


def test_styles_are_measured_in_tiles_where_the_memory_asks_for_them(tiles: list[int | None]) -> None:
    whole = small(size=700).fit(LARGE)
    tiled = small(size=700, memory_gb=budget(256)).fit(LARGE)
    given = small(size=700, tile=128).fit(LARGE)
    assert tiles == [None, 256, 128]
    for other in (tiled, given):
        for name, gram in whole.grams_[0][700].items():
            torch.testing.assert_close(other.grams_[0][700][name], gram, rtol=1e-3, atol=1e-5)


def test_textures_and_balance_keep_within_the_memory_too(
    tiles: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    balanced: list[int | None] = []
    real = Features.balance

    def balance(self: Features, pictures: Any, names: Any, tile: int | None) -> None:
        balanced.append(tile)
        real(self, pictures, names, tile)

    monkeypatch.setattr(Features, "balance", balance)
    keywords: dict[str, Any] = {"steps": 1, "normalized": True, "memory_gb": budget(256), "precision": "fp32"}
    TextureSynthesis(features=tiny(), **keywords).fit(LARGE).transform(32, 32)
    assert balanced == [256]
    assert set(tiles) == {256}


def test_a_style_for_which_no_tiles_are_small_enough_is_refused() -> None:
    with pytest.raises(UsageError, match="GiB of memory for 500 x 700 pixels"):
        small(size=700, memory_gb=budget(256) / 2).fit(LARGE)
    squeeze = Features("squeeze", SqueezeTrunk(), ("relu1",), ("fire2",))
    least = needed(squeeze, ["relu1"], 500, 700, 256, gradient=False) + 1
    with pytest.raises(UsageError, match="features that can be computed in tiles, such as a VGG's; got squeeze"):
        small(features=squeeze, size=700, memory_gb=least / 2**30).fit(LARGE)
    small(size=None, colours="affine").fit(LARGE)  # measured with the content


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_precision_is_that_of_the_maps_alone(precision: str, dtype: torch.dtype) -> None:
    transfer = small(precision=precision, steps=3).fit(stripes())
    maps = transfer.features_(torch.rand(1, 3, 32, 32), ["relu1_1"])["relu1_1"]
    assert maps.dtype == dtype
    assert transfer.grams_[0][48]["relu1_1"].dtype == torch.float32
    assert transfer.features_sha256_ == small().fit(stripes()).features_sha256_
    assert transfer.transform(stripes()).pixels.dtype == torch.float32


def test_half_floats_reach_the_loss_that_whole_ones_reach() -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        painting = small(precision=precision, steps=40).fit(stripes()).transform(stripes(40, 56, 16))
        judge = small(steps=1, optimizer="adam", rate=1e-9).fit(stripes())
        losses.append(judge.transform(painting.image).losses[0])
    assert np.isclose(losses[0]["style relu2_1"], losses[1]["style relu2_1"], rtol=0.5)
