"""One network, inputs of many shapes: every answer is right, and copies are made only for shapes that come again."""

import pytest
import torch
from torch import Tensor, nn

from striate.core.layers import Conv2d
from striate.core.models.blocks import ConvBnAct, Residual
from striate.core.optimize import FusedConv2d, Optimized, optimize
from striate.core.optimize import copies as module
from striate.core.optimize.copies import FastCopies, packed_for


class Ladder(nn.Module):
    """A residual, a sum and a result, as in the task rooms."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.residual = ConvBnAct(3, 8, stride=2), Residual(8)
        self.beside, self.result = Conv2d(8, 8, 1), Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.result(self.residual(x) + self.beside(x))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return Ladder().eval()


def images(*sides: int) -> list[Tensor]:
    return [torch.rand(1, 3, side, 24) for side in sides]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_shape_gets_the_bits_of_a_copy_of_its_own(network: nn.Module, precision: str) -> None:
    """The first shape is the smallest there is, where a map that is added might pass for one that is broadcast."""
    fast = FastCopies(network, precision=precision)
    for x in images(2, 32, 6, 32, 2, 64, 32):
        assert torch.equal(fast(x), optimize(network, x, precision=precision)(x))
        if precision == "fp32":
            torch.testing.assert_close(fast(x), network(x), atol=2e-5, rtol=1e-5)


def test_copies_are_made_for_shapes_that_come_again(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    packed, optimized = [], []

    def pack(fast: Optimized, x: Tensor) -> Optimized:
        packed.append(x.shape[2])
        return packed_for(fast, x)

    def make(network: nn.Module, x: Tensor, *, precision: str) -> Optimized:
        optimized.append(1)
        return optimize(network, x, precision=precision)

    monkeypatch.setattr(module, "packed_for", pack)
    monkeypatch.setattr(module, "optimize", make)
    fast = FastCopies(network)
    for x in images(*range(8, 208, 2)):
        fast(x)
    assert (len(optimized), packed, len(fast.copies)) == (1, [], 1)
    for x in images(20, 20, 30, 8):
        fast(x)
    assert packed == [20, 30]


def test_the_copy_used_longest_ago_makes_room(network: nn.Module) -> None:
    fast = FastCopies(network, most=2)
    for x in images(8, 10, 10, 8, 12, 12):
        fast(x)
    assert [shape[2] for shape in fast.copies] == [8, 12]
    x = images(10)[0]
    torch.testing.assert_close(fast(x), network(x), atol=2e-2, rtol=2e-2)


def test_heavy_networks_keep_fewer_copies(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum(4 * p.numel() for p in network.parameters())
    monkeypatch.setattr(module, "COPIES_BYTES", 3 * size)
    assert FastCopies(network).most == 3
    monkeypatch.setattr(module, "COPIES_BYTES", 10)
    heavy = FastCopies(network)
    for x in images(8, 10, 10, 10):
        heavy(x)
    assert [shape[2] for shape in heavy.copies] == [8]


def test_shapes_that_came_once_are_forgotten_in_time(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 3)
    fast = FastCopies(network)
    for x in images(8, 10, 12, 14, 16):
        fast(x)
    assert [shape[2] for shape in fast.once] == [12, 14, 16]


def test_copies_share_all_but_what_is_packed(network: nn.Module) -> None:
    first, second = images(8, 16)
    one = optimize(network, first)
    other = packed_for(one, second)
    pairs = list(zip(one.parameters(), other.parameters(), strict=True))
    assert pairs
    assert all(a.data_ptr() == b.data_ptr() for a, b in pairs)
    layers = [[m for m in part.modules() if isinstance(m, FusedConv2d)] for part in (one, other)]
    assert all(a is not b for a, b in zip(*layers, strict=True))
    assert [layer.packed is None for layer in layers[1]] == [layer.packed is None for layer in layers[0]]


@pytest.mark.gpu
def test_on_a_gpu_one_copy_serves_all_shapes(network: nn.Module) -> None:
    fast = FastCopies(network.cuda(), precision="fp32")
    for x in images(8, 16, 16, 8):
        torch.testing.assert_close(fast(x.cuda()), network(x.cuda()), atol=2e-3, rtol=2e-3)
    assert len(fast.copies) == 1
