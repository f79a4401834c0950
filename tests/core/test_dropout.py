"""Dropout: the masks' statistics, the same mask forward and backward, and what torch does at the ends."""

from __future__ import annotations

import pytest
import torch

from striate.core import layers, ops
from striate.core.checks import UsageError

kernel = pytest.mark.kernel

RAW = {"dropout": lambda: (torch.randn(2, 4, 5, 6).requires_grad_(), torch.tensor([7]), 0.3, True)}

COMPILE = {
    "dropout": (lambda x: ops.dropout(x, 0.3), ((8, 64, 64, 64),)),
    "dropout of channels": (lambda x: ops.dropout2d(x, 0.3), ((8, 64, 64, 64),)),
}


@kernel
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=["fp32", "fp16", "bf16"])
def test_the_share_kept_and_its_scale(p, dtype) -> None:
    torch.manual_seed(0)
    y = ops.dropout(torch.ones(100, 401, dtype=dtype), p)
    assert y.dtype == dtype
    kept = (y != 0).double()
    assert abs(kept.mean().item() - (1 - p)) < 4 * (p * (1 - p) / y.numel()) ** 0.5  # four standard deviations
    assert torch.all(y[y != 0] == torch.tensor(1 / (1 - p), dtype=dtype))


@kernel
def test_neighbours_and_calls_are_independent() -> None:
    torch.manual_seed(0)
    first, second = ((ops.dropout(torch.ones(40_000), 0.5) > 0).double() - 0.5 for _ in range(2))
    for other in (second, first.roll(1), first.roll(4)):
        assert abs((first * other).mean().item()) < 4 * 0.25 / 40_000**0.5


@kernel
def test_the_seed_repeats_a_mask_and_tiles_do_not_change_it(monkeypatch) -> None:
    from striate.core.kernels import tiles

    x = torch.ones(3, 5, 7, 6)
    torch.manual_seed(3)
    first = ops.dropout(x, 0.5)
    torch.manual_seed(3)
    monkeypatch.setattr(tiles, "power", lambda size, most: 32)
    assert torch.equal(ops.dropout(x, 0.5), first)
    assert not torch.equal(ops.dropout(x, 0.5), first)


@kernel
@pytest.mark.parametrize("wide", [False, True], ids=["int32", "int64"])
@pytest.mark.parametrize("function", [ops.dropout, ops.dropout2d, ops.drop_connect], ids=lambda f: f.__name__)
def test_backward_replays_the_mask(function, wide, monkeypatch) -> None:
    from striate.core.kernels import launch

    if wide:
        monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    x = torch.rand(3, 8, 5, 4).add(1).requires_grad_()
    y = function(x, 0.4)
    incoming = torch.randn(3, 8, 4, 5).transpose(2, 3)  # strides of its own
    y.backward(incoming)
    torch.testing.assert_close(x.grad, incoming * (y != 0) / 0.6)
    x.grad = None
    function(x, 0.4).sum().backward()  # a gradient of stride 0
    assert x.grad is not None
    assert x.grad.count_nonzero() > 0


@kernel
def test_whole_channels_fall() -> None:
    torch.manual_seed(0)
    y = ops.dropout2d(torch.ones(20, 30, 3, 4), 0.5)
    alive = (y != 0).flatten(2)
    assert torch.equal(alive.any(2), alive.all(2))
    assert 0.4 < alive.any(2).double().mean() < 0.6
    assert alive.any(2).double().mean(0).std() < 0.25  # not the same channels in every image


@kernel
@pytest.mark.filterwarnings("ignore:invalid value encountered in multiply:RuntimeWarning")  # NumPy's, of 0 * inf
def test_the_ends() -> None:
    x = torch.tensor([1.0, float("nan"), float("inf"), 2.0])
    assert ops.dropout(x, 0.0) is x
    assert ops.dropout(x, 0.9, training=False) is x
    with ops.kernels("torch"):
        expected = ops.dropout(x, 1.0)
    torch.testing.assert_close(ops.dropout(x, 1.0), expected, equal_nan=True)
    assert ops.dropout(torch.zeros(0, 3), 0.5).shape == (0, 3)
    assert ops.dropout(torch.tensor(1.0), 0.5).shape == ()


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_a_probability_is_asked_for(p) -> None:
    with pytest.raises(UsageError, match=f"a probability from 0 to 1; got p = {p}"):
        ops.dropout(torch.zeros(2), p)
    with pytest.raises(UsageError, match=r"a tensor \(N, C, H, W\); got shape \(2,\)"):
        ops.dropout2d(torch.zeros(2))


def test_layers() -> None:
    torch.manual_seed(0)
    assert isinstance(layers.Dropout(0.3), torch.nn.Dropout)
    assert isinstance(layers.Dropout2d(0.3), torch.nn.Dropout2d)
    layer, x = layers.DropConnectLinear(50, 40, p=0.5), torch.randn(8, 50)
    plain = torch.nn.functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer.eval()(x), plain, atol=1e-5, rtol=1e-5)
    outs = torch.stack([layer.train()(x) for _ in range(400)])
    # The mean over masks is the layer at test time: standard error of an output's mean is its deviation / 20.
    assert ((outs.mean(0) - plain).abs() / (outs.std(0) / 20)).max() < 5
