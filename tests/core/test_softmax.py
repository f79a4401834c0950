"""Softmax and its logarithm: kernels under the interpreter against float64; infinities, NaN, long rows, refusals."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from scipy import special

from striate.core import layers, ops
from striate.core.checks import UsageError
from striate.core.testing import assert_exact_enough

kernel = pytest.mark.kernel

RAW = {
    "softmax": lambda: (torch.randn(2, 3, 4, 5).requires_grad_(), True, torch.float32),
    "softmax_gradient": lambda: (torch.randn(2, 3, 4, 5), torch.rand(2, 3, 4, 5), False, torch.float32),
}

COMPILE = {
    "softmax of 1,000 classes": (ops.softmax, ((256, 1000),)),
    "softmax of pixels, fp32": (ops.softmax, ((4, 21, 64, 64),), {"dtype": torch.float32}),
    "log softmax of 4,096 classes": (ops.log_softmax, ((64, 4096),)),
    "log softmax of long rows, int64 offsets": (ops.log_softmax, ((8, 32768),), {"wide": True}),
    "softmax of long rows, fp32": (ops.softmax, ((8, 30001),), {"dtype": torch.float32}),
}

BOTH = pytest.mark.parametrize("name", ["softmax", "log_softmax"])
SHAPES = {
    "one row": (1, 10),
    "odd number of classes": (5, 7),
    "one class": (3, 1),
    "pixels": (2, 21, 5, 7),
    "one pixel a picture": (3, 5, 1, 1),
    "one channel": (2, 1, 3, 4),
    "empty batch": (0, 4),
    "map of size zero": (2, 3, 0, 4),
}
# A row of minus infinity subtracts infinities, and NumPy, which interprets, warns of it. The answer is NaN on purpose.
infinite = pytest.mark.filterwarnings("ignore:(invalid value|divide by zero|All-NaN):RuntimeWarning")


def scores(shape, dtype=torch.float32):
    torch.manual_seed(0)
    return torch.randn(shape).to(dtype).requires_grad_()


@kernel
@BOTH
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_agrees_with_float64(name, shape) -> None:
    # worst seen: 0.25 of the tolerance
    assert_exact_enough(getattr(ops, name), [scores(shape)], terms=shape[1])


@kernel
@BOTH
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_precision(name, dtype) -> None:
    for shape in ((5, 7), (2, 21, 5, 7)):  # worst seen: 0.92, of gradients through bf16 logarithms
        assert_exact_enough(getattr(ops, name), [scores(shape, dtype)], terms=shape[1])


@kernel
@BOTH
@pytest.mark.parametrize("classes", [300, 32768], ids=["block not full", "32,768 classes"])
def test_rows_longer_than_a_tile(name, classes, monkeypatch, count_launches) -> None:
    """Probabilities of 40 / 32,768 are small beside an absolute tolerance, so they are scaled up to about 1."""
    from striate.core.kernels import tiles

    monkeypatch.setattr(tiles, "column_tile", lambda *_: (16, 16) if classes == 300 else (64, 64))
    x = scores((2, classes))
    with torch.no_grad():
        x[:, 1:].add_(torch.linspace(-20, 20, classes - 1))  # the maximum grows from block to block
        x[1, : classes // 2] = -float("inf")  # a whole first block of it
    scale = max(1, classes // 400) if name == "softmax" else 1  # worst seen: 0.09
    assert_exact_enough(lambda x: scale * getattr(ops, name)(x), [x], terms=classes)
    assert count_launches.names == ["softmax_forward", "softmax_backward"]


@kernel
@BOTH
@infinite
def test_infinities_and_nan_as_torch_has_them(name) -> None:
    x = scores((6, 5)).detach()
    x[0, 2] = -float("inf")
    x[1] = -float("inf")
    x[2, 0] = float("inf")
    x[3, 4] = float("nan")
    x[4] += 1e30
    x[5] = torch.tensor([-3.4e38, -float("inf"), -3.4e38, -3.3e38, -float("inf")])
    assert_exact_enough(getattr(ops, name), [x.requires_grad_()], terms=5)


@kernel
@BOTH
def test_large_scores_lose_no_digits(name) -> None:
    x = scores((4, 9)).detach()
    x += 10_000
    assert_exact_enough(getattr(ops, name), [x.requires_grad_()], terms=9)


@kernel
@BOTH
def test_many_programs_int64_offsets_strides(name, small_tiles, monkeypatch) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    x = (
        torch.randn(2, 8, 6, 20).transpose(1, 3)[:, :, ::2].detach()[:, 1:].requires_grad_()
    )  # 19 classes: 8 rows a tile
    assert_exact_enough(getattr(ops, name), [x], terms=19)
    assert small_tiles.names == ["softmax_forward", "softmax_backward"]
    assert getattr(ops, name)(x).is_contiguous(memory_format=torch.channels_last)


@kernel
@BOTH
def test_the_last_dimension_of_any_shape(name) -> None:
    for shape, dim in (((2, 3, 4), -1), ((2, 3, 4, 5), 3), ((6,), 0), ((2, 3, 4, 5), -1), ((3, 0), 1)):
        assert_exact_enough(lambda x, dim=dim: getattr(ops, name)(x, dim), [scores(shape)], terms=5)


@kernel
@BOTH
def test_expanded_incoming_gradient(name) -> None:
    x = scores((2, 3, 4, 5))
    getattr(ops, name)(x).sum().backward()
    expected = torch.zeros_like(x) if name == "softmax" else 1 - 3 * x.detach().softmax(1)
    torch.testing.assert_close(x.grad, expected, atol=2e-6, rtol=0)


@kernel
@BOTH
def test_dtype_of_the_result_and_autocast(name) -> None:
    x = scores((2, 7), torch.bfloat16)
    out = getattr(ops, name)(x, dtype=torch.float32)
    out[0, 0].backward()
    assert (out.dtype, x.grad.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(out, getattr(F, name)(x, 1, dtype=torch.float32), atol=1e-6, rtol=1e-6)
    with torch.autocast(x.device.type, torch.bfloat16):
        assert getattr(ops, name)(x).dtype == torch.float32


@kernel
@BOTH
@pytest.mark.parametrize(
    ("shape", "keywords", "words"),
    [
        ((2, 3, 4, 5), {"dim": 2}, r"dim 1 of a tensor \(N, C, H, W\), or the last dimension; got dim 2 of shape"),
        ((2, 3, 4), {"dim": 1}, r"or the last dimension; got dim 1 of shape \(2, 3, 4\); move the dimension"),
        ((), {"dim": 0}, r"or the last dimension; got dim 0 of shape \(\)"),
        ((2, 3), {"dtype": torch.float64}, "float32, float16 or bfloat16 as dtype; got torch.float64"),
    ],
    ids=["rows of a map", "middle of three", "a number", "float64"],
)
def test_errors_say_what_was_expected(name, shape, keywords, words) -> None:
    with pytest.raises(UsageError, match=words):
        getattr(ops, name)(scores(shape), **keywords)


def test_torch_road_agrees_with_scipy() -> None:
    x = torch.randn(3, 4, 5, 6, dtype=torch.float64)
    with ops.kernels("torch"):
        assert torch.allclose(ops.softmax(x), torch.from_numpy(special.softmax(x.cpu().numpy(), 1)).to(x), atol=1e-14)
        found = ops.log_softmax(x, 3)
        assert torch.allclose(found, torch.from_numpy(special.log_softmax(x.cpu().numpy(), 3)).to(x), atol=1e-14)


def test_layers_are_torchs_and_want_a_dimension() -> None:
    x = torch.randn(2, 3, 4, 4)
    for ours, theirs in ((layers.Softmax, torch.nn.Softmax), (layers.LogSoftmax, torch.nn.LogSoftmax)):
        assert isinstance(ours(1), theirs)
        torch.testing.assert_close(ours(1)(x), theirs(1)(x), atol=1e-6, rtol=1e-6)
        with pytest.raises(UsageError, match="the dimension of the classes; got dim=None; pass dim=1"):
            ours()(x)
