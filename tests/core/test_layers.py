"""Layers: torch.nn's state_dict and results on every road."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.core import layers
from striate.core.checks import UsageError

LAYERS = {
    "conv": ("Conv2d", (4, 6, 3), {"stride": 2, "padding": 1}),
    "conv, grouped, without bias": ("Conv2d", (4, 4, 3), {"groups": 2, "bias": False, "dilation": 2}),
    "conv, reflected edges": ("Conv2d", (4, 6, 3), {"padding": 1, "padding_mode": "reflect"}),
    "conv, same": ("Conv2d", (4, 6, 3), {"padding": "same"}),
    "batch norm": ("BatchNorm2d", (4,), {}),
    "batch norm, average of all batches": ("BatchNorm2d", (4,), {"momentum": None}),
    "batch norm without running statistics": ("BatchNorm2d", (4,), {"track_running_stats": False}),
    "batch norm without parameters": ("BatchNorm2d", (4,), {"affine": False}),
    "relu": ("ReLU", (), {}),
    "leaky relu": ("LeakyReLU", (0.1,), {}),
    "silu": ("SiLU", (), {}),
    "sigmoid": ("Sigmoid", (), {}),
    "tanh": ("Tanh", (), {}),
    "max pool": ("MaxPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}),
    "avg pool": ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}),
    "upsample": ("Upsample", (), {"scale_factor": 2}),
    "upsample to a size": ("Upsample", (), {"size": (5, 9), "mode": "bilinear", "align_corners": True}),
}
ALL = pytest.mark.parametrize(("name", "args", "keywords"), LAYERS.values(), ids=LAYERS.keys())


def twins(name, args, keywords):
    torch.manual_seed(0)
    theirs = getattr(nn, name)(*args, **keywords)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.5)
    ours = getattr(layers, name)(*args, **keywords)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def compare(ours, theirs, atol) -> None:
    assert isinstance(ours, type(theirs))
    for mode in ("train", "train", "eval"):
        x = torch.randn(2, 4, 6, 7)
        mine, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        out, expected = getattr(ours, mode)()(mine), getattr(theirs, mode)()(other)
        torch.testing.assert_close(out, expected, rtol=0, atol=atol)
        out.square().sum().backward()
        expected.square().sum().backward()
        torch.testing.assert_close(mine.grad, other.grad, rtol=0, atol=20 * atol)
    for (key, value), same in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(value, same, rtol=0, atol=atol, msg=key)
    theirs.load_state_dict(ours.state_dict())


@pytest.mark.skipif("__import__('os').environ.get('TRITON_INTERPRET') == '1'", reason="torch's road, to the bit")
@ALL
def test_cpu_results_are_those_of_torch_nn(name, args, keywords) -> None:
    compare(*twins(name, args, keywords), atol=0)


@pytest.mark.kernel
@ALL
def test_kernel_results_are_those_of_torch_nn(name, args, keywords) -> None:
    compare(*twins(name, args, keywords), atol=1e-5)  # sums of 36 terms of size 1: 8 * 7 * 2^-24 = 3e-6, and weights


def test_relu_in_place_works_in_place_on_torchs_road() -> None:
    from striate.core import ops

    x = torch.tensor([-1.0, 2.0])
    with ops.kernels("torch"):
        assert layers.ReLU(inplace=True)(x) is x


def test_what_the_layers_do_not_do_is_refused() -> None:
    with pytest.raises(UsageError, match="MaxPool2d without return_indices"):
        layers.MaxPool2d(2, return_indices=True)(torch.zeros(1, 1, 4, 4))
    with pytest.raises(UsageError, match="Upsample without recompute_scale_factor"):
        layers.Upsample(scale_factor=2, recompute_scale_factor=True)(torch.zeros(1, 1, 4, 4))
    with pytest.raises(UsageError, match="upsample mode to be one of nearest, bilinear; got 'bicubic'"):
        layers.Upsample(scale_factor=2, mode="bicubic")(torch.zeros(1, 1, 4, 4))


@pytest.mark.kernel
def test_a_small_network_learns_on_the_kernels() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        layers.Conv2d(1, 8, 3, padding=1), layers.BatchNorm2d(8), layers.SiLU(), layers.MaxPool2d(4),
        nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip
    x = torch.zeros(8, 1, 4, 4)
    x[::2, :, :, 1] = 1  # even: a vertical line; odd: a horizontal one
    x[1::2, :, 1, :] = 1
    target = torch.arange(8) % 2
    optimizer = torch.optim.Adam(network.parameters(), 0.05)
    for _ in range(12):
        loss = nn.functional.cross_entropy(network(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1
