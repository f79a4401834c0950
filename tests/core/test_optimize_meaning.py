"""What must not be fused: whatever would change the meaning of a network."""

import copy
import operator
import pickle

import pytest
import torch
from torch import Tensor, fx, nn

from striate.core import layers, ops
from striate.core.layers import BatchNorm2d, BatchNormAct2d, Concat, Conv2d, ConvTranspose2d, ReLU, Upsample
from striate.core.optimize import FusedConv2d, optimize
from striate.core.optimize.fuse import IN_PLACE
from striate.tests.core.test_optimize import with_statistics


class Lambda(nn.Module):
    """A network of named layers and a function of them."""

    def __init__(self, function, **children) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def conv() -> Conv2d:
    return Conv2d(3, 3, 3, padding=1)


def equal(network: nn.Module, x: Tensor | None = None, *others: Tensor) -> None:
    """The fast copy answers as the network does."""
    with_statistics(network)
    x = torch.randn(2, 3, 9, 9) if x is None else x
    fast = optimize(network, x)
    with torch.no_grad():
        for one in (x, *others):
            torch.testing.assert_close(fast(one), network(one), atol=2e-5, rtol=1e-5)


def test_a_convolution_called_twice_keeps_both_meanings() -> None:
    equal(Lambda(lambda m, x: torch.relu(m.c(x)) - m.c(2 * x), c=conv()))
    equal(Lambda(lambda m, x: m.a(m.c(x)) - m.b(m.c(2 * x)), c=conv(), a=BatchNorm2d(3), b=BatchNorm2d(3)))
    equal(Lambda(lambda m, x: m.c(x) + m.d(m.c(x)), c=conv(), d=conv()))


class Standardized(nn.Conv2d):
    """A convolution that is not what its base is."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return nn.functional.conv2d(x, weight, self.bias, padding=1)


class Doubled(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


@pytest.mark.parametrize("norm", [BatchNormAct2d(3), Doubled(3)], ids=repr)
def test_subclasses_that_compute_something_else_stay(norm: nn.Module) -> None:
    equal(nn.Sequential(conv(), norm))
    equal(Lambda(lambda m, x: m.n(m.c(x), x), c=conv(), n=BatchNormAct2d(3)))
    equal(nn.Sequential(Standardized(3, 3, 3), BatchNorm2d(3), ReLU()))


def test_our_layers_and_torchs_are_fused_alike() -> None:
    for kit in (nn, layers):
        fast = optimize(
            nn.Sequential(kit.Conv2d(3, 3, 3), kit.BatchNorm2d(3), kit.SiLU()).eval(), torch.rand(1, 3, 9, 9)
        )
        assert [type(m) for m in fast.modules() if not list(m.children())] == [FusedConv2d]


def test_hooks_are_called() -> None:
    network = nn.Sequential(conv(), ReLU())
    network[0].register_forward_hook(lambda layer, inputs, output: output + 20)
    equal(network)


def test_an_input_by_keyword() -> None:
    equal(Lambda(lambda m, x: torch.relu(m.c(input=x)), c=conv()))


def test_a_map_that_a_moved_convolution_still_reads_is_not_overwritten() -> None:
    def forward(m, x: Tensor) -> Tensor:
        o = m.c0(x)
        a = m.c1(x)
        r = m.c2(o)
        t = a + o
        return r + t

    equal(Lambda(forward, c0=conv(), c1=conv(), c2=conv()))


@pytest.mark.parametrize("change", ["method", "function", "module", "operator"])
def test_a_convolution_does_not_move_past_what_changes_its_input(change: str) -> None:
    def forward(m, x: Tensor) -> Tensor:
        o = m.c0(x)
        a = m.c1(o)
        if change == "method":
            o = o.relu_()
        elif change == "function":
            o = nn.functional.relu(o, inplace=True)
        elif change == "module":
            o = m.act(o)
        else:
            o *= 2
        return a + o

    equal(Lambda(forward, c0=conv(), c1=conv(), act=nn.ReLU(inplace=True)))


def test_all_operators_in_place_are_known() -> None:
    assert {operator.iadd, operator.imul, operator.isub, operator.itruediv, operator.setitem} <= IN_PLACE
    assert not {operator.add, operator.is_, operator.index, operator.invert} & IN_PLACE


@pytest.mark.parametrize("name", ["ReLU", "ReLU6", "SiLU", "LeakyReLU", "Sigmoid", "Tanh", "Hardsigmoid", "Hardswish"])
def test_nan_stays_nan(name: str) -> None:
    x = torch.randn(1, 3, 9, 9)
    x[0, 1, 4, 4] = float("nan")
    for network in (
        nn.Sequential(Conv2d(3, 3, 3, padding=1), getattr(nn, name)()),
        Lambda(lambda m, x: m.act(m.c(x) + x), c=conv(), act=getattr(nn, name)()),
    ):
        expected = network(x).isnan()
        assert expected.any()
        assert torch.equal(optimize(network, x)(x).isnan(), expected)


def test_a_sum_that_broadcasts_at_another_size() -> None:
    squeeze = Lambda(lambda m, x: m.a(x) + m.b(x.mean((2, 3), keepdim=True)), a=conv(), b=Conv2d(3, 3, 1))
    equal(squeeze, torch.randn(1, 3, 1, 1), torch.randn(1, 3, 8, 8))
    plus = Lambda(lambda m, x: m.pool(x.mean((2, 3), keepdim=True)) + x, pool=nn.AvgPool2d(1))
    equal(plus, torch.randn(1, 3, 1, 1), torch.randn(1, 3, 8, 8))


def test_other_dtypes_and_one_image_without_a_batch() -> None:
    equal(nn.Sequential(conv(), ReLU()).double(), torch.randn(1, 3, 9, 9, dtype=torch.float64))
    equal(nn.Sequential(conv(), ReLU()), torch.randn(3, 9, 9))


def test_a_fast_copy_can_be_copied_pickled_and_loaded() -> None:
    x = torch.randn(1, 3, 9, 9)
    fast, other = (optimize(nn.Sequential(conv(), nn.SiLU()), x) for _ in range(2))
    for again in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast.graph))):
        torch.testing.assert_close(again(x), fast(x), atol=2e-5, rtol=1e-5)
    assert not torch.allclose(other(x), fast(x))
    other.load_state_dict(fast.state_dict())
    torch.testing.assert_close(other(x), fast(x), atol=2e-5, rtol=1e-5)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.up, self.side, self.cat = conv(), ConvTranspose2d(3, 3, 2, 2), conv(), Concat()
        self.pool, self.enlarge, self.last = nn.MaxPool2d(2), Upsample(scale_factor=2), Conv2d(6, 2, 1)
        self.mix = nn.Parameter(torch.randn(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        low = self.pool(self.down(x))
        joined = self.cat(self.up(low), self.side(x))
        more = self.cat(self.enlarge(low, x), x)
        return self.last(joined + more) @ self.mix


def test_bfloat16_meets_layers_that_stay_in_float32() -> None:
    network, x = UNet().eval(), torch.randn(1, 3, 8, 8)
    got = optimize(network, x, precision="bf16")(x)
    assert got.dtype == torch.float32
    assert 0 < (got - network(x)).norm() < 0.05 * network(x).norm()


@pytest.mark.parametrize("given", ["bfloat16", "autocast"])
def test_one_launch_and_step_by_step_give_one_dtype(given: str) -> None:
    x, weight, scale = torch.randn(1, 3, 5, 5), torch.randn(4, 3, 3, 3), torch.randn(4)
    with torch.autocast("cpu", torch.bfloat16, enabled=given == "autocast"):
        if given == "bfloat16":
            x, weight = x.bfloat16(), weight.bfloat16()
        assert ops.fused_conv2d(x, weight, scale=scale, activation="relu").dtype == torch.bfloat16


def test_graph_of_the_fused_network_is_valid() -> None:
    fast = optimize(UNet().eval(), torch.randn(1, 3, 8, 8), precision="bf16")
    assert isinstance(fast.graph, fx.GraphModule)
    fast.graph.graph.lint()
