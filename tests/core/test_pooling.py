"""Pooling: kernels under the interpreter against float64; ties, padding, NaN and minus infinity."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from striate.core import ops
from striate.core.checks import UsageError
from striate.core.testing import assert_exact_enough

kernel = pytest.mark.kernel

RAW = {
    "max_pool2d": lambda: (torch.randn(2, 4, 5, 6).requires_grad_(), [3, 3], [2, 2], [1, 1], [1, 1], False),
    "max_pool2d_gradient": lambda: (
        torch.randn(2, 4, 3, 3), torch.zeros(2, 4, 3, 3, dtype=torch.uint8), [5, 6], [3, 3], [2, 2], [1, 1], [1, 1],
    ),
    "avg_pool2d": lambda: (torch.randn(2, 4, 5, 6).requires_grad_(), [3, 3], [2, 2], [1, 1], False, True, 0),
    "avg_pool2d_gradient": lambda: (torch.randn(2, 4, 3, 3), [5, 6], [3, 3], [2, 2], [1, 1], True, 0),
}  # fmt: skip

COMPILE = {
    "max pool": (lambda x: ops.max_pool2d(x, 3, 2, 1), ((8, 64, 64, 64),)),
    "average pool": (lambda x: ops.avg_pool2d(x, 3, 2, 1, count_include_pad=False), ((8, 64, 64, 64),)),
}

MAXIMA = {
    "2x2": {"kernel": 2},
    "overlapping, padded": {"kernel": 3, "stride": 2, "padding": 1},
    "stride 1, unequal": {"kernel": (3, 2), "stride": 1, "padding": (1, 0)},
    "ceil mode": {"kernel": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    "ceil mode drops a window in the padding": {"kernel": 2, "stride": 3, "padding": 1, "ceil_mode": True},
    "dilation": {"kernel": 2, "stride": 3, "dilation": 2},
    "window above 256: wide places": {"kernel": (24, 20), "stride": 3, "padding": (12, 10)},
}
MEANS = {
    "2x2": {"kernel": 2},
    "padding counts": {"kernel": 3, "stride": 2, "padding": 1},
    "padding does not count": {"kernel": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    "ceil mode": {"kernel": (3, 2), "stride": 2, "padding": 1, "ceil_mode": True},
    "ceil mode, padding does not count": {
        "kernel": (3, 2), "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False
    },
    "divisor given": {"kernel": 3, "divisor_override": 2},
    "whole map": {"kernel": (7, 8)},
}  # fmt: skip
SHAPE = (2, 5, 7, 8)
DTYPES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])


def plane(dtype=torch.float32):
    torch.manual_seed(0)
    return torch.randn(SHAPE).to(dtype).requires_grad_()


@kernel
@pytest.mark.parametrize("keywords", MAXIMA.values(), ids=MAXIMA.keys())
def test_maximum_agrees_with_float64(keywords) -> None:
    assert_exact_enough(lambda x: ops.max_pool2d(x, **keywords), [plane()], terms=9)


@kernel
@pytest.mark.parametrize("keywords", MEANS.values(), ids=MEANS.keys())
def test_mean_agrees_with_float64(keywords) -> None:
    assert_exact_enough(lambda x: ops.avg_pool2d(x, **keywords), [plane()], terms=9)


@kernel
@DTYPES
def test_half_precision(dtype) -> None:
    assert_exact_enough(lambda x: ops.max_pool2d(x, 3, 2, 1), [plane(dtype)], terms=9)
    assert_exact_enough(lambda x: ops.avg_pool2d(x, 3, 2, 1), [plane(dtype)], terms=9)


@kernel
@pytest.mark.parametrize("keywords", MAXIMA.values(), ids=MAXIMA.keys())
def test_of_equal_values_the_first_gets_the_gradient(keywords) -> None:
    torch.manual_seed(0)
    x = torch.randint(0, 3, SHAPE).float().requires_grad_()  # ties in nearly every window
    assert_exact_enough(lambda x: ops.max_pool2d(x, **keywords), [x], terms=9)


@kernel
@pytest.mark.parametrize("keywords", [MAXIMA["2x2"], MAXIMA["overlapping, padded"], MAXIMA["dilation"]])
def test_nan_wins_and_minus_infinity_is_a_value(keywords) -> None:
    x = plane().detach()
    x[0, 0, 2:4, 3:5] = float("nan")  # two in one window: torch keeps the last
    x[1, :, :5, :5] = -float("inf")
    assert_exact_enough(lambda x: ops.max_pool2d(x, **keywords), [x.requires_grad_()], terms=9)


@kernel
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_many_programs_int64_offsets_strides(small_tiles, monkeypatch, name) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    x = torch.randn(2, 8, 6, 20).transpose(1, 3)[:, :, ::2].detach()[:, 1:].requires_grad_()
    assert_exact_enough(lambda x: getattr(ops, name)(x, 2), [x], terms=4)
    assert len(small_tiles.names) == 2


@kernel
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_channels_last_expanded_gradient_empty_batch(name) -> None:
    pool = getattr(ops, name)
    x = plane()
    out = pool(x, 2)
    assert out.is_contiguous(memory_format=torch.channels_last)
    out.sum().backward()
    assert x.grad.sum() == pytest.approx(out.numel(), rel=1e-6)
    empty = torch.zeros(0, 5, 4, 4, requires_grad=True)
    pool(empty, 2).sum().backward()
    assert empty.grad.shape == empty.shape


@kernel
@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"kernel": 2, "padding": 2}, r"padding from 0 to half the window; got \(2, 2\) for \(2, 2\)"),
        ({"kernel": 0}, "a window and a stride of at least 1"),
        ({"kernel": 9}, r"a window that fits into the padded image; got an image of \(7, 8\)"),
    ],
    ids=["padding", "kernel", "fit"],
)
def test_errors_say_what_was_expected(keywords, words) -> None:
    for pool in (ops.max_pool2d, ops.avg_pool2d):
        with pytest.raises(UsageError, match=words):
            pool(plane(), **keywords)


@kernel
def test_a_divisor_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="expected a positive divisor; got 0"):
        ops.avg_pool2d(plane(), 2, divisor_override=0)


def test_torch_road_is_torch() -> None:
    x = plane().detach()
    with ops.kernels("torch"):
        assert torch.equal(ops.max_pool2d(x, 3, 2, 1, 1, True), F.max_pool2d(x, 3, 2, 1, 1, True))
        assert torch.equal(ops.avg_pool2d(x, 3, 2, 1, False, True, 5), F.avg_pool2d(x, 3, 2, 1, True, False, 5))
