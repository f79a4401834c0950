"""Convolution in one and three dimensions, and transposed: the kernels against float64, forward and every gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.core import layers, ops
from striate.core.checks import UsageError
from striate.core.testing import assert_exact_enough

kernel = pytest.mark.kernel

# (name of the operation, image, weight, keywords)
CASES = {
    "signal": ("conv1d", (2, 16, 11), (20, 16, 3), {"padding": 1}),
    "signal, stride and dilation": ("conv1d", (2, 16, 17), (16, 16, 4), {"stride": 3, "dilation": 2, "padding": 3}),
    "signal, three channels packed": ("conv1d", (1, 3, 20), (8, 3, 5), {"stride": 2}),
    "signal, depthwise": ("conv1d", (2, 6, 9), (12, 1, 3), {"groups": 6, "padding": 1}),
    "the lecture's window of 5 x 5 x 5": ("conv3d", (1, 16, 5, 6, 7), (16, 16, 5, 5, 5), {"padding": 2}),
    "volume, stride 2": ("conv3d", (1, 16, 5, 6, 7), (16, 16, 3, 3, 3), {"stride": 2, "padding": 1}),
    "volume, unequal": (
        "conv3d", (1, 16, 4, 6, 5), (8, 16, 2, 1, 3),
        {"stride": (1, 2, 3), "padding": (1, 0, 1), "dilation": (2, 1, 1)},
    ),
    "volume, a flat window under a stride": ("conv3d", (1, 16, 4, 3, 3), (8, 16, 1, 3, 3), {"stride": (2, 1, 1)}),
    "volume, three channels packed": ("conv3d", (1, 3, 4, 5, 6), (8, 3, 3, 3, 3), {"padding": 1}),
    "volume, depthwise": ("conv3d", (1, 5, 4, 5, 4), (5, 1, 3, 3, 3), {"groups": 5, "padding": 1, "stride": 2}),
    "volume, groups": ("conv3d", (1, 8, 3, 4, 4), (8, 4, 3, 3, 3), {"groups": 2, "padding": 1}),
    "transposed signal": ("conv_transpose1d", (2, 16, 7), (16, 12, 4), {"stride": 2, "padding": 1}),
    "transposed": ("conv_transpose2d", (2, 16, 5, 4), (16, 20, 4, 4), {"stride": 2, "padding": 1}),
    "transposed, output padding": (
        "conv_transpose2d", (1, 16, 5, 4), (16, 8, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1},
    ),
    "transposed, stride above taps: holes": ("conv_transpose2d", (1, 16, 3, 4), (16, 8, 2, 2), {"stride": 3}),
    "transposed, dilation": ("conv_transpose2d", (1, 16, 5, 4), (16, 8, 3, 3), {"dilation": 2, "padding": (1, 2)}),
    "transposed, groups": ("conv_transpose2d", (1, 8, 5, 4), (8, 6, 3, 3), {"groups": 2, "stride": 2}),
    "transposed, depthwise": ("conv_transpose2d", (1, 6, 5, 4), (6, 1, 4, 4), {"groups": 6, "stride": 2, "padding": 1}),
    "transposed, 21 classes": ("conv_transpose2d", (1, 21, 4, 4), (21, 21, 4, 4), {"stride": 2, "padding": 1}),
    "transposed volume": ("conv_transpose3d", (1, 16, 3, 4, 3), (16, 8, 2, 3, 2), {"stride": 2}),
}  # fmt: skip

RAW = {
    "transposed_convolution": lambda: (
        torch.randn(2, 4, 5, 6).requires_grad_(), torch.randn(4, 3, 3, 3).requires_grad_(), torch.randn(3), [11, 13],
        [2, 2], [0, 0], [1, 1], 1, "ieee",
    ),
}  # fmt: skip

COMPILE = {
    "signal": (lambda x, w, b: ops.conv1d(x, w, b, 2, 1), ((8, 64, 4096), (64, 64, 3), (64,))),
    "volume": (lambda x, w, b: ops.conv3d(x, w, b, 1, 2), ((2, 64, 16, 32, 32), (64, 64, 5, 5, 5), (64,))),
    "volume of pictures": (lambda x, w: ops.conv3d(x, w, None, 1, 1), ((2, 3, 16, 32, 32), (64, 3, 3, 3, 3))),
    "depthwise volume": (lambda x, w: ops.conv3d(x, w, groups=64), ((2, 64, 16, 32, 32), (64, 1, 3, 3, 3))),
    "transposed": (lambda x, w, b: ops.conv_transpose2d(x, w, b, 2, 1), ((8, 64, 32, 32), (64, 64, 4, 4), (64,))),
}


def problem(case, dtype=torch.float32):
    """Return (function, tensors, terms); weights are scaled so that outputs are of size 1."""
    name, shape, filters, keywords = case
    torch.manual_seed(0)
    terms = filters[1] * torch.Size(filters[2:]).numel()
    outputs = filters[1] * keywords.get("groups", 1) if "transpose" in name else filters[0]
    tensors = [torch.randn(shape), torch.randn(filters) / terms**0.5, torch.randn(outputs)]
    tensors = [t.to(dtype).requires_grad_() for t in tensors]
    pixels = tensors[0].numel() // shape[1] * torch.Size(filters[2:]).numel()
    return lambda *t: getattr(ops, name)(*t, precision="ieee", **keywords), tensors, max(terms, pixels)


@kernel
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_kernels_agree_with_float64(case) -> None:
    function, tensors, terms = problem(case)
    assert_exact_enough(function, tensors, terms=terms)  # worst seen: 0.2 of the tolerance


@kernel
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
@pytest.mark.parametrize("name", ["signal", "volume, stride 2", "transposed"])
def test_half_precision(name, dtype) -> None:
    function, tensors, terms = problem(CASES[name], dtype)
    assert_exact_enough(function, tensors, terms=terms)


@kernel
@pytest.mark.parametrize("name", ["signal, stride and dilation", "volume, unequal", "transposed, output padding"])
def test_many_programs_and_int64_offsets(small_tiles, monkeypatch, name) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    function, tensors, terms = problem(CASES[name])
    assert_exact_enough(function, tensors, terms=terms)


@kernel
@pytest.mark.parametrize("name", ["conv1d", "conv2d", "conv3d", "conv_transpose2d"])
def test_one_image_without_a_batch(name) -> None:
    dims = int(name[-2])
    x, weight = torch.randn(4, *[6] * dims), torch.randn(4, 4, *[3] * dims)
    function = getattr(ops, name)
    assert torch.equal(function(x, weight), function(x[None], weight)[0])


@kernel
@pytest.mark.parametrize("name", ["conv1d", "conv3d", "conv_transpose2d"])
def test_empty_batch(name) -> None:
    dims = int(name[-2])
    x = torch.zeros(0, 4, *[5] * dims, requires_grad=True)
    weight = torch.zeros(4, 4, *[3] * dims, requires_grad=True)
    out = getattr(ops, name)(x, weight)
    out.sum().backward()
    assert out.shape[:2] == (0, 4)
    assert torch.equal(weight.grad, torch.zeros_like(weight))


@kernel
def test_channels_are_last_in_memory_and_gradients_may_be_expanded() -> None:
    for case in (CASES["signal"], CASES["volume, stride 2"], CASES["transposed"]):
        function, tensors, _ = problem(case)
        out = function(*tensors)
        assert out.movedim(1, -1).is_contiguous()
        out.sum().backward()
        assert all(t.grad is not None and t.grad.isfinite().all() for t in tensors)


@kernel
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"output_padding": 2, "stride": 2},
            r"output padding from 0 to less than the stride or the dilation; got \(2, 2\)",
        ),
        ({"weight": (5, 4, 3, 3)}, r"weight \(C, K / groups, ...\) for C = 4, groups = 1"),
        ({"padding": 9}, r"a window that fits"),
        ({"stride": 0}, "stride and dilation of at least 1"),
    ],
    ids=["output padding", "weight", "padding", "stride"],
)
def test_errors_of_the_transposed(change, words) -> None:
    change = dict(change)
    shape = change.pop("weight", (4, 8, 3, 3))
    with pytest.raises(UsageError, match=words):
        ops.conv_transpose2d(torch.zeros(1, 4, 6, 6), torch.zeros(shape), **change)


@pytest.mark.parametrize(
    ("ours", "theirs", "shape"),
    [
        (layers.Conv1d(4, 6, 3, padding=1, padding_mode="reflect"), nn.Conv1d, (2, 4, 9)),
        (layers.Conv3d(4, 6, 3, stride=2, bias=False), nn.Conv3d, (2, 4, 7, 8, 9)),
        (layers.ConvTranspose1d(4, 6, 3, 2), nn.ConvTranspose1d, (2, 4, 9)),
        (layers.ConvTranspose2d(4, 6, 3, 2, 1, groups=2), nn.ConvTranspose2d, (2, 4, 9, 8)),
        (layers.ConvTranspose3d(4, 6, 3, 2), nn.ConvTranspose3d, (2, 4, 5, 4, 3)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_layers_are_torchs_with_another_computation(ours, theirs, shape) -> None:
    assert isinstance(ours, theirs)
    x = torch.randn(shape)
    with ops.kernels("torch"):
        assert torch.equal(ours(x), theirs.forward(ours, x))


@kernel
def test_transposed_layer_takes_an_output_size() -> None:
    layer = layers.ConvTranspose2d(4, 6, 3, stride=2, padding=1)
    x = torch.randn(1, 4, 5, 6)
    for size in ((9, 11), (10, 12)):
        out = layer(x, output_size=size)
        assert out.shape[2:] == size
        with ops.kernels("torch"):
            torch.testing.assert_close(out, layer(x, output_size=size), atol=1e-5, rtol=1e-5)
