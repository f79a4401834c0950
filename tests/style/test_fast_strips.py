"""Painting in strips: the whole picture's answer, of any size, and statistics that follow a video."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from striate.core.checks import UsageError
from striate.style.fast_network import FastNetwork, Residual, Stage, usual_grain
from striate.style.fast_strips import Steady, bytes_per_pixel, paint_in_strips


def network(**keywords: int) -> FastNetwork:
    """Return a random one whose norms are not the identity."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = FastNetwork((4, 6, 8), **{"blocks": 2, **keywords})
        for name, parameter in found.named_parameters():
            if "norm" in name:
                torch.nn.init.uniform_(parameter, 0.2, 2.0)
    return found.eval()


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def test_strips_give_what_the_network_gives() -> None:
    ours, images = network(), pictures(2, 3, 32, 48)
    exact = network().double()(images.double(), usual_grain(32, 48))
    for strip in (2**22, 5000, 1):
        painted = paint_in_strips(ours, images, strip=strip)
        torch.testing.assert_close(painted.double(), exact, rtol=0, atol=8e-6)  # 1e-6 seen


@pytest.mark.parametrize("size", [(16, 16), (17, 16), (18, 31), (19, 33), (64, 21)], ids=str)
def test_odd_sizes_are_painted_whole_whatever_the_strips(size: tuple[int, int]) -> None:
    images = pictures(1, 3, *size)
    whole, parts = (paint_in_strips(network(), images, strip=strip) for strip in (2**22, 300))
    assert whole.shape == images.shape
    torch.testing.assert_close(whole, parts, rtol=0, atol=8e-6)


def test_an_odd_picture_is_painted_like_the_even_one_that_it_was_cut_from() -> None:
    images, grain = pictures(1, 3, 96, 96), usual_grain(96, 96)
    whole = paint_in_strips(network(), images, grain)
    cut = paint_in_strips(network(), images[:, :, :95, :93], grain[:, :, :95, :93])
    assert float((whole[:, :, :40, :40] - cut[:, :, :40, :40]).abs().mean()) < 0.01


def test_grain_puts_something_into_flat_skies_and_is_the_same_each_time() -> None:
    sky = torch.full((1, 3, 32, 32), 0.7)
    plain = paint_in_strips(network(), sky, torch.zeros(1, 1, 32, 32))
    painted = paint_in_strips(network(), sky)
    assert float(plain.std((2, 3)).max()) < 1e-3 < float(painted.std((2, 3)).min())
    assert torch.equal(painted, paint_in_strips(network(), sky, usual_grain(32, 32)))


def test_a_batch_is_painted_as_each_alone() -> None:
    images = pictures(3, 3, 24, 20)
    together = paint_in_strips(network(), images)
    alone = torch.cat([paint_in_strips(network(), image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=0, atol=8e-6)


def test_flat_pictures_are_painted() -> None:
    assert torch.isfinite(paint_in_strips(network(), torch.zeros(1, 3, 16, 16))).all()


def test_the_first_picture_of_a_video_is_painted_as_alone_and_the_next_remembers_it() -> None:
    first, second = pictures(2, 3, 24, 24).mul(torch.tensor([1.0, 0.3])[:, None, None, None]).split(1)
    steady = Steady(0.9)
    torch.testing.assert_close(paint_in_strips(network(), first, steady=steady), paint_in_strips(network(), first))
    assert len(steady.kept) == 2 + 2 * 2 + 2 + 1
    again = paint_in_strips(network(), first, steady=steady)
    torch.testing.assert_close(again, paint_in_strips(network(), first), rtol=0, atol=8e-6)
    alone = paint_in_strips(network(), second)
    assert not torch.allclose(paint_in_strips(network(), second, steady=steady), alone, atol=1e-2)
    torch.testing.assert_close(paint_in_strips(network(), second, steady=Steady(0.0)), alone)


def test_what_is_remembered_takes_the_place_of_a_picture_s_own_statistics() -> None:
    class Fixed(nn.Module):
        def __init__(self, norm: nn.Module, statistics: tuple[torch.Tensor, torch.Tensor]) -> None:
            super().__init__()
            self.norm, self.statistics = norm, [one[0].double() for one in statistics]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.batch_norm(x, *self.statistics, self.norm.weight, self.norm.bias, eps=self.norm.eps)  # type: ignore[arg-type]

    first, second = pictures(2, 3, 16, 24).mul(torch.tensor([1.0, 0.3])[:, None, None, None]).split(1)
    steady = Steady(1 - 1e-9)
    paint_in_strips(network(), first, steady=steady)
    exact = network().double()
    stages = [stage for stage in exact.modules() if isinstance(stage, Stage) and stage.norm is not None]
    for stage, statistics in zip(stages, steady.kept, strict=True):
        stage.norm = Fixed(stage.norm, statistics)  # type: ignore[assignment, arg-type]
    wanted = exact(second.double(), usual_grain(16, 24))
    torch.testing.assert_close(paint_in_strips(network(), second, steady=steady).double(), wanted, rtol=0, atol=8e-6)


def test_statistics_are_those_of_the_pictures_before_by_their_weight() -> None:
    steady = Steady(0.75)
    one, two = torch.full((1, 2), 1.0), torch.full((1, 2), 5.0)
    assert steady.mixed(0, one, one)[0].tolist() == [[1.0, 1.0]]
    assert steady.mixed(0, two, one)[0].tolist() == [[2.0, 2.0]]
    assert steady.mixed(0, two, one)[0].tolist() == [[2.75, 2.75]]


@pytest.mark.parametrize(("weight", "words"), [(1, "steady below 1; got 1; "), (1.5, "steady to lie between 0 and 1")])
def test_a_weight_that_forgets_nothing_is_refused(weight: float, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Steady(weight)


@pytest.mark.parametrize("widths", [(16, 32, 64), (8, 16, 256), (4, 64, 8)])
def test_no_layer_takes_more_than_is_told_for_a_pixel(widths: tuple[int, int, int]) -> None:
    ours = FastNetwork(widths, 1)
    sides, most, side = [1.0], 0.0, 1.0
    before = 4
    for layer in ours.layers:
        stage = layer.first if isinstance(layer, Residual) else layer
        assert isinstance(stage, Stage)
        taken = (2 if isinstance(layer, Residual) else 1) * before * side**2
        side = side / int(stage.conv.stride[0]) * stage.enlarge
        sides.append(side)
        before = stage.conv.out_channels
        most = max(most, 4 * (taken + before * side**2))
    assert side == 1
    assert most + 4 * 7 <= bytes_per_pixel(ours)
    assert bytes_per_pixel(FastNetwork((16, 32, 64), 1)) == 160
