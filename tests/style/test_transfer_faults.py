"""What style transfer refuses, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from striate.core.checkpoints import save_state
from striate.core.checks import DataError, UsageError
from striate.style import StyleTransfer
from striate.style.features import Features
from striate.style.memory import needed
from striate.style.networks import SqueezeTrunk
from striate.style.objective import Objective
from striate.style.painting import read_settings
from striate.tests.style.stand_ins import disc, small, stripes, tiny

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
        ({"precision": "fp8"}, "expected precision to be one of auto, fp32, bf16"),
        ({"size": 0}, "size to be a positive number"),
        ({"steps": 0}, "at least one step"),
        ({"smallest": -1}, "expected smallest not below 0; got -1"),
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
    with pytest.raises(UsageError, match="the state of a painting; got one without descent, losses, scale, settings"):
        small().fit(STYLE).transform(CONTENT, state={})
    with pytest.raises(UsageError, match="every to be at least one step; got 0"):
        small().fit(STYLE).transform(CONTENT, every=0)
    with pytest.raises(UsageError, match="expected at least one style; got none; pass a picture"):
        small().fit([])
    with pytest.raises(UsageError, match="expected layer to be one of relu1_1"):
        small(style_layers=["relu9_1"], colours="affine").fit(STYLE)
    with pytest.raises(UsageError, match="expected layer to be one of relu1_1"):
        small(style_layers=["relu9_1"]).fit(STYLE)
    with pytest.raises(UsageError, match="style_layers with weights above 0"):
        small(style_layers={"relu1_1": 0.0}).fit(STYLE)


def test_numbers_of_numpy_are_saved_as_their_own(tmp_path: Path) -> None:
    painting = small(size=np.int64(48), tv_weight=np.float32(0.5), steps=2).fit(STYLE).transform(CONTENT)
    settings = read_settings(painting.save(tmp_path / "a.png"))
    assert (settings["size"], settings["tv_weight"]) == (48, 0.5)
    save_state(tmp_path / "state.safetensors", painting.state)


def test_the_state_of_another_painting_is_refused() -> None:
    left = np.zeros(CONTENT.shape[:2], bool)
    left[:, :28] = True
    masks = [left, ~left]
    fitted = small(steps=2).fit([STYLE, STYLE[:, ::-1]])
    state = fitted.transform(CONTENT, masks=masks).state

    def refused(transfer: StyleTransfer, content: Any, given: Any, words: str) -> None:
        with pytest.raises(UsageError, match=f"got one with other {words}; pass the same options"):
            transfer.transform(content, masks=given, state=state)

    state["settings"] = {**state["settings"], "of_a_later_version": 1}
    refused(fitted, CONTENT, masks, "of_a_later_version")
    del state["settings"]["of_a_later_version"]
    refused(fitted, CONTENT[::-1], masks, "content_sha256")
    refused(fitted, CONTENT, masks[::-1], "mask_sha256")
    refused(fitted, CONTENT, None, "mask_sha256")
    refused(small(steps=2).fit([STYLE, STYLE]), CONTENT, masks, "style_sha256")
    other = tiny()
    other.trunk.layers["relu1_1"].weight.data[0, 0, 0, 0] += 0.1  # type: ignore[union-attr, index]
    refused(small(steps=2, features=other).fit([STYLE, STYLE[:, ::-1]]), CONTENT, masks, "features_sha256")
    pooled = small(steps=2, features=tiny(pooling="average")).fit([STYLE, STYLE[:, ::-1]])
    refused(pooled, CONTENT, masks, "features_sha256")


def test_where_it_is_painted_does_not_make_another_painting() -> None:
    part = small().fit(STYLE).transform(CONTENT, on_step=lambda step: step.step == 5)
    assert small(tile=64, memory_gb=1).fit(STYLE).transform(CONTENT, state=part.state).finished


def test_too_little_memory_is_found_before_the_first_step() -> None:
    features = tiny()
    budget = needed(features, [*features.style_layers], 343, 480, 256) - 1
    transfer = small(size=480, smallest=60, memory_gb=budget / 2**30).fit(STYLE)
    with pytest.raises(UsageError, match="GiB of memory for 343 x 480 pixels"):
        transfer.transform(CONTENT, on_step=lambda _: pytest.fail("it was begun"))


def test_features_without_tiles_are_refused_before_the_first_step() -> None:
    squeeze = Features("squeeze", SqueezeTrunk(), ("relu1",), ("fire2",))
    budget = needed(squeeze, ["relu1", "fire2"], 343, 480, 256) + 1
    transfer = small(features=squeeze, size=480, smallest=60, memory_gb=budget / 2**30).fit(STYLE)
    with pytest.raises(UsageError, match="features that can be computed in tiles, such as a VGG's; got squeeze"):
        transfer.transform(CONTENT, on_step=lambda _: pytest.fail("it was begun"))


@pytest.mark.parametrize("trunk", ["tiles", "no tiles"])
def test_no_memory_at_the_first_scale_is_a_user_s_error(trunk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(self: Objective, pixels: Any) -> Any:
        raise torch.OutOfMemoryError("no memory")

    squeeze = Features("squeeze", SqueezeTrunk(), ("relu1",), ("fire2",))
    transfer = small(features=tiny() if trunk == "tiles" else squeeze).fit(STYLE)
    monkeypatch.setattr(Objective, "__call__", short)
    words = " for the smallest tiles" if trunk == "tiles" else ", and squeeze knows no tiles"
    with pytest.raises(UsageError, match=f"memory for 34 x 48 pixels; got the memory does not suffice{words}"):
        transfer.transform(CONTENT)


def test_features_that_are_given_stay_as_they_are() -> None:
    given = tiny()
    before = given.fingerprint()
    balanced = small(features=given, normalized=True).fit(STYLE)
    assert given.fingerprint() == before
    assert not given.turns
    assert balanced.features_.turns
    with pytest.raises(UsageError, match=r"pooling only with features by name; got 'max'; load_features\(pooling=\)"):
        small(features=given, pooling="max")
