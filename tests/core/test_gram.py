"""Gram matrices of several layers at once, against float64, forward and backward."""

from __future__ import annotations

import pytest
import torch

from striate.core import ops
from striate.core.checks import UsageError
from striate.core.testing import tolerance

kernel = pytest.mark.kernel

RAW = {
    "gram": lambda: ([torch.randn(2, 4, 5, 6), torch.randn(2, 3, 2, 2)], [0.5, 1.0], "ieee"),
    "gram_gradient": lambda: (
        torch.randn(2 * 16 + 2 * 9), [torch.randn(2, 4, 5, 6), torch.randn(2, 3, 2, 2)], [0.5, 1.0], "ieee",
    ),
}  # fmt: skip


def style(*maps):
    return ops.gram(maps)


LAYERS = ((1, 64, 128, 128), (1, 128, 64, 64), (1, 256, 32, 32))
COMPILE = {
    "gram, half": (style, LAYERS),
    "gram, channels not a multiple of 16": (style, ((1, 24, 64, 64), (2, 50, 32, 32))),
    "gram, float16": (style, LAYERS, {"dtype": torch.float16}),
    "gram, float16, channels not a multiple of 16": (
        style,
        ((1, 24, 64, 64), (2, 50, 32, 32)),
        {"dtype": torch.float16},
    ),
    "gram, float32": (style, LAYERS, {"dtype": torch.float32}),
}

SHAPES = {
    "three layers": ((1, 16, 6, 6), (1, 24, 3, 5), (1, 40, 2, 2)),
    "one layer": ((2, 20, 5, 4),),
    "one channel, one pixel": ((1, 1, 4, 5), (3, 7, 1, 1)),
    "several tiles a side": ((1, 150, 3, 3), (2, 70, 2, 5)),
    "images of different number": ((3, 5, 4, 4), (1, 9, 3, 2)),
}


def check(shapes, dtype=torch.float32, divisor="pixels"):
    """Compare values and gradients with float64; return the worst share of the tolerance."""
    torch.manual_seed(0)
    maps = [torch.randn(s).to(dtype).requires_grad_() for s in shapes]
    exact = [m.detach().cpu().double().requires_grad_() for m in maps]
    found = ops.gram(maps, divisor, precision="ieee")
    incoming = [torch.randn(g.shape) for g in found]
    with ops.kernels("torch"):
        truth = ops.gram(exact, divisor)
    slopes = torch.autograd.grad(found, maps, incoming)
    true_slopes = torch.autograd.grad(truth, exact, [i.cpu().double() for i in incoming])
    worst = 0.0
    for ours, theirs, kind in (
        *((a, b, torch.float32) for a, b in zip(found, truth, strict=True)),
        *((a, b, dtype) for a, b in zip(slopes, true_slopes, strict=True)),
    ):
        assert ours.dtype == kind
        size = max(1e-3, theirs.detach().square().mean().sqrt().item())
        error = (ours.detach().cpu().double() - theirs.detach()).abs().max().item() / size
        worst = max(worst, error / tolerance(kind, 300))
    assert worst < 1
    return worst


@kernel
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES.keys())
def test_kernels_agree_with_float64(shapes, count_launches) -> None:
    check(shapes)  # worst seen: 0.1 of the tolerance
    assert [name for name in count_launches.names if name.startswith("gram")] == ["gram_forward", "gram_backward"]


@kernel
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_maps_give_float32_matrices(dtype) -> None:
    check(SHAPES["three layers"], dtype)


@kernel
@pytest.mark.parametrize("divisor", ["none", "pixels", "elements"])
def test_divisors(divisor) -> None:
    check(SHAPES["three layers"], divisor=divisor)
    x = torch.randn(1, 3, 4, 5)
    scale = {"none": 1, "pixels": 20, "elements": 60}[divisor]
    rows = x.flatten(2)
    torch.testing.assert_close(ops.gram([x], divisor)[0] * scale, rows @ rows.mT, atol=1e-5, rtol=1e-5)


@kernel
@pytest.mark.parametrize(
    ("size", "slope", "divisor"), [(0.1, 1e5, "elements"), (1000.0, 1e-9, "none")], ids=["scaled loss", "small loss"]
)
def test_a_gradient_beyond_float16_of_maps_in_float16(size, slope, divisor) -> None:
    torch.manual_seed(0)
    x = (torch.rand(1, 16, 8, 8) * size).half().requires_grad_()
    incoming = torch.rand(1, 16, 16) * slope
    (found,) = torch.autograd.grad(ops.gram([x], divisor), x, [incoming])
    scale = {"none": 1.0, "elements": 1 / (16 * 64)}[divisor]
    expected = scale * (incoming + incoming.mT).double() @ x.detach().double().flatten(2)
    torch.testing.assert_close(found.double().flatten(2), expected, atol=1e-7, rtol=2e-3)  # 1e-7: two subnormals


@kernel
def test_many_programs_and_parts(small_tiles, monkeypatch) -> None:
    from striate.core.kernels import tiles

    monkeypatch.setattr(tiles, "power", lambda size, most: 16)
    check(((2, 50, 7, 9), (1, 33, 4, 5), (1, 16, 12, 12)))
    assert small_tiles.launched("sum_parts")


@kernel
def test_symmetric_to_the_bit_repeatable_and_of_any_strides() -> None:
    x = torch.randn(2, 70, 6, 5)
    first = ops.gram([x])[0]
    assert torch.equal(first, first.mT)
    assert torch.equal(first, ops.gram([x.contiguous(memory_format=torch.channels_last)])[0])
    x = x.requires_grad_()
    ops.gram([x])[0].sum().backward()  # a gradient of stride 0
    torch.testing.assert_close(x.grad, 2 / 30 * x.sum(1, keepdim=True).expand_as(x), atol=1e-5, rtol=1e-5)


@kernel
def test_only_the_layers_that_want_a_gradient_get_one_and_nan_stays() -> None:
    a, b = torch.randn(1, 4, 3, 3).requires_grad_(), torch.randn(1, 5, 2, 2)
    sum(g.sum() for g in ops.gram([a, b])).backward()
    assert a.grad is not None
    a = torch.zeros(1, 3, 2, 2)
    a[0, 1, 0, 0] = float("nan")
    assert ops.gram([a])[0].isnan().sum() == 5  # its row and its column


@kernel
def test_nothing_to_sum() -> None:
    assert ops.gram([torch.zeros(0, 4, 3, 3)])[0].shape == (0, 4, 4)
    assert not ops.gram([torch.zeros(2, 4, 0, 3)])[0].any()


@pytest.mark.parametrize(
    ("features", "divisor", "words"),
    [
        ([], "none", "at least one map"),
        ([torch.zeros(3, 4, 5)], "none", r"at least one map \(N, C, H, W\); got shapes \[\(3, 4, 5\)\]"),
        ([torch.zeros(1, 3, 4, 5)], "pixel", "divisor to be one of none, pixels, elements; got 'pixel'"),
    ],
    ids=["none", "dimensions", "divisor"],
)
def test_errors(features, divisor, words) -> None:
    with pytest.raises(UsageError, match=words):
        ops.gram(features, divisor)


@kernel
def test_maps_must_be_alike() -> None:
    with pytest.raises(UsageError, match=r"maps of one dtype on one device; got torch.float16 on"):
        ops.gram([torch.zeros(1, 3, 4, 5), torch.zeros(1, 3, 4, 5).half()])
