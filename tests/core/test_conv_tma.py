"""The convolution that fetches its tiles with Hopper's copy engine: values, blocks, and what it takes."""

from __future__ import annotations

import pytest
import torch

from striate.core import ops
from striate.core.testing import assert_exact_enough

kernel = pytest.mark.kernel


def convolution(**keywords):
    return lambda x, w: ops.fused_conv2d(x, w, **keywords)


MAPS = {"ResNet's first": (64, 56), "ResNet's second": (128, 28), "YOLO's last": (512, 13)}
COMPILE = {
    **{
        f"tiles by TMA, {name}": (convolution(padding=1), ((32, n, size, size), (n, n, 3, 3)), {"gradient": False})
        for name, (n, size) in MAPS.items()
    },
    "tiles by TMA, all that may follow": (
        lambda x, w, b, s, t, r: ops.fused_conv2d(x, w, b, scale=s, shift=t, residual=r, activation="silu"),
        ((32, 64, 56, 56), (256, 64, 1, 1), (256,), (256,), (256,), (32, 256, 56, 56)),
        {"gradient": False},
    ),
    "tiles by TMA, dilation": (
        convolution(padding=2, dilation=2), ((8, 64, 28, 28), (64, 64, 3, 3)), {"gradient": False},
    ),
}  # fmt: skip

# (image, filters, taps, keywords)
CASES = {
    "3x3": ((2, 64, 8, 8), 64, (3, 3), {"padding": 1}),
    "1x1, more filters than a tile": ((1, 72, 4, 8), 136, (1, 1), {}),
    "a map that no block fits": ((3, 64, 5, 7), 64, (3, 3), {"padding": 1}),
    "channels that hang over a block": ((1, 72, 4, 4), 64, (3, 3), {"padding": 1}),
    "unequal taps and padding": ((1, 64, 6, 5), 64, (3, 2), {"padding": (1, 0)}),
    "dilation": ((1, 64, 7, 7), 64, (3, 3), {"padding": 2, "dilation": 2}),
    "no padding": ((1, 64, 6, 6), 64, (3, 3), {}),
}


@pytest.fixture
def hopper(monkeypatch, count_launches):
    from striate.core.kernels import tiles

    monkeypatch.setattr(tiles, "processors", lambda x: 1)  # these maps are small
    if not torch.cuda.is_available():
        monkeypatch.setattr(tiles, "architecture", lambda x: 90)
    elif torch.cuda.get_device_capability()[0] < 9:
        pytest.skip("this GPU has no tensor memory accelerator")
    return count_launches


def problem(case, dtype):
    torch.manual_seed(0)
    shape, filters, taps, keywords = case
    terms = shape[1] * taps[0] * taps[1]
    tensors = [torch.randn(shape), torch.randn(filters, shape[1], *taps) / terms**0.5]
    return convolution(**keywords), [t.to(dtype) for t in tensors], terms


@kernel
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_agrees_with_float64(case, hopper) -> None:
    function, tensors, terms = problem(case, torch.float16)
    assert_exact_enough(function, tensors, terms=terms)  # worst seen: 0.1 of the tolerance
    assert hopper.names == ["conv_tma"]


@kernel
def test_bfloat16_with_all_that_may_follow_and_int64_offsets(hopper, monkeypatch) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    _, (x, weight), terms = problem(CASES["3x3"], torch.bfloat16)
    others = [torch.randn(64).div(4).bfloat16() for _ in range(3)]
    residual = torch.randn(2, 64, 8, 8).bfloat16()

    def function(x, w, b, s, t, r):
        return ops.fused_conv2d(x, w, b, padding=1, scale=s, shift=t, residual=r, activation="leaky_relu")

    assert_exact_enough(function, [x, weight, *others, residual], terms=4 * terms)
    assert hopper.names == ["conv_tma"]


@kernel
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"stride": 2}, "a stride"),
        ({"groups": 2}, "groups"),
        ({"channels": 60}, "rows that are no multiple of 16 bytes"),
        ({"dtype": torch.float32}, "float32"),
        ({"processors": 132}, "a device that would stand idle"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_leaves_to_the_pointers_what_it_cannot_do(change, why, hopper, monkeypatch) -> None:
    from striate.core.kernels import tiles

    change = dict(change)
    processors = change.pop("processors", 1)
    monkeypatch.setattr(tiles, "processors", lambda x: processors)
    dtype, channels = change.pop("dtype", torch.float16), change.pop("channels", 64)
    x, weight = torch.randn(1, channels, 4, 4).to(dtype), torch.randn(64, channels // change.get("groups", 1), 1, 1)
    ops.conv2d(x, weight.to(dtype), **change)
    assert hopper.names == ["conv_forward"]


@kernel
@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((32, 56, 56), (2, 8, 8)),
        ((32, 28, 28), (8, 4, 4)),
        ((32, 14, 14), (32, 2, 2)),
        ((1, 224, 224), (1, 4, 32)),
        ((1, 13, 13), (1, 8, 16)),
    ],
)
def test_blocks_hang_over_as_little_as_can_be(size, expected) -> None:
    from striate.core.kernels.conv2d_tma import block_for

    block = block_for(*size, 128)
    assert block.TN * block.TH * block.TW == 128
    computed = [-(-length // side) * side for length, side in zip(size, block, strict=True)]
    wished = [-(-length // side) * side for length, side in zip(size, expected, strict=True)]
    assert torch.Size(computed).numel() <= torch.Size(wished).numel()
