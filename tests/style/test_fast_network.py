"""The network that paints in one pass: its layers against float64 torch, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from striate.core.checks import UsageError
from striate.style.fast_network import FastNetwork, InstanceNorm2d, Stage, usual_grain


def test_instance_norm_is_torch_s_in_float64_with_its_gradients() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours, theirs = InstanceNorm2d(5, affine=True), nn.InstanceNorm2d(5, affine=True).double()
        nn.init.uniform_(ours.weight)
        nn.init.uniform_(ours.bias)
        x = torch.randn(3, 5, 7, 6, requires_grad=True)
    theirs.load_state_dict(ours.state_dict())
    exact = x.detach().double().requires_grad_()
    found, wanted = ours(x), theirs(exact)
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=4e-6)  # 5e-7 seen
    found.square().sum().backward()
    wanted.square().sum().backward()
    torch.testing.assert_close(x.grad.double(), exact.grad, rtol=0, atol=2e-5)  # type: ignore[union-attr]
    torch.testing.assert_close(ours.weight.grad.double(), theirs.weight.grad, rtol=1e-5, atol=1e-4)  # type: ignore[union-attr]


def test_paintings_have_the_picture_s_size_and_lie_in_the_unit_range() -> None:
    painted = FastNetwork((4, 6, 8), 1)(torch.rand(2, 3, 32, 48))
    assert painted.shape == (2, 3, 32, 48)
    assert 0 < painted.min() < painted.max() < 1


def test_contrast_and_brightness_of_a_picture_do_not_reach_the_second_layer() -> None:
    stage = Stage(3, 4, 9)
    picture = torch.rand(1, 3, 24, 24)
    torch.testing.assert_close(stage(picture), stage(0.2 * picture + 0.5), rtol=0, atol=2e-2)


def test_an_enlarged_map_has_no_chequerboard() -> None:
    stage = Stage(2, 3, 3, enlarge=2, norm=False, activation=None)
    flat = stage(torch.ones(1, 2, 5, 5))
    torch.testing.assert_close(flat, flat[:, :, :1, :1].expand_as(flat), rtol=0, atol=1e-6)


def test_grain_is_drawn_anew_in_training_and_taken_where_it_is_given() -> None:
    network, pictures = FastNetwork((4, 6, 8), 1), torch.rand(2, 3, 32, 32)
    assert not torch.equal(network(pictures), network(pictures))
    grain = usual_grain(32, 32)
    assert torch.equal(grain, usual_grain(32, 32))
    assert torch.equal(network(pictures, grain), network(pictures, grain.repeat(2, 1, 1, 1)))


def test_every_parameter_is_learned() -> None:
    network = FastNetwork((4, 6, 8), 2)
    network(torch.rand(2, 3, 32, 32)).square().sum().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not idle


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        (
            {"widths": (8, 16)},
            r"three widths, at full, half and a quarter of the size; got \(8, 16\); pass \(16, 32, 64",
        ),
        ({"widths": (8, 0, 16)}, "widths to be a whole number, 1 or more; got 0"),
        ({"blocks": 1.5}, "blocks to be a whole number, 1 or more; got 1.5"),
    ],
)
def test_what_no_network_can_be_is_said(keywords: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        FastNetwork(**keywords)
