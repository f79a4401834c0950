"""Adaptive and global pooling: kernels under the interpreter against float64; bins, ties, NaN, sums in parts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from striate.core import layers, ops
from striate.core.checks import UsageError
from striate.core.testing import assert_exact_enough

kernel = pytest.mark.kernel
maximum: Any = ops.adaptive_max_pool2d  # a tensor or two

RAW = {
    "adaptive_avg_pool2d": lambda: (torch.randn(2, 4, 5, 6).requires_grad_(), [2, 4]),
    "adaptive_avg_pool2d_gradient": lambda: (torch.randn(2, 4, 2, 4), [5, 6]),
    "adaptive_max_pool2d": lambda: (torch.randn(2, 4, 5, 6).requires_grad_(), [2, 4]),
    "adaptive_max_pool2d_gradient": lambda: (
        torch.randn(2, 4, 2, 4), torch.zeros(2, 4, 2, 4, dtype=torch.int32), [5, 6],
    ),
}  # fmt: skip

COMPILE = {
    "adaptive average pool": (lambda x: ops.adaptive_avg_pool2d(x, 7), ((8, 64, 60, 61),)),
    "global average pool": (lambda x: ops.adaptive_avg_pool2d(x, 1), ((128, 512, 7, 7),)),
    "global average pool in parts": (lambda x: ops.adaptive_avg_pool2d(x, 1), ((2, 64, 512, 512),)),
    "adaptive average pool, int64": (lambda x: ops.adaptive_avg_pool2d(x, 7), ((8, 64, 60, 61),), {"wide": True}),
    "adaptive max pool": (lambda x: ops.adaptive_max_pool2d(x, 7), ((8, 64, 60, 61),)),
    "global max pool": (lambda x: ops.adaptive_max_pool2d(x, 1), ((128, 512, 7, 7),), {"dtype": torch.float32}),
    "adaptive max pool, int64": (lambda x: ops.adaptive_max_pool2d(x, 7), ((8, 64, 60, 61),), {"wide": True}),
}

SIZES = {
    "global": ((2, 5, 7, 8), 1),
    "even bins": ((2, 5, 6, 8), (3, 4)),
    "overlapping bins": ((2, 5, 7, 11), (5, 4)),
    "one direction kept": ((2, 5, 7, 8), (None, 3)),
    "more bins than pixels": ((2, 5, 4, 3), (7, 8)),
    "one pixel": ((3, 5, 1, 1), 1),
    "one channel": ((2, 1, 9, 9), 4),
    "channels above a tile": ((1, 70, 5, 5), 2),
}
CASES = pytest.mark.parametrize(("shape", "size"), SIZES.values(), ids=SIZES.keys())
NAMES = pytest.mark.parametrize("name", ["adaptive_avg_pool2d", "adaptive_max_pool2d"], ids=["average", "max"])
POOLS = {"adaptive_avg_pool2d": F.adaptive_avg_pool2d, "adaptive_max_pool2d": F.adaptive_max_pool2d}


def image(shape=(2, 5, 7, 11), dtype=torch.float32):
    torch.manual_seed(0)
    return torch.randn(shape).to(dtype).requires_grad_()


@kernel
@CASES
@NAMES
def test_agrees_with_float64(name, shape, size) -> None:
    # Worst seen: 0.05 of the tolerance.
    assert_exact_enough(lambda x: getattr(ops, name)(x, size), [image(shape)], terms=64)


@kernel
@NAMES
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_precision(name, dtype) -> None:
    assert_exact_enough(lambda x: getattr(ops, name)(x, (3, 4)), [image(dtype=dtype)], terms=16)


@kernel
@pytest.mark.parametrize("size", [1, (1, 2)], ids=["global", "bins"])
def test_sums_in_parts_agree_and_repeat(small_tiles, size) -> None:
    x = image((2, 5, 12, 8))
    assert_exact_enough(lambda x: ops.adaptive_avg_pool2d(x, size), [x], terms=96)
    assert small_tiles.names[:2] == ["adaptive_means", "sum_parts"]
    assert torch.equal(ops.adaptive_avg_pool2d(x, size), ops.adaptive_avg_pool2d(x, size))


@kernel
@NAMES
def test_many_programs_int64_offsets_strides(small_tiles, monkeypatch, name) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    x = torch.randn(2, 8, 6, 20).transpose(1, 3)[:, :, ::2].detach()[:, 1:].requires_grad_()
    assert_exact_enough(lambda x: getattr(ops, name)(x, (2, 5)), [x], terms=8)


@kernel
@CASES
def test_of_equal_values_the_first_gets_the_gradient(shape, size) -> None:
    torch.manual_seed(0)
    x = torch.randint(0, 3, shape).float().requires_grad_()
    assert_exact_enough(lambda x: maximum(x, size), [x], terms=9)
    _, places = maximum(x, size, return_indices=True)
    _, expected = F.adaptive_max_pool2d(x.cpu(), size, return_indices=True)
    assert torch.equal(places.cpu(), expected)


@kernel
@pytest.mark.parametrize("size", [1, (1, 2)], ids=["several tiles of a bin", "overlapping bins"])
def test_nan_wins_and_minus_infinity_is_a_value(small_tiles, size) -> None:
    x = image((2, 5, 5, 7)).detach()
    x[0, 0, 2:4, 3:5] = float("nan")  # several in one bin: torch keeps the last
    x[1] = -float("inf")
    for pool in (ops.adaptive_max_pool2d, ops.adaptive_avg_pool2d):
        assert_exact_enough(lambda x, pool=pool: pool(x, size), [x.clone().requires_grad_()], terms=35)


@kernel
@NAMES
def test_channels_last_expanded_gradient_empty_batch(name) -> None:
    pool = getattr(ops, name)
    x = image()
    out = pool(x, 3)
    assert out.is_contiguous(memory_format=torch.channels_last)
    out.sum().backward()
    assert x.grad.sum() == pytest.approx(out.numel(), rel=1e-5)
    empty = torch.zeros(0, 5, 4, 4, requires_grad=True)
    pool(empty, 2).sum().backward()
    assert empty.grad.shape == empty.shape


@kernel
@NAMES
def test_errors_say_what_was_expected(name) -> None:
    with pytest.raises(UsageError, match=r"an output size of at least one pixel; got \(7, 11\) to \(0, 2\)"):
        getattr(ops, name)(image(), (0, 2))
    with pytest.raises(UsageError, match=r"a tensor \(N, C, H, W\); got shape \(3, 4\)"):
        getattr(ops, name)(torch.zeros(3, 4), 2)


@NAMES
def test_torch_road_is_torch(name) -> None:
    x = image().detach()
    with ops.kernels("torch"):
        assert torch.equal(getattr(ops, name)(x, (2, None)), POOLS[name](x, (2, None)))


@pytest.mark.parametrize("name", ["AdaptiveAvgPool2d", "AdaptiveMaxPool2d"])
def test_layers_are_those_of_torch(name) -> None:
    ours, theirs = getattr(layers, name)((3, None)), getattr(torch.nn, name)((3, None))
    assert isinstance(ours, type(theirs))
    torch.testing.assert_close(ours(image()), theirs(image()))


@kernel
def test_the_max_layer_returns_indices() -> None:
    x = image()
    ours = layers.AdaptiveMaxPool2d(3, return_indices=True)(x)
    assert torch.equal(ours[1].cpu(), torch.nn.AdaptiveMaxPool2d(3, return_indices=True)(x.cpu())[1])
