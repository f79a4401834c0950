"""The loss of one scale against the published method in plain float64, and tiles against the whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from striate.core.checks import UsageError
from striate.style import windows
from striate.style.features import Features, load_features
from striate.style.losses import grams, mixed, relative, total_variation
from striate.style.networks import SqueezeTrunk
from striate.style.objective import Objective, Region, Weights, measured
from striate.tests.style.stand_ins import STYLE_LAYERS, tiny

EVEN = dict.fromkeys(STYLE_LAYERS, 1.0)


def pictures(height: int = 37, width: int = 50) -> tuple[Tensor, Tensor, Tensor]:
    """Return content, style and a painting."""
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.rand(1, 3, height, width, generator=generator) for _ in range(3))  # type: ignore[return-value]


def published(features: Features, content: Tensor, style: Tensor, painting: Tensor) -> Tensor:
    """Gatys, Ecker and Bethge 2015, equations 1 to 7, each layer's part over that of an empty painting; float64."""
    wide = features.double()
    maps = [wide(picture.double(), STYLE_LAYERS) for picture in (content, style, painting)]
    loss = ((maps[2]["relu3_1"] - maps[0]["relu3_1"]) ** 2).sum() / (maps[0]["relu3_1"] ** 2).sum()
    for name in STYLE_LAYERS:
        pixels = maps[1][name].shape[2] * maps[1][name].shape[3]
        rows = [m[name][0].flatten(1) for m in maps]
        g, a = (torch.einsum("ip,jp->ij", row, row) for row in (rows[2], rows[1]))
        weight = 1 / (4 * rows[1].shape[0] ** 2 * pixels**2)
        loss = loss + 10 / 3 * (weight * ((g - a) ** 2).sum()) / (weight * (a**2).sum())
    return loss + 0.5 * (painting.double().diff(dim=2) ** 2).mean() + 0.5 * (painting.double().diff(dim=3) ** 2).mean()


def targets(features: Features, style: Tensor) -> dict[str, Tensor]:
    """Return a style's Gram matrices over pixels."""
    maps = features(style, STYLE_LAYERS)
    found = grams(maps, features.turns)
    return {name: found[name] / (maps[name].shape[2] * maps[name].shape[3]) for name in found}


def gradient(loss: Any, pixels: Tensor) -> tuple[dict[str, float], Tensor]:
    """Return the parts and the gradient of their sum."""
    given = pixels.clone().requires_grad_()
    parts = loss(given)
    (found,) = torch.autograd.grad(sum(parts.values()), given)
    return {name: float(value.detach()) for name, value in parts.items()}, found


def test_loss_and_gradient_are_those_of_the_paper() -> None:
    content, style, painting = pictures()
    features = tiny()
    weights = Weights(1.0, 10.0, 0.5, EVEN, {"relu3_1": 1.0})
    parts, found = gradient(Objective(features, weights, content, [Region(None, targets(features, style))]), painting)
    wide = painting.double().requires_grad_()
    loss = published(tiny(), content, style, wide)
    (exact,) = torch.autograd.grad(loss, wide)
    assert sum(parts.values()) == pytest.approx(float(loss.detach()), rel=1e-5)
    torch.testing.assert_close(found.double(), exact, rtol=1e-3, atol=1e-5 * float(exact.abs().max()))


@pytest.mark.parametrize("size", [(160, 232), (167, 231)], ids=["multiples of the stride", "odd sides"])
@pytest.mark.parametrize("masked", [False, True])
def test_tiles_give_what_the_whole_picture_gives(size: tuple[int, int], masked: bool) -> None:
    content, style, painting = pictures(*size)
    features = tiny()
    weights = Weights(1.0, 10.0, 0.5, EVEN, {"relu3_1": 1.0}, strength=0.7)
    mask = (torch.arange(size[1]) < 90).float().expand(1, 1, *size)
    target = targets(features, style)
    regions = [Region(mask, target), Region(1 - mask, targets(features, content))] if masked else [Region(None, target)]
    whole, wholly = gradient(Objective(features, weights, content, regions), painting)
    tiled, in_tiles = gradient(Objective(features, weights, content, regions, tile=80), painting)
    assert tiled == pytest.approx(whole, rel=5e-4)  # G - A is a hundredth of either; seen: 6e-5
    torch.testing.assert_close(in_tiles, wholly, rtol=1e-3, atol=1e-5 * float(wholly.abs().max()))


def apart(monkeypatch: pytest.MonkeyPatch, halo: int) -> float:
    """Return how far the gradient of two tiles is from that of the whole, with features that see as far as a VGG."""
    monkeypatch.setattr(windows, "HALO", halo)
    features = load_features()
    weights = Weights(
        1.0, 10.0, 0.0, dict.fromkeys(features.style_layers, 1.0), dict.fromkeys(features.content_layers, 1.0)
    )
    content, style, painting = pictures(96, 288)
    target = measured(features, weights.style_layers, style, None)
    found = []
    for tile in (None, 144):
        loss = Objective(features, weights, content, [Region(None, target)], tile=tile)
        found.append(gradient(loss, painting)[1])
    return float((found[1] - found[0]).norm() / found[0].norm())


def test_tiles_look_as_far_beyond_themselves_as_a_vgg_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    enough, less = apart(monkeypatch, windows.HALO), apart(monkeypatch, 16)
    assert enough < 1e-3
    assert less > 10 * enough


@pytest.mark.parametrize("size", [(160, 232), (167, 231)], ids=["multiples of the stride", "odd sides"])
def test_gram_matrices_in_tiles_are_those_of_the_whole(size: tuple[int, int]) -> None:
    features, (picture, *_) = tiny(), pictures(*size)
    whole, tiled = (measured(features, EVEN, picture, tile) for tile in (None, 80))
    plain = targets(features, picture)
    for name in STYLE_LAYERS:
        torch.testing.assert_close(whole[name], plain[name], rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(tiled[name], whole[name], rtol=1e-4, atol=1e-6)
    balanced = [tiny(), tiny()]
    for one, tile in zip(balanced, (None, 80), strict=True):
        one.balance([picture], STYLE_LAYERS, tile)
        assert one.turns["relu2_1"].diag().std() > 0
    torch.testing.assert_close(*(one.turns["relu3_1"] for one in balanced), rtol=1e-4, atol=1e-4)


def test_maps_of_half_floats_are_summed_in_whole_ones() -> None:
    maps = torch.rand(1, 4, 30, 40).bfloat16().requires_grad_()
    (found,) = grams({"a": maps}, {}).values()
    rows = maps.detach().double()[0].flatten(1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), rows @ rows.T, rtol=1e-5, atol=0)
    weights = torch.rand(4, 4)
    (slope,) = torch.autograd.grad((found * weights).sum(), maps)
    assert slope.dtype == torch.bfloat16
    exact = ((weights + weights.T).double() @ rows).view_as(slope)
    torch.testing.assert_close(slope.double(), exact, rtol=2**-6, atol=1e-3)


def test_many_equal_pixels_are_summed_without_losing_digits() -> None:
    maps = torch.tensor([0.3, 0.7, 1.1]).view(1, 3, 1, 1).expand(1, 3, 800, 1000)
    column = maps[0, :, 0, 0].double()
    exact = 800_000 * column[:, None] * column
    torch.testing.assert_close(grams({"a": maps}, {})["a"].double(), exact, rtol=2e-4, atol=0)  # at once: 1e-2


def test_a_loss_of_half_floats_is_nearly_that_of_whole_ones() -> None:
    content, style, painting = pictures(64, 80)
    parts = []
    for dtype in (torch.float32, torch.bfloat16):
        features = tiny().computing_in(dtype)
        weights = Weights(1.0, 10.0, 0.5, EVEN, {"relu3_1": 1.0})
        target = measured(features, EVEN, style, None)
        parts.append(gradient(Objective(features, weights, content, [Region(None, target)]), painting)[0])
    assert parts[1] == pytest.approx(parts[0], rel=0.05)
    assert parts[1] != parts[0]


def test_a_region_is_blind_to_what_is_outside_of_it() -> None:
    content, style, painting = pictures()
    features = tiny()
    weights = Weights(0.0, 1.0, 0.0, EVEN, {"relu3_1": 1.0})
    mask = torch.zeros(1, 1, 37, 50)
    mask[..., :20] = 1
    _, found = gradient(Objective(features, weights, content, [Region(mask, targets(features, style))]), painting)
    assert found[..., :16].abs().max() > 0
    assert found[..., 36:].abs().max() == 0  # farther than the network sees


def test_relative_losses_do_not_know_size_or_strength() -> None:
    one, other = torch.rand(4, 4), torch.rand(4, 4)
    torch.testing.assert_close(relative(7 * one, 7 * other), relative(one, other))
    assert relative(other * 0, other) == 1
    maps = {"a": torch.rand(1, 4, 5, 6)}
    large = {"a": maps["a"].repeat(1, 1, 3, 2)}
    torch.testing.assert_close(grams(large, {})["a"], 6 * grams(maps, {})["a"])


def test_a_basis_turns_gram_matrices_as_it_turns_maps() -> None:
    maps, basis = torch.rand(1, 4, 5, 6, dtype=torch.float64), torch.rand(4, 4, dtype=torch.float64)
    turned = torch.einsum("nchw,cd->ndhw", maps, basis)
    torch.testing.assert_close(grams({"a": maps}, {"a": basis})["a"], grams({"a": turned}, {})["a"])


def test_content_is_compared_without_the_basis() -> None:
    content, _, painting = pictures()
    plain, turned = tiny(), tiny()
    turned.bases["relu3_1"] = torch.nn.Parameter(torch.diag(torch.linspace(1, 5, 16)), requires_grad=False)
    weights = Weights(1.0, 0.0, 0.0, EVEN, {"relu3_1": 1.0})
    one, other = (Objective(features, weights, content, [])(painting)["content"] for features in (plain, turned))
    assert torch.equal(one, other)


def test_a_mixture_is_the_weighted_mean() -> None:
    one, other = {"a": torch.ones(2, 2)}, {"a": torch.full((2, 2), 5.0)}
    assert torch.equal(mixed([one, other], [3, 1])["a"], torch.full((2, 2), 2.0))


def test_total_variation_is_the_mean_of_squares() -> None:
    ramp = torch.arange(5.0).expand(1, 3, 4, 5)
    assert total_variation(ramp) == 1
    assert total_variation(torch.ones(1, 3, 1, 1)) == 0


def test_tiles_of_a_network_without_a_grid_are_refused() -> None:
    features = Features("squeeze", SqueezeTrunk(), ("relu1",), ("fire2",))
    weights = Weights(1.0, 1.0, 0.0, {"relu1": 1.0}, {"fire2": 1.0})
    with pytest.raises(UsageError, match="features that can be computed in tiles, such as a VGG's; got squeeze"):
        Objective(features, weights, None, [], tile=64)
