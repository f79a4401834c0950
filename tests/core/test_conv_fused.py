"""Convolution with what follows it fused, and sums that are cut into parts, against float64."""

from __future__ import annotations

import pytest
import torch

from striate.core import layers, ops
from striate.core.checks import UsageError
from striate.core.testing import assert_exact_enough

kernel = pytest.mark.kernel

# (operation, image, weight, residual, keywords)
CASES = {
    "product": ("fused_conv2d", (2, 16, 6, 5), (20, 16, 3, 3), (2, 20, 6, 5), {"padding": 1}),
    "packed taps": ("fused_conv2d", (1, 3, 9, 8), (20, 3, 5, 5), (1, 20, 5, 4), {"padding": 2, "stride": 2}),
    "groups": ("fused_conv2d", (1, 32, 4, 4), (32, 16, 3, 3), (1, 32, 4, 4), {"padding": 1, "groups": 2}),
    "depthwise": ("fused_conv2d", (2, 6, 6, 5), (6, 1, 3, 3), (2, 6, 6, 5), {"padding": 1, "groups": 6}),
    "transposed": ("fused_conv_transpose2d", (2, 16, 3, 4), (16, 8, 4, 4), (2, 8, 6, 8), {"stride": 2, "padding": 1}),
    "transposed, depthwise": (
        "fused_conv_transpose2d", (2, 6, 3, 4), (6, 1, 4, 4), (2, 6, 6, 8), {"stride": 2, "padding": 1, "groups": 6},
    ),
}  # fmt: skip

WINDOW = ([1, 1], [1, 1], [1, 1], 1, "ieee")
RAW = {
    "fused_convolution": lambda: (
        torch.randn(2, 4, 5, 6), torch.randn(4, 4, 3, 3), None, torch.randn(4), None, torch.randn(2, 4, 5, 6), "relu",
        0.0, *WINDOW,
    ),
    "fused_transposed_convolution": lambda: (
        torch.randn(2, 4, 5, 6), torch.randn(4, 4, 3, 3), torch.randn(4), None, None, None, "silu", 0.0, [5, 6],
        *WINDOW,
    ),
}  # fmt: skip


def fused(name, **keywords):
    return lambda x, w, r, b, s, t: getattr(ops, name)(x, w, b, scale=s, shift=t, residual=r, **keywords)


SHAPES = ((8, 64, 64, 64), (64, 64, 1, 1), (8, 64, 64, 64), *[(64,)] * 3)
COMPILE = {
    "fused 1x1": (fused("fused_conv2d", activation="relu"), SHAPES, {"gradient": False}),
    "fused depthwise": (
        fused("fused_conv2d", activation="hardswish", padding=1, groups=64),
        (SHAPES[0], (64, 1, 3, 3), *SHAPES[2:]),
        {"gradient": False},
    ),
    "deconvolution with a skip": (
        lambda x, w, r: ops.fused_conv_transpose2d(x, w, None, 2, 1, residual=r),
        ((8, 64, 32, 32), (64, 64, 4, 4), SHAPES[0]),
        {"gradient": False},
    ),
    "a sum in parts": (
        lambda x, w: ops.fused_conv2d(x, w, None, 1, 1, activation="silu"),
        ((1, 512, 7, 7), (512, 512, 3, 3)),
        {"gradient": False},
    ),
    "linear": (ops.linear, ((64, 25088), (4096, 25088), (4096,))),
}


def problem(case, dtype=torch.float32, **after):
    """Return (function, tensors, terms), no gradients: x, weight, residual, bias, scale, shift."""
    name, shape, filters, result, keywords = case
    torch.manual_seed(0)
    terms = torch.Size(filters[1:]).numel()
    vectors = [torch.randn(result[1]) for _ in range(3)]
    tensors = [torch.randn(shape), torch.randn(filters) / terms**0.5, torch.randn(result), *vectors]
    return fused(name, precision="ieee", **keywords, **after), [t.to(dtype) for t in tensors], terms


@kernel
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_one_launch_agrees_with_float64(case, count_launches) -> None:
    function, tensors, terms = problem(case, activation="leaky_relu", slope=0.2)
    assert_exact_enough(function, tensors, terms=terms)  # worst seen: 0.1 of the tolerance
    assert len(count_launches.names) == 1


@kernel
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_precision(dtype) -> None:
    function, tensors, terms = problem(CASES["product"], dtype, activation="relu")
    assert_exact_enough(function, tensors, terms=4 * terms)


@kernel
@pytest.mark.parametrize("name", ops.ACTIVATIONS)
def test_every_activation(name) -> None:
    function, tensors, terms = problem(CASES["product"], activation=name, slope=0.3)
    assert_exact_enough(function, tensors, terms=terms)


@kernel
@pytest.mark.parametrize("keep", range(5), ids=["nothing", "bias", "scale", "shift", "residual"])
def test_each_part_alone(keep) -> None:
    function, (x, weight, residual, *vectors), terms = problem(CASES["product"])
    parts = [t if keep == i + 1 else None for i, t in enumerate((*vectors, residual))]
    assert_exact_enough(
        lambda x, w, *p: function(x, w, *_fill(p, parts)),
        [x, weight, *[p for p in parts if p is not None]],
        terms=terms,
    )


def _fill(given, parts):
    given = iter(given)
    bias, scale, shift, residual = (None if p is None else next(given) for p in parts)
    return residual, bias, scale, shift


@kernel
@pytest.mark.parametrize("name", ["product", "depthwise", "transposed"])
def test_gradients_come_step_by_step(name, count_launches) -> None:
    function, tensors, terms = problem(CASES[name], activation="relu")
    assert_exact_enough(function, [t.requires_grad_() for t in tensors], terms=max(terms, 60))
    assert count_launches.launched("activation_backward")


@kernel
@pytest.mark.parametrize("wide", [False, True], ids=["int32", "int64"])
def test_a_reduction_in_parts(small_tiles, monkeypatch, wide) -> None:
    from striate.core.kernels import launch

    if wide:
        monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    function, tensors, terms = problem(CASES["product"], activation="silu")
    assert_exact_enough(function, tensors, terms=terms)
    assert small_tiles.names == ["conv_forward", "finish_parts"]
    assert torch.equal(function(*tensors), function(*tensors))


@kernel
def test_strides_of_any_kind() -> None:
    function, tensors, terms = problem(CASES["product"], activation="relu")
    x, weight, residual, *vectors = tensors
    wide = torch.randn(2, 20, 6, 10)[..., ::2]
    assert_exact_enough(function, [x, weight, wide, *(v.repeat(2)[::2] for v in vectors)], terms=terms)
    assert_exact_enough(function, [x, weight, residual[:1, :, :1].expand(2, -1, 6, -1), *vectors], terms=terms)


@kernel
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scale": torch.zeros(3)}, r"a scale of shape \(8,\); got shape \(3,\)"),
        ({"residual": torch.zeros(1, 8, 6, 6)}, r"a residual of shape \(1, 8, 4, 4\)"),
        ({"activation": "swish"}, r"activation to be one of .*; got 'swish'"),
    ],
    ids=["scale", "residual", "activation"],
)
def test_errors(change, words) -> None:
    with pytest.raises(UsageError, match=words):
        ops.fused_conv2d(torch.zeros(1, 4, 6, 6), torch.zeros(8, 4, 3, 3), **change)


@kernel
@pytest.mark.parametrize("shape", [(5, 24), (2, 3, 24), (24,)], ids=["rows", "leading dimensions", "one row"])
def test_linear(shape) -> None:
    torch.manual_seed(0)
    tensors = [torch.randn(shape), torch.randn(10, 24) / 24**0.5, torch.randn(10)]
    assert_exact_enough(ops.linear, [t.requires_grad_() for t in tensors], terms=24)


@kernel
def test_linear_without_rows_and_with_words() -> None:
    assert ops.linear(torch.zeros(0, 4), torch.zeros(3, 4)).shape == (0, 3)
    with pytest.raises(UsageError, match=r"expected 4 features in the last dimension; got shape \(2, 5\)"):
        ops.linear(torch.zeros(2, 5), torch.zeros(3, 4))


def test_linear_layer_is_torchs() -> None:
    layer = layers.Linear(6, 4)
    assert isinstance(layer, torch.nn.Linear)
    x = torch.randn(3, 6)
    with ops.kernels("torch"):
        assert torch.equal(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
