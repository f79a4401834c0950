"""Resizing: kernels under the interpreter against torch, nearest to the bit and bilinear against float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from striate.core import layers, ops
from striate.core.checks import UsageError
from striate.core.testing import assert_exact_enough

kernel = pytest.mark.kernel

RAW = {
    "upsample": lambda: (
        torch.randn(2, 4, 5, 6).requires_grad_(), torch.randn(2, 4, 3, 3).requires_grad_(),
        [3, 3], [2.0, 2.0], True, False,
    ),
    "upsample_gradient": lambda: (torch.randn(2, 4, 3, 3), [5, 6], [2.0, 2.0], True, False),
}  # fmt: skip

COMPILE = {
    "nearest": (lambda x: ops.upsample(x, 2), ((8, 64, 64, 64),)),
    "bilinear": (lambda x: ops.upsample(x, 2, mode="bilinear"), ((8, 64, 64, 64),)),
    "nearest and skip": (lambda x, s: ops.upsample(x, 2, skip=s), ((8, 64, 64, 64), (8, 64, 128, 128))),
    "bilinear and skip": (
        lambda x, s: ops.upsample(x, 2, mode="bilinear", skip=s), ((8, 64, 64, 64), (8, 64, 128, 128)), {"wide": True},
    ),
}  # fmt: skip

TARGETS = {
    "doubled": {"scale": 2},
    "odd factor": {"scale": 1.7},
    "shrunk and grown": {"scale": (0.5, 3.0)},
    "to a size": {"size": (7, 3)},
    "much wider": {"size": (4, 41)},
    "the same size": {"size": (4, 5)},
    "to one pixel": {"size": (1, 1)},
}
SHAPE = (1, 5, 4, 5)
CASES = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
CORNERS = pytest.mark.parametrize("corners", [False, True], ids=["centres", "corners"])


@kernel
@CASES
def test_nearest_is_torch_to_the_bit(target) -> None:
    torch.manual_seed(0)
    x = torch.randn(SHAPE, requires_grad=True)
    out = ops.upsample(x, **target)
    with ops.kernels("torch"):
        expected = ops.upsample(x, **target)
    assert torch.equal(out, expected)
    assert_exact_enough(lambda x: ops.upsample(x, **target), [x], terms=40)


@kernel
@CASES
@CORNERS
def test_bilinear_agrees_with_float64(target, corners) -> None:
    torch.manual_seed(0)
    x = torch.randn(SHAPE, requires_grad=True)
    # Terms 40 * 40: positions up to 40 are rounded to 40 * 2^-24, and so are the shares. Worst seen: 0.6 of it.
    assert_exact_enough(lambda x: ops.upsample(x, **target, mode="bilinear", align_corners=corners), [x], terms=1600)


@kernel
@CORNERS
def test_from_one_pixel(corners) -> None:
    x = torch.randn(2, 3, 1, 1, requires_grad=True)
    assert_exact_enough(lambda x: ops.upsample(x, size=(5, 7), mode="bilinear", align_corners=corners), [x], terms=35)


@kernel
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_precision(dtype) -> None:
    x = torch.randn(SHAPE).to(dtype).requires_grad_()
    assert_exact_enough(lambda x: ops.upsample(x, 2, mode="bilinear"), [x], terms=16)


@kernel
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_many_programs_int64_offsets_strides(small_tiles, monkeypatch, mode) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    x = torch.randn(1, 4, 5, 20).transpose(1, 3)[:, 1:].detach().requires_grad_()
    assert_exact_enough(lambda x: ops.upsample(x, 2, mode=mode), [x], terms=1600)
    assert small_tiles.names == ["upsample_forward", "upsample_backward"]


@kernel
def test_channels_last_expanded_gradient_empty_batch() -> None:
    x = torch.randn(SHAPE, requires_grad=True)
    out = ops.upsample(x, 2)
    assert out.is_contiguous(memory_format=torch.channels_last)
    out.sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 4))
    empty = torch.zeros(0, 5, 4, 4, requires_grad=True)
    ops.upsample(empty, 2).sum().backward()
    assert empty.grad.shape == empty.shape


@kernel
@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"scale": 2, "size": 3}, "exactly one of scale and size; got scale=2, size=3"),
        ({}, "exactly one of scale and size"),
        ({"scale": 0.1}, "fits into the padded image"),
    ],
    ids=["both", "neither", "nothing left"],
)
def test_errors_say_what_was_expected(keywords, words) -> None:
    with pytest.raises(UsageError, match=words):
        ops.upsample(torch.zeros(SHAPE), **keywords)


MODES = pytest.mark.parametrize("mode", ["nearest", "bilinear"])


@kernel
@MODES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=["fp32", "fp16", "bf16"])
def test_skip_agrees_with_float64(count_launches, mode, dtype) -> None:
    x = torch.randn(SHAPE).to(dtype).requires_grad_()
    skip = torch.randn(1, 5, 8, 10).to(dtype).requires_grad_()
    assert_exact_enough(lambda x, s: ops.upsample(x, 2, mode=mode, skip=s), [x, skip], terms=400)
    assert count_launches.names == ["upsample_forward", "upsample_backward"]


@kernel
@MODES
def test_skip_many_programs_int64_offsets_strides(small_tiles, monkeypatch, mode) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    x = torch.randn(1, 4, 3, 20).transpose(1, 3)[:, 1:].detach().requires_grad_()
    skip = torch.randn(1, 19, 6, 8).requires_grad_()
    assert_exact_enough(lambda x, s: ops.upsample(x, size=(6, 8), mode=mode, skip=s), [x, skip], terms=400)


@kernel
def test_a_skip_alone_costs_no_kernel_backward(count_launches) -> None:
    skip = torch.randn(1, 5, 8, 10, requires_grad=True)
    out = ops.upsample(torch.randn(SHAPE), 2, skip=skip)
    out.sum().backward()
    assert torch.equal(skip.grad, torch.ones_like(skip))
    assert count_launches.names == ["upsample_forward"]
    empty = ops.upsample(torch.zeros(0, 5, 4, 5), 2, skip=torch.zeros(0, 5, 8, 10))
    assert empty.shape == (0, 5, 8, 10)


@pytest.mark.parametrize(
    ("skip", "words"),
    [
        (torch.zeros(1, 5, 8, 1), r"a skip of shape \(1, 5, 8, 10\), torch.float32 on .*; got \(1, 5, 8, 1\)"),
        (torch.zeros(1, 5, 8, 10, dtype=torch.float16), "got .* torch.float16 on"),
    ],
    ids=["not broadcast", "dtype"],
)
@pytest.mark.parametrize("target", [{"scale": 2}, {"scale": (2.0, 2.0)}, {"size": (8, 10)}])
def test_a_skip_that_does_not_fit(skip, words, target) -> None:
    with pytest.raises(UsageError, match=words):
        ops.upsample(torch.zeros(SHAPE), **target, skip=skip)


def test_the_layer_takes_a_skip() -> None:
    x, skip = torch.randn(SHAPE), torch.randn(1, 5, 8, 10)
    layer = layers.Upsample(scale_factor=2)
    torch.testing.assert_close(layer(x, skip), layer(x) + skip)


def test_modes() -> None:
    with pytest.raises(UsageError, match="upsample mode to be one of nearest, bilinear; got 'bicubic'"):
        ops.upsample(torch.zeros(SHAPE), 2, mode="bicubic")
    with pytest.raises(UsageError, match="align_corners for bilinear only"):
        ops.upsample(torch.zeros(SHAPE), 2, align_corners=True)


def test_torch_road_is_torch() -> None:
    x = torch.randn(SHAPE)
    with ops.kernels("torch"):
        out = ops.upsample(x, size=(6, 9), mode="bilinear", align_corners=True)
    assert torch.equal(out, F.interpolate(x, size=(6, 9), mode="bilinear", align_corners=True))
