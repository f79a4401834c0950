"""The loss of a batch of paintings: the mean of what `Objective` says of each."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from striate.core.images import resize, to_tensor
from striate.style.fast_loss import FastLoss, measure, small, style_target
from striate.style.fast_network import FastNetwork
from striate.style.objective import Objective, Region, Weights
from striate.tests.style.stand_ins import STYLE_LAYERS, disc, stripes, tiny


def weights(**keywords: Any) -> Weights:
    usual: dict[str, Any] = {"content": 2.0, "style": 5.0, "tv": 3.0}
    layers = {"style_layers": dict(zip(STYLE_LAYERS, (1.0, 2.0, 1.0), strict=True)), "content_layers": {"relu3_1": 1.0}}
    return Weights(**{**usual, **layers, **keywords})


def loss(based: bool = False, **keywords: Any) -> FastLoss:
    features = tiny()
    if based:
        noise = torch.Generator().manual_seed(0)
        features.bases["relu2_1"] = torch.nn.Parameter(torch.rand(12, 12, generator=noise), requires_grad=False)
    found = weights(**keywords)
    return FastLoss(features, found, style_target(features, found, stripes(), 48))


@pytest.mark.parametrize("based", [False, True], ids=["plain", "with bases"])
def test_a_batch_s_loss_is_the_mean_of_each_picture_s_objective(based: bool) -> None:
    noise = torch.Generator().manual_seed(0)
    images, painted = (torch.rand(3, 3, 32, 40, generator=noise) for _ in range(2))
    ours = loss(based)
    rows = []
    for image, painting in zip(images.split(1), painted.split(1), strict=True):
        objective = Objective(ours.features, ours.weights, image, [Region(None, ours.target)])
        rows.append(objective(painting.contiguous()))
    found = ours.parts(images, painted)
    style = sum(torch.stack([row[f"style {name}"] for row in rows]).mean() for name in STYLE_LAYERS)
    wanted = {"content": torch.stack([row["content"] for row in rows]).mean(), "style": style}
    wanted["tv"] = torch.stack([row["tv"] for row in rows]).mean()
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)


def test_the_style_itself_has_no_style_loss_and_the_content_no_content_loss() -> None:
    picture = to_tensor(stripes())
    parts = loss().parts(picture, picture)
    assert float(parts["style"]) < 1e-9
    assert float(parts["content"]) == 0


def test_a_style_is_reduced_to_its_side_and_never_enlarged() -> None:
    features, found = tiny(), weights()
    whole, large, reduced, shown = (
        style_target(features, found, picture, side)["relu2_1"]
        for picture, side in ((stripes(), 48), (stripes(), 500), (stripes(), 24), (resize(stripes(), (24, 24)), 24))
    )
    assert torch.equal(whole, large)
    assert torch.equal(reduced, shown)
    assert not torch.allclose(whole, reduced, rtol=0.02)


@pytest.mark.parametrize("left_out", ["content", "style", "tv"])
def test_a_part_of_weight_zero_is_not_computed(left_out: str) -> None:
    picture = to_tensor(disc(48, 48))
    assert {*loss(**{left_out: 0.0}).parts(picture, picture)} == {"content", "style", "tv"} - {left_out}


def test_sixteen_bits_change_the_loss_by_a_hundredth_at_most() -> None:
    picture, painted = to_tensor(disc(48, 48)), to_tensor(stripes(period=20)) * 0.5
    plain = loss()
    short = FastLoss(plain.features, plain.weights, plain.target, bfloat16=True)
    for name, value in plain.parts(picture, painted).items():
        torch.testing.assert_close(short.parts(picture, painted)[name], value, rtol=0.02, atol=0)  # 0.003 seen


def test_a_picture_is_measured_before_and_after() -> None:
    ours, content = loss(), small(disc(120, 200), 100)
    assert content.shape == (1, 3, 64, 100)
    figures, painted = measure(FastNetwork((4, 4, 4), 1), ours, content)
    assert painted.shape == content.shape
    assert figures["loss"] == pytest.approx(figures["content"] + figures["style"] + figures["tv"])
    assert figures["style_before"] == pytest.approx(float(ours.parts(content, content)["style"]))
