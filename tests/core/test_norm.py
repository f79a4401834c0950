"""Batch normalization: kernels under the interpreter against float64, statistics, and the running averages."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from striate.core import layers, ops
from striate.core.checks import UsageError
from striate.core.testing import assert_exact_enough, tolerance

kernel = pytest.mark.kernel


def image() -> torch.Tensor:
    return torch.randn(2, 4, 5, 6)


HOW = ("silu", 0.0, 1e-5)
RAW = {
    "batch_norm_train": lambda: (image().requires_grad_(), torch.randn(4).requires_grad_(), None, image(), *HOW),
    "batch_norm_apply": lambda: (
        image().requires_grad_(), torch.randn(4).requires_grad_(), None, None, torch.zeros(4), torch.ones(4), None,
        *HOW[1:],
    ),
    "batch_norm_gradient": lambda: (
        image(), image(), None, None, image(), torch.zeros(4), torch.ones(4), *HOW, True, True,
    ),
    "batch_norm_update": lambda: (torch.zeros(4), torch.ones(4), torch.zeros(4), torch.ones(4), 60, 0.1),
}  # fmt: skip


def normalize(training, **after):
    return lambda x, weight, bias: ops.batch_norm(x, weight, bias, torch.zeros(64), torch.ones(64), training, **after)


COMPILE = {
    f"batch norm, {'training' if training else 'inference'}": (normalize(training), ((8, 64, 64, 64), (64,), (64,)))
    for training in (True, False)
} | {
    "batch norm, sum and activation": (
        lambda x, w, b, r: ops.batch_norm(x, w, b, None, None, True, residual=r, activation="silu"),
        ((8, 64, 64, 64), (64,), (64,), (8, 64, 64, 64)),
    ),
    "batch norm and relu": (normalize(False, activation="relu"), ((8, 64, 64, 64), (64,), (64,))),
}

SHAPES = {
    "odd sizes": (3, 5, 7, 9),
    "one channel": (2, 1, 3, 3),
    "1x1 map, channels not a multiple of the block": (4, 70, 1, 1),
    "two values a channel": (2, 4, 1, 1),
}


def tensors(shape, dtype=torch.float32, mean=0.0):
    torch.manual_seed(0)
    values = torch.randn(shape) + mean, torch.randn(shape[1]), torch.randn(shape[1])
    return [v.to(dtype).requires_grad_() for v in values]


@kernel
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_kernels_agree_with_float64(shape, training, dtype) -> None:
    if dtype != torch.float32 and shape != SHAPES["odd sizes"]:
        pytest.skip("one shape is enough for the other dtypes")
    # eps 0.1: two values a channel may lie so close that 1 / sqrt(var) would multiply rounding errors
    statistics = torch.linspace(-1, 1, shape[1]), torch.linspace(0.5, 2, shape[1])

    def function(x, weight, bias):
        running = [s.clone().to(torch.float64 if x.dtype == torch.float64 else torch.float32) for s in statistics]
        return ops.batch_norm(x, weight, bias, *running, training, eps=0.1)

    assert_exact_enough(function, tensors(shape, dtype), terms=shape[0] * shape[2] * shape[3])  # worst seen: 0.13


@kernel
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
def test_without_scale_and_shift(training) -> None:
    def function(x):
        running = [torch.zeros(5, dtype=x.dtype), torch.ones(5, dtype=x.dtype)]
        return ops.batch_norm(x, None, None, *running, training)

    assert_exact_enough(function, tensors((3, 5, 4, 3))[:1], terms=36)


@kernel
def test_many_programs_and_parts(small_tiles) -> None:
    def function(x, weight, bias):
        return ops.batch_norm(x, weight, bias, None, None, True)

    assert_exact_enough(function, tensors((3, 20, 5, 7)), terms=105)
    assert small_tiles.names.count("sum_parts") == 2


@kernel
def test_blocks_of_other_means_are_merged_within_a_part(monkeypatch, count_launches) -> None:
    from striate.core.kernels import tiles

    monkeypatch.setattr(tiles, "column_tile", lambda rows, channels: (16, 16))
    x, weight, bias = tensors((3, 4, 5, 7))
    x = (x.detach() + torch.arange(3)[:, None, None, None]).requires_grad_()
    assert_exact_enough(lambda x, w, b: ops.batch_norm(x, w, b, None, None, True), [x, weight, bias], terms=105)
    assert not count_launches.launched("sum_parts")  # seven blocks, one part


@kernel
def test_int64_offsets(small_tiles, monkeypatch) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    assert_exact_enough(lambda x, w, b: ops.batch_norm(x, w, b, None, None, True), tensors((2, 5, 4, 3)), terms=24)


@kernel
@pytest.mark.parametrize("parts", [False, True], ids=["one part", "parts"])
def test_a_mean_far_above_the_spread_keeps_its_digits(request, parts) -> None:
    if parts:
        request.getfixturevalue("small_tiles")
    x = tensors((3, 4, 5, 7), mean=1000.0)[0].detach()
    out = ops.batch_norm(x, None, None, None, None, True)
    exact = F.batch_norm(x.double(), None, None, training=True)
    # The mean is stored to 2^-24 * 1000 = 6e-5 of the spread (3e-5 seen); E[x^2] - E[x]^2 would be wrong by 0.06.
    assert (out - exact).abs().max() < 1.2e-4


@kernel
@pytest.mark.parametrize("momentum", [0.1, 0.0, 1.0])
def test_running_statistics_as_torch(momentum) -> None:
    x = tensors((3, 5, 4, 7), mean=2.0)[0].detach()
    ours = [torch.linspace(-1, 1, 5), torch.linspace(0.5, 2, 5)]
    theirs = [s.double() for s in ours]
    ops.batch_norm(x, None, None, *ours, True, momentum)
    F.batch_norm(x.double(), *theirs, training=True, momentum=momentum)
    for mine, exact in zip(ours, theirs, strict=True):
        assert (mine - exact).abs().max() < 4 * tolerance(torch.float32, 84)


@kernel
def test_half_maps_with_float32_parameters_as_in_mixed_precision() -> None:
    x, weight, bias = tensors((2, 5, 4, 3))
    half = x.detach().half().requires_grad_()
    out = ops.batch_norm(half, weight, bias, torch.zeros(5), torch.ones(5), True)
    out.float().square().sum().backward()
    assert out.dtype == half.grad.dtype == torch.float16
    assert weight.grad.dtype == bias.grad.dtype == torch.float32
    exact = F.batch_norm(half.detach().double(), None, None, weight.double(), bias.double(), True)
    assert (out - exact).abs().max() < 4 * tolerance(torch.float16)


@kernel
def test_an_empty_batch_in_inference() -> None:
    x = torch.zeros(0, 5, 3, 3, requires_grad=True)
    ops.batch_norm(x, None, None, torch.zeros(5), torch.ones(5)).sum().backward()
    assert x.grad.shape == x.shape


@kernel
def test_one_value_per_channel_is_refused_in_training() -> None:
    with pytest.raises(UsageError, match=r"more than one value per channel while training; got shape \(1, 5, 1, 1\)"):
        ops.batch_norm(torch.zeros(1, 5, 1, 1), None, None, None, None, True)


@kernel
def test_inference_without_statistics_is_refused() -> None:
    with pytest.raises(UsageError, match="expected running statistics in inference; got None"):
        ops.batch_norm(torch.zeros(2, 5, 1, 1), None, None, None, None, False)


def test_torch_road_is_torch() -> None:
    x, weight, bias = tensors((2, 5, 4, 3))
    ours, theirs = [torch.zeros(5), torch.ones(5)], [torch.zeros(5), torch.ones(5)]
    with ops.kernels("torch"):
        out = ops.batch_norm(x, weight, bias, *ours, True, 0.3, 0.01)
    assert torch.equal(out, F.batch_norm(x, *theirs, weight, bias, True, 0.3, 0.01))
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])


@kernel
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("name", [None, "relu", "leaky_relu", "silu", "hardswish", "gelu"])
def test_with_sum_and_activation(name, training, count_launches) -> None:
    def function(x, weight, bias, residual):
        kind = torch.float64 if x.dtype == torch.float64 else torch.float32
        running = torch.linspace(-1, 1, 5, dtype=kind), torch.linspace(0.5, 2, 5, dtype=kind)
        return ops.batch_norm(
            x, weight, bias, *running, training, eps=0.1, residual=residual, activation=name, slope=0.2
        )  # fmt: skip

    residual = torch.randn(3, 5, 4, 3).requires_grad_()
    assert_exact_enough(function, [*tensors((3, 5, 4, 3)), residual], terms=36)  # worst seen: 0.1
    assert not count_launches.launched("activation_forward")


@kernel
@pytest.mark.parametrize("shape", [(6, 5), (3, 5, 7), (2, 5, 3, 4, 2)], ids=["rows", "signals", "volumes"])
def test_any_number_of_dimensions(shape) -> None:
    def function(x, weight, bias):
        return ops.batch_norm(x, weight, bias, None, None, True, eps=0.1, activation="relu")

    assert_exact_enough(function, tensors(shape), terms=torch.Size(shape).numel() // 5)


@kernel
def test_half_precision_with_sum_and_activation() -> None:
    def function(x, weight, bias, residual):
        return ops.batch_norm(x, weight, bias, None, None, True, eps=0.1, residual=residual, activation="silu")

    residual = torch.randn(3, 5, 4, 3).bfloat16().requires_grad_()
    assert_exact_enough(function, [*tensors((3, 5, 4, 3), torch.bfloat16), residual], terms=36)


@kernel
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
def test_vectors_with_gaps(training) -> None:
    x, *_ = tensors((3, 5, 4, 7), mean=2.0)
    vectors = [torch.linspace(0.5, 2, 20)[1::4], torch.linspace(-1, 1, 10)[::2]]

    def function(x, weight, bias):
        running = [torch.arange(10.0).to(weight)[::2], torch.arange(1.0, 11.0).to(weight)[::2]]
        return ops.batch_norm(x, weight, bias, *running, training, activation="silu")

    assert not vectors[0].is_contiguous()
    assert_exact_enough(function, [x, *(v.requires_grad_() for v in vectors)], terms=84)


@kernel
def test_running_statistics_with_gaps_are_updated_where_they_lie() -> None:
    x = tensors((3, 5, 4, 7), mean=2.0)[0].detach()
    ours, theirs = (torch.linspace(0.5, 2, 20) for _ in range(2))
    ops.batch_norm(x, None, None, ours[::4], ours[1::4], True)
    F.batch_norm(x, theirs[::4], theirs[1::4], training=True)
    torch.testing.assert_close(ours, theirs)


@kernel
@pytest.mark.parametrize("place", range(4), ids=["weight", "bias", "running_mean", "running_var"])
def test_a_number_a_channel(request, place) -> None:
    vectors = [torch.ones(3) for _ in range(4)]
    vectors[place] = torch.ones(1)
    name = request.node.callspec.id
    with pytest.raises(UsageError, match=rf"a {name} of shape \(3,\); got shape \(1,\); give one number a channel"):
        ops.batch_norm(torch.zeros(2, 3, 2, 2), *vectors)


@kernel
def test_nan_stays_and_a_residual_must_fit() -> None:
    x = torch.zeros(2, 3, 2, 2)
    x[0, 1, 0, 0] = float("nan")
    running = torch.zeros(3), torch.ones(3)
    assert ops.batch_norm(x, None, None, *running, activation="relu").isnan().sum() == 1
    with pytest.raises(UsageError, match=r"a residual of shape \(2, 3, 2, 2\).*got shape \(2, 3, 2, 1\)"):
        ops.batch_norm(x, None, None, *running, residual=x[..., :1])
    with pytest.raises(UsageError, match=r"activation to be one of .*; got 'swish'"):
        ops.batch_norm(x, None, None, *running, activation="swish")


def test_layers_are_torchs_and_the_fused_one_is_the_chain() -> None:
    torch.manual_seed(0)
    for name, shape in (("BatchNorm1d", (4, 5, 6)), ("BatchNorm3d", (2, 5, 3, 4, 2))):
        ours, theirs = getattr(layers, name)(5), getattr(torch.nn, name)(5)
        x = torch.randn(shape)
        torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.running_var, theirs.running_var)
    fused, plain = layers.BatchNormAct2d(5, "leaky_relu", 0.2, eps=1e-3), torch.nn.BatchNorm2d(5, eps=1e-3)
    plain.load_state_dict(fused.state_dict())
    x, residual = torch.randn(2, 5, 4, 3), torch.randn(2, 5, 4, 3)
    expected = torch.nn.functional.leaky_relu(plain(x) + residual, 0.2)
    torch.testing.assert_close(fused(x, residual), expected, atol=1e-5, rtol=1e-5)
