"""The fast copy computes what the network computes, at other shapes too, and leaves the network alone."""

import copy

import pytest
import torch
from torch import Tensor, nn

from striate.benchmarks.networks import NETWORKS
from striate.core.checks import UsageError
from striate.core.layers import BatchNorm2d, Conv2d, LeakyReLU, MaxPool2d, ReLU, Sigmoid, SiLU, Tanh
from striate.core.optimize import FusedConv2d, optimize
from striate.detection.model import YoloNet


def with_statistics(network: nn.Module) -> nn.Module:
    """Give batch norms running statistics that matter."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.mark.parametrize("activation", [SiLU(), ReLU(), LeakyReLU(0.2), Sigmoid(), Tanh(), nn.Identity()], ids=repr)
@pytest.mark.parametrize(
    "conv",
    [
        Conv2d(3, 8, 3, padding=1, bias=False),
        Conv2d(3, 8, 3, stride=2, dilation=2),
        Conv2d(3, 9, 1, groups=3),
    ],
    ids=repr,
)
def test_folded_layer_equals_the_three(conv: Conv2d, activation: nn.Module) -> None:
    network = with_statistics(nn.Sequential(conv, BatchNorm2d(conv.out_channels), activation, MaxPool2d(2)))
    x = torch.randn(2, 3, 14, 11)
    fast = optimize(network, x)
    assert sum(isinstance(m, FusedConv2d) for m in fast.modules()) == 1
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fast.modules())
    for other in (x, torch.randn(1, 3, 20, 17)):
        torch.testing.assert_close(fast(other), network(other), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "conv", [Conv2d(3, 8, 3, padding="same"), Conv2d(3, 8, 3, padding=1, padding_mode="reflect")], ids=repr
)
def test_padding_that_one_call_cannot_express_is_left_as_it_is(conv: Conv2d) -> None:
    network = with_statistics(nn.Sequential(conv, BatchNorm2d(8), SiLU()))
    x = torch.randn(1, 3, 14, 11)
    torch.testing.assert_close(optimize(network, x)(x), network(x), atol=2e-5, rtol=1e-5)


def test_whole_detector_equals_itself_and_is_left_alone() -> None:
    network = with_statistics(YoloNet(3))
    before = copy.deepcopy(network.state_dict())
    x = torch.rand(1, 3, 96, 64)
    fast = optimize(network, x)
    for ours, theirs in zip(fast(x), network(x), strict=True):
        torch.testing.assert_close(ours.classes, theirs.classes, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(ours.distances, theirs.distances, atol=1e-4, rtol=1e-4)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


class Branches(nn.Module):
    """The convolution is read by the norm and by the sum, so neither may be folded away."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = Conv2d(3, 3, 3, padding=1), BatchNorm2d(3), ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.act(self.norm(y)) + y


def test_convolution_with_two_readers_keeps_its_norm() -> None:
    network = with_statistics(Branches())
    x = torch.randn(1, 3, 9, 9)
    fast = optimize(network, x)
    assert any(isinstance(m, nn.BatchNorm2d) for m in fast.modules())
    torch.testing.assert_close(fast(x), network(x), atol=2e-5, rtol=1e-5)


def test_network_in_training_mode_is_optimized_for_inference() -> None:
    network = with_statistics(nn.Sequential(Conv2d(3, 4, 3), BatchNorm2d(4))).train()
    x = torch.randn(4, 3, 8, 8)
    fast = optimize(network, x)
    assert network.training
    torch.testing.assert_close(fast(x), network.eval()(x), atol=2e-5, rtol=1e-5)


class Picky(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_branch_on_a_value_is_refused() -> None:
    with pytest.raises(UsageError, match="expected a network without branches on values"):
        optimize(Picky(), torch.ones(1, 3, 4, 4))


def test_without_the_private_operations_the_answer_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.core.optimize.onednn_has_fused_convolution", lambda: False)
    network = with_statistics(nn.Sequential(Conv2d(3, 4, 3), BatchNorm2d(4), SiLU()))
    x = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(optimize(network, x)(x), network(x), atol=2e-5, rtol=1e-5)


def test_bfloat16_is_close_and_gives_float32_results() -> None:
    network = with_statistics(YoloNet(3))
    x = torch.rand(1, 3, 96, 64)
    exact = optimize(network, x)(x)
    for ours, theirs in zip(optimize(network, x, precision="bf16")(x), exact, strict=True):
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.dtype == torch.float32
            # bfloat16 keeps 8 bits: 0.4 % a layer, through some twenty layers in a row
            assert 0 < (mine - other).norm() < 0.05 * other.norm()


@pytest.mark.parametrize("native", [True, False])
def test_auto_follows_the_processor(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.core.optimize.has_bfloat16", lambda device: native)
    network = with_statistics(nn.Sequential(Conv2d(3, 4, 3), BatchNorm2d(4), SiLU(), Conv2d(4, 2, 1)))
    fast = optimize(network, torch.rand(1, 3, 8, 8), precision="auto")
    dtypes = [m.weight.dtype for m in fast.modules() if isinstance(m, FusedConv2d)]
    assert dtypes == [torch.bfloat16 if native else torch.float32, torch.float32]


def test_unknown_precision() -> None:
    with pytest.raises(UsageError, match="precision to be one of auto, fp32, bf16; got 'fp16'"):
        optimize(nn.Sequential(Conv2d(3, 4, 3)), torch.rand(1, 3, 8, 8), precision="fp16")


def test_sums_in_place_do_not_reach_the_input() -> None:
    class Plus(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return (x + y) + (y + 1)

    x = torch.randn(1, 3, 8, 8)
    network, before = Plus(), x.clone()
    torch.testing.assert_close(optimize(network, x)(x), network(x), atol=2e-5, rtol=1e-5)
    assert torch.equal(x, before)


class Sums(nn.Module):
    """Every order of convolution, norm, sum and activation that networks use."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.norm = BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.first(x)  # pre-activation residual
        x = nn.functional.leaky_relu(self.norm(self.second(x)) + x, 0.2)  # ResNet
        y = torch.sigmoid(self.third(x))
        return torch.add(y, x) + x


def test_sums_are_fused_in_whatever_order() -> None:
    network = with_statistics(Sums())
    x = torch.randn(2, 4, 9, 8)
    fast = optimize(network, x)
    before = x.clone()
    torch.testing.assert_close(fast(x), network(x), atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(fast(x), network(x), atol=2e-5, rtol=1e-5)  # nothing was overwritten that lasts
    assert torch.equal(x, before)
    called = [node for node in fast.graph.graph.nodes if node.op == "call_module"]
    assert [len(node.args) for node in called] == [2, 2, 1]
    assert sum("add" in str(node.target) for node in fast.graph.graph.nodes) == 2


class Overwritten(nn.Module):
    """A map that is read after the sum into which it goes, and one that is not."""

    def __init__(self, later: str) -> None:
        super().__init__()
        self.first, self.second, self.third, self.fourth = (Conv2d(3, 3, 3, padding=1) for _ in range(4))
        self.later = later

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        y = torch.relu(self.second(y) + y)  # reads y as the input, too
        z = torch.relu(self.third(x) + y)
        return {"by a product": lambda: z * y, "by a layer": lambda: z * self.fourth(y), "by nobody": lambda: z}[
            self.later
        ]()


@pytest.mark.parametrize("later", ["by a product", "by a layer", "by nobody"])
def test_a_sum_overwrites_only_what_nobody_reads_again(later: str) -> None:
    network = Overwritten(later)
    x = torch.randn(1, 3, 9, 8)
    fast = optimize(network, x)
    torch.testing.assert_close(fast(x), network(x), atol=2e-5, rtol=1e-5)
    assert [m.overwrite for m in fast.modules() if isinstance(m, FusedConv2d)][:3] == [
        False,
        False,
        later == "by nobody",
    ]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_whole_networks(name: str, precision: str) -> None:
    network = with_statistics(NETWORKS[name](nn, 10, 8))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # keep the values of size 1 through fifty layers
            nn.init.constant_(module.weight, 0.5)
    x = torch.randn(2, 3, 64, 64)
    expected = network(x)
    found = optimize(network, x, precision=precision)(x)
    assert found.dtype == torch.float32
    limit = 1e-5 if precision == "fp32" else 0.05  # worst seen 2e-6, 0.02
    assert (found - expected).norm() < limit * expected.norm()


def test_linear_layers_and_odd_ends_in_bfloat16() -> None:
    network = with_statistics(
        nn.Sequential(
            Conv2d(3, 8, 3), ReLU(), nn.GroupNorm(2, 8), nn.Flatten(), nn.Linear(8 * 36, 8), ReLU(), nn.Linear(8, 4),
            Sigmoid(),
        )
    )  # fmt: skip
    x = torch.randn(2, 3, 8, 8)
    fast = optimize(network, x, precision="bf16")
    assert [m.weight.dtype for m in fast.modules() if isinstance(m, nn.Linear)] == [torch.bfloat16, torch.float32]
    assert (fast(x) - network(x)).abs().max() < 0.02


@pytest.mark.gpu
def test_cuda_graphs_replay_for_each_shape() -> None:
    network = with_statistics(NETWORKS["ResNet-18"](nn, 10, 8)).cuda()
    fast = optimize(network, torch.randn(1, 3, 64, 64, device="cuda"))
    kept = []
    for batch, size in ((1, 64), (2, 64), (1, 96), (1, 64)):
        x = torch.randn(batch, 3, size, size, device="cuda")
        kept.append((fast(x), network(x)))
    assert len(fast.replay.recordings) == 3
    for found, expected in kept:  # results stay what they were after later replays
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)
