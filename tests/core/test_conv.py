"""Convolution: the kernels under the interpreter against float64, forward and every gradient; errors by their words."""

from __future__ import annotations

import pytest
import torch

from striate.core import ops
from striate.core.checks import UsageError
from striate.core.testing import assert_exact_enough

kernel = pytest.mark.kernel

WINDOW = ([2, 2], [1, 1], [1, 1])


def weight(channels: int = 4) -> torch.Tensor:
    return torch.randn(4, channels, 3, 3)


def image() -> torch.Tensor:
    return torch.randn(2, 4, 5, 6)


RAW = {
    "convolution": lambda: (image().requires_grad_(), weight().requires_grad_(), torch.randn(4), *WINDOW, 1, "ieee"),
    "convolution_input_gradient": lambda: (torch.randn(2, 4, 3, 3), weight(), [5, 6], *WINDOW, 1, "ieee"),
    "convolution_weight_gradient": lambda: (torch.randn(2, 4, 3, 3), image(), [3, 3], *WINDOW, 1, "ieee"),
    "bias_gradient": lambda: (image(),),
}


def convolution(**keywords):
    def function(x, w, b):
        return ops.conv2d(x, w, b, padding=w.shape[2] // 2, **keywords)

    return function


# 8 x 64 x 64 pixels fill every device, so that each number of filters gets its own row of the tables.
COMPILE = {
    **{f"{n} filters": (convolution(), ((8, n, 64, 64), (n, n, 3, 3), (n,))) for n in (128, 64, 32, 16)},
    "pictures": (convolution(stride=2), ((8, 3, 128, 128), (64, 3, 7, 7), (64,))),
    "a map too small for the device": (convolution(), ((1, 128, 16, 16), (128, 128, 3, 3), (128,))),
    "channels not a multiple of 8": (convolution(stride=2), ((8, 20, 64, 64), (255, 20, 3, 3), (255,))),
    "depthwise": (convolution(groups=64), ((8, 64, 64, 64), (64, 1, 3, 3), (64,))),
    "float16": (convolution(), ((8, 64, 64, 64), (64, 64, 3, 3), (64,)), {"dtype": torch.float16}),
    "int64 offsets": (convolution(), ((8, 64, 64, 64), (64, 64, 3, 3), (64,)), {"wide": True}),
    **{
        f"{n} filters in {precision}": (
            convolution(precision=precision), ((8, n, 64, 64), (n, n, 3, 3), (n,)), {"dtype": torch.float32}
        )
        for n in (64, 16)
        for precision in ("tf32", "tf32x3", "ieee")
    },
}  # fmt: skip

# (image, filters, taps, keywords); the largest sum is over the taps and channels, or the pixels for the weight
CASES = {
    "3x3": ((2, 16, 6, 6), 32, (3, 3), {"padding": 1}),
    "1x1": ((2, 24, 5, 5), 20, (1, 1), {}),
    "odd width": ((1, 16, 5, 7), 16, (3, 3), {"padding": 1}),
    "stride 2": ((2, 16, 7, 6), 16, (3, 3), {"stride": 2, "padding": 1}),
    "stride above taps: pixels nobody reads": ((1, 16, 9, 8), 16, (2, 1), {"stride": 4}),
    "narrower than its stride": ((1, 16, 3, 1), 16, (3, 1), {"stride": 3, "padding": (1, 0)}),
    "stride 3, dilation 2": ((1, 16, 9, 8), 16, (3, 3), {"stride": 3, "padding": 2, "dilation": 2}),
    "stride 2, dilation 2: empty phases": ((1, 16, 8, 7), 16, (3, 3), {"stride": 2, "padding": 1, "dilation": 2}),
    "unequal in height and width": ((1, 16, 7, 6), 16, (3, 2), {"stride": (2, 1), "padding": (1, 0)}),
    "three channels: packed taps": ((1, 3, 9, 8), 20, (5, 5), {"stride": 2, "padding": 2}),
    "packed taps, dilation": ((1, 3, 9, 8), 4, (3, 2), {"dilation": (2, 3), "padding": 2}),
    "lower than its stride": ((1, 16, 1, 4), 16, (1, 3), {"stride": 3, "padding": (0, 1)}),
    "one channel": ((2, 1, 6, 5), 4, (3, 3), {"padding": 1}),
    "K not a multiple of the block": ((1, 70, 4, 4), 70, (1, 1), {}),
    "groups": ((1, 8, 6, 5), 12, (3, 3), {"padding": 1, "groups": 4}),
    "groups of 16 channels": ((1, 32, 4, 4), 32, (3, 3), {"padding": 1, "groups": 2}),
    "depthwise": ((2, 6, 6, 5), 6, (3, 3), {"padding": 1, "groups": 6}),
    "depthwise, two filters a channel, stride 2": ((1, 5, 7, 6), 10, (3, 3), {"stride": 2, "groups": 5}),
    "depthwise, stride 2, dilation 2": ((1, 5, 9, 8), 5, (3, 3), {"stride": 2, "dilation": 2, "groups": 5}),
    "1x1 map": ((3, 16, 1, 1), 16, (3, 3), {"padding": 1}),
    "same padding, even taps": ((1, 16, 5, 6), 16, (2, 4), {"padding": "same"}),
}


def problem(shape, filters, taps, keywords, dtype=torch.float32, bias=True):
    """Return (function, tensors, terms); weights are scaled so that outputs are of size 1."""
    torch.manual_seed(0)
    channels = shape[1] // keywords.get("groups", 1)
    terms = channels * taps[0] * taps[1]
    x = torch.randn(shape).to(dtype)
    weight = (torch.randn(filters, channels, *taps) / terms**0.5).to(dtype)
    tensors = [x, weight, *([torch.randn(filters).to(dtype)] if bias else [])]
    pixels = shape[0] * shape[2] * shape[3]

    def function(x, weight, bias=None):
        return ops.conv2d(x, weight, bias, precision="ieee", **keywords)

    return function, [t.requires_grad_() for t in tensors], max(terms, pixels)


@kernel
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")  # torch's, on its road
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_kernels_agree_with_float64(case) -> None:
    function, tensors, terms = problem(*case)
    assert_exact_enough(function, tensors, terms=terms)  # worst seen: 0.17 of the tolerance


@kernel
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
@pytest.mark.parametrize("name", ["stride 2", "three channels: packed taps", "depthwise"])
def test_half_precision(name, dtype) -> None:
    function, tensors, terms = problem(*CASES[name], dtype=dtype)
    assert_exact_enough(function, tensors, terms=terms)  # worst seen: 0.25 of the tolerance


@kernel
@pytest.mark.parametrize("name", ["3x3", "depthwise"])
def test_without_bias(name) -> None:
    function, tensors, terms = problem(*CASES[name], bias=False)
    assert_exact_enough(function, tensors, terms=terms)


@kernel
@pytest.mark.parametrize(
    ("shape", "filters", "taps", "keywords"),
    [
        ((3, 24, 5, 5), 40, (3, 3), {"stride": 2, "padding": 1}),
        ((1, 3, 7, 6), 20, (3, 3), {"padding": 1}),
        ((1, 20, 6, 5), 20, (2, 2), {"groups": 20}),
    ],
    ids=["implicit product", "packed taps", "depthwise"],
)
def test_many_programs_and_parts(small_tiles, shape, filters, taps, keywords) -> None:
    function, tensors, terms = problem(shape, filters, taps, keywords)
    assert_exact_enough(function, tensors, terms=terms)
    assert small_tiles.launched("sum_parts")  # the weight's gradient came in parts


@kernel
@pytest.mark.parametrize("name", ["stride 2", "packed taps, dilation", "depthwise, two filters a channel, stride 2"])
def test_int64_offsets(small_tiles, monkeypatch, name) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    function, tensors, terms = problem(*CASES[name])
    assert_exact_enough(function, tensors, terms=terms)
    assert small_tiles.launched("sum_parts") or "depthwise" in name  # which has too few pixels here for two parts


@kernel
def test_strides_of_any_kind() -> None:
    function, (x, weight, bias), terms = problem(*CASES["3x3"])
    for other in (
        x.detach()[:, :, ::2, 1:].repeat(1, 1, 1, 1),
        x.detach()[:, :, ::2, 1:],
        x.detach()[:1].expand(2, -1, -1, -1),
    ):
        assert_exact_enough(function, [other.requires_grad_(), weight, bias], terms=terms)


@kernel
def test_answers_in_channels_last_and_takes_an_expanded_gradient() -> None:
    function, tensors, _ = problem(*CASES["stride 2"])
    out = function(*tensors)
    assert out.stride() == torch.empty(out.shape, memory_format=torch.channels_last).stride()
    out.sum().backward()  # a gradient of stride 0
    ones = torch.autograd.grad(function(*tensors), tensors, torch.ones_like(out))
    for tensor, expected in zip(tensors, ones, strict=True):
        assert torch.equal(tensor.grad, expected)


@kernel
@pytest.mark.parametrize("groups", [1, 4], ids=["product", "depthwise"])
def test_empty_batch(groups) -> None:
    x = torch.zeros(0, 4, 5, 5, requires_grad=True)
    weight = torch.zeros(8, 4 // groups, 3, 3, requires_grad=True)
    bias = torch.zeros(8, requires_grad=True)
    out = ops.conv2d(x, weight, bias, padding=1, groups=groups)
    out.sum().backward()
    assert out.shape == (0, 8, 5, 5)
    assert x.grad.shape == x.shape
    assert torch.equal(weight.grad, torch.zeros_like(weight))
    assert torch.equal(bias.grad, torch.zeros(8))


@kernel
def test_gradients_are_computed_only_where_wanted(count_launches) -> None:
    function, (x, weight, bias), _ = problem(*CASES["3x3"])
    function(x, weight.detach(), bias.detach()).sum().backward()
    assert count_launches.names == ["conv_forward", "conv_input_gradient"]


@kernel
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weight": torch.zeros(8, 3, 3, 3)}, r"weight \(K, C / groups, R, S\) for C = 4"),
        ({"weight": torch.zeros(8, 4, 3, 3).half()}, "of one dtype"),
        ({"x": torch.zeros(4, 6)}, r"a tensor \(N, C, H, W\); got shape \(4, 6\)"),
        ({"weight": torch.zeros(8, 4, 3)}, r"a tensor \(N, C, H, W\); got shape \(8, 4, 3\)"),
        ({"bias": torch.zeros(7)}, r"a bias of shape \(8,\); got shape \(7,\)"),
        ({"weight": torch.zeros(8, 4, 3, 3, device="meta")}, "on one device; got .* and meta"),
        ({"stride": (1, 2, 3)}, r"one number or 2; got \(1, 2, 3\)"),
        ({"weight": torch.zeros(1).expand(2**20, 4, 32, 16)}, "fewer than 2.31 weights; got 2,147,483,648"),
        ({"x": torch.zeros(1, 4, 2, 2)}, r"a window that fits into the padded image; got an image of \(2, 2\)"),
        ({"x": torch.zeros(1, 4, 6, 6).double(), "weight": torch.zeros(8, 4, 3, 3).double()}, "got float64"),
        ({"stride": 0}, "stride and dilation of at least 1"),
        ({"padding": -1}, "padding of at least 0"),
        ({"padding": "full"}, "padding to be one of valid, same; got 'full'"),
        ({"padding": "same", "stride": 2}, 'stride 1 for padding "same"'),
        ({"precision": "tf23"}, "precision to be one of ieee, tf32, tf32x3; got 'tf23'; did you mean 'tf32'"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_errors_say_what_was_expected(change, words) -> None:
    arguments = {"x": torch.zeros(1, 4, 6, 6), "weight": torch.zeros(8, 4, 3, 3)} | change
    with pytest.raises(UsageError, match=words):
        ops.conv2d(**arguments)


def test_torch_road_is_torch() -> None:
    function, tensors, _ = problem(*CASES["groups"])
    with ops.kernels("torch"):
        ours = function(*tensors)
    x, weight, bias = tensors
    assert torch.equal(ours, torch.nn.functional.conv2d(x, weight, bias, padding=1, groups=4))
