"""What style transfer refuses, and in which words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striate.core.checks import DataError, UsageError
from striate.tests.style.stand_ins import disc, small, stripes

STYLE, CONTENT = stripes(), disc()


@pytest.mark.parametrize(
    ("content", "keywords", "words"),
    [
        (np.zeros((4, 40, 3), np.uint8), {}, "expected pictures of at least 8 pixels a side for tiny; got 4 x 40"),
        (np.zeros((20, 2000, 3), np.uint8), {}, "painted as 1 x 48; pass a larger size, a picture less long"),
    ],
    ids=["too small", "too long"],
)
def test_pictures_too_small_for_the_network_are_refused(content: Any, keywords: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        small(size=48 if len(content[0]) > 1000 else None, **keywords).fit(STYLE).transform(content)


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ([np.ones((40, 56))], "expected 2 masks, one for each style; got 1"),
        ([np.ones((40, 56)), np.ones((56, 40))], r"masks of the content's size 40 x 56; got \(56, 40\) as number 1"),
        ([np.ones((40, 56)), np.zeros((40, 56))], "not empty; got float64 from 0.0 to 0.0 as number 1"),
        ([np.ones((40, 56)), np.full((40, 56), 3)], "got int64 from 3 to 3"),
    ],
    ids=["one missing", "turned", "empty", "class ids"],
)
def test_masks_that_do_not_fit_are_refused(masks: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        small().fit([STYLE, STYLE]).transform(CONTENT, masks=masks)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"content_weight": -1}, "expected content_weight not below 0; got -1"),
        ({"style_weight": float("nan")}, "expected style_weight not below 0; got nan"),
        ({"content_weight": 0, "style_weight": 0}, "expected a weight above 0; got content_weight 0 and style_weight"),
        ({"strength": 1.5}, "strength to lie between 0 and 1"),
        ({"style_scale": 0}, "style_scale to be a positive number"),
        ({"init": "contant"}, "did you mean 'content'"),
        ({"colours": "lumi"}, "expected colours to be one of"),
        ({"optimizer": "sgd"}, "expected optimizer to be one of lbfgs, adam"),
        ({"size": 0}, "size to be a positive number"),
        ({"steps": 0}, "at least one step"),
        ({"tile": 8}, "tiles of at least 64 pixels; got 8"),
        ({"memory_gb": 0}, "memory_gb to be a positive number"),
    ],
)
def test_options_out_of_range_are_refused(keywords: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        small(**keywords)


def test_what_cannot_be_done_yet_or_with_another_state_is_said() -> None:
    with pytest.raises(UsageError, match=r"expected a style; got none; call fit\(style\) first"):
        small().transform(CONTENT)
    for weights in ([1.0], [-1.0, 2.0], [0.0, 0.0]):
        with pytest.raises(UsageError, match="one weight for each style, none below 0, one above"):
            small().fit([STYLE, STYLE], weights)
    state = small().fit(STYLE).transform(CONTENT).state
    with pytest.raises(UsageError, match="the state of this painting; got one with other steps"):
        small(steps=13).fit(STYLE).transform(CONTENT, state=state)
    with pytest.raises(UsageError, match="expected layer to be one of relu1_1"):
        small(style_layers=["relu9_1"]).fit(STYLE)
    with pytest.raises(UsageError, match="style_layers with weights above 0"):
        small(style_layers={"relu1_1": 0.0}).fit(STYLE)
