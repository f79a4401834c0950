"""Affine grids and grid sampling: the kernels against float64 torch, forward and every gradient."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

from striate.core import layers, ops
from striate.core.checks import UsageError
from striate.core.testing import assert_exact_enough

kernel = pytest.mark.kernel


def points() -> torch.Tensor:
    return torch.rand(2, 3, 4, 2) * 2 - 1


RAW = {
    "grid_sample": lambda: (
        torch.randn(2, 4, 5, 6).requires_grad_(), points().requires_grad_(), False, True, "border",
    ),
    "grid_sample_map_gradient": lambda: (torch.randn(2, 4, 3, 4), points(), [5, 6], False, True, "zeros", True),
    "grid_sample_grid_gradient": lambda: (torch.randn(2, 4, 3, 4), torch.randn(2, 4, 5, 6), points(), True, "zeros"),
    "affine_grid": lambda: (torch.randn(2, 2, 3).requires_grad_(), [3, 4], True),
    "affine_grid_gradient": lambda: (torch.randn(2, 3, 4, 2), False),
}  # fmt: skip


def in_order(x, grid):
    torch.use_deterministic_algorithms(True)
    try:
        y = ops.grid_sample(x, grid)
        return torch.autograd.grad(y, x, torch.empty_like(y))[0].detach()
    finally:
        torch.use_deterministic_algorithms(False)


SHAPES = ((8, 64, 64, 64), (8, 32, 32, 2))
COMPILE = {
    **{
        f"grid sample, {mode}, {padding}": (
            lambda x, grid, m=mode, p=padding: ops.grid_sample(x, grid, m, p), SHAPES, {"dtype": torch.float32},
        )
        for mode, padding in (("bilinear", "zeros"), ("nearest", "border"), ("bilinear", "reflection"))
    },
    "grid sample, half": (ops.grid_sample, SHAPES),
    "grid sample, in order": (in_order, SHAPES),
    "affine grid": (lambda theta: ops.affine_grid(theta, (8, 3, 64, 64)), ((8, 2, 3),)),
}  # fmt: skip


def problem(shape, size, dtype=torch.float32, reach=1.6):
    """Return a map and a grid that leaves it; no point lies where rounding could put it on another pixel."""
    torch.manual_seed(0)
    x, grid = torch.randn(shape), (torch.rand(shape[0], *size, 2) * 2 - 1) * reach
    return [t.to(dtype).requires_grad_() for t in (x, grid)]


@kernel
@pytest.mark.parametrize(
    ("mode", "padding", "align"),
    list(product(("bilinear", "nearest"), ("zeros", "border", "reflection"), (False, True))),
)
def test_kernels_agree_with_float64(mode, padding, align) -> None:
    tensors = problem((2, 5, 4, 6), (3, 7), reach=3.3)
    wanted = tensors if mode == "bilinear" else [tensors[0], tensors[1].detach()]

    def function(x, grid):
        return ops.grid_sample(x, grid, mode, padding, align)

    assert_exact_enough(function, wanted, terms=64)  # worst seen: 0.3 of the tolerance: positions are in float32


@kernel
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (1, 70, 3, 1), (2, 3, 1, 5)], ids=["one pixel", "one column, 70 channels", "one row"]
)
@pytest.mark.parametrize("align", [False, True])
def test_narrow_maps(shape, align) -> None:
    for padding in ("zeros", "border", "reflection"):
        tensors = problem(shape, (4, 3))
        assert_exact_enough(lambda x, g, p=padding: ops.grid_sample(x, g, "bilinear", p, align), tensors, terms=70)


@kernel
def test_half_precision() -> None:
    # The grid is rounded to half before: the same positions on both roads, read with weights in float32.
    tensors = problem((2, 5, 4, 6), (3, 7), torch.float16)
    assert_exact_enough(ops.grid_sample, tensors, terms=64)


@kernel
def test_many_programs_strides_and_int64_offsets(small_tiles, monkeypatch) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    x, grid = problem((2, 40, 5, 8), (4, 5))
    turned = grid.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    assert_exact_enough(ops.grid_sample, [x.detach()[..., ::2].requires_grad_(), turned], terms=64)


@kernel
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_in_order_when_torch_asks_for_determinism(mode, count_launches) -> None:
    x, grid = problem((2, 5, 4, 6), (2, 5))
    torch.use_deterministic_algorithms(True)
    try:
        assert_exact_enough(lambda x: ops.grid_sample(x, grid.detach().to(x), mode, "border"), [x], terms=64)
    finally:
        torch.use_deterministic_algorithms(False)
    assert count_launches.launched("sample_map_gradient_in_order")
    assert not count_launches.launched("sample_map_gradient")


@kernel
@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_nan_reads_what_torch_reads(padding) -> None:
    x, grid = problem((1, 3, 4, 5), (2, 3))
    with torch.no_grad():
        grid[0, 1, 1, 0] = float("nan")
        expected = torch.nn.functional.grid_sample(x, grid, padding_mode=padding, align_corners=False)
        torch.testing.assert_close(
            ops.grid_sample(x, grid, padding_mode=padding), expected, atol=1e-5, rtol=1e-5, equal_nan=True
        )


@kernel
def test_halves_round_to_even() -> None:
    x = torch.arange(6.0).view(1, 1, 1, 6)
    grid = torch.zeros(1, 1, 5, 2)
    grid[0, 0, :, 0] = (torch.arange(5.0) + 0.5) * 2 / 5 - 1  # positions 0.5, 1.5, ... with aligned corners
    assert ops.grid_sample(x, grid, "nearest", align_corners=True).flatten().tolist() == [0, 2, 2, 4, 4]


@kernel
@pytest.mark.filterwarnings("ignore:Since version 1.3.0, affine_grid behavior:UserWarning")  # torch's, of one pixel
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (1, 1, 1, 1), (3, 2, 1, 6)], ids=["map", "one pixel", "one row"])
def test_affine_grids(size, align) -> None:
    torch.manual_seed(0)
    theta = torch.randn(size[0], 2, 3).requires_grad_()
    assert_exact_enough(lambda t: ops.affine_grid(t, size, align), [theta], terms=size[2] * size[3])


@kernel
def test_nothing_to_read() -> None:
    x, grid = problem((0, 3, 4, 5), (2, 3))
    ops.grid_sample(x, grid).sum().backward()
    assert x.grad.shape == x.shape
    x, grid = problem((1, 3, 4, 5), (0, 3))
    ops.grid_sample(x, grid).sum().backward()
    assert not x.grad.any()
    theta = torch.zeros(1, 2, 3, requires_grad=True)
    ops.affine_grid(theta, (1, 1, 0, 4)).sum().backward()
    assert not theta.grad.any()


@kernel
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, g: ops.grid_sample(x, g, "bicubic"), "mode to be one of bilinear, nearest; got 'bicubic'"),
        (
            lambda x, g: ops.grid_sample(x, g, padding_mode="wrap"),
            "padding_mode to be one of zeros, border, ",
        ),
        (lambda x, g: ops.grid_sample(x, g[..., :1]), r"a grid \(1, OH, OW, 2\).* got \(1, 2, 3, 1\)"),
        (lambda x, g: ops.grid_sample(x, g.half()), r"got \(1, 2, 3, 2\) torch.float16"),
        (lambda x, g: ops.grid_sample(x[:, :, :0], g), r"a map with pixels to read; got shape \(1, 3, 0, 5\)"),
        (lambda x, g: ops.affine_grid(x, (1, 1, 2, 2)), r"theta \(N, 2, 3\) and a size"),
    ],
    ids=["mode", "padding", "grid", "dtype", "empty", "theta"],
)
def test_errors(call, words) -> None:
    with pytest.raises(UsageError, match=words):
        call(torch.zeros(1, 3, 4, 5), torch.zeros(1, 2, 3, 2))


def test_a_spatial_transformer_begins_as_the_identity_and_learns_a_shift() -> None:
    torch.manual_seed(0)
    line = torch.linspace(-2, 2, 16)
    blob = torch.exp(-(line[:, None] ** 2) - line[None] ** 2)[None, None]
    away = ops.grid_sample(blob, ops.affine_grid(torch.tensor([[[1.0, 0, 0.4], [0, 1, -0.3]]]), (1, 1, 16, 16)))
    layer = layers.SpatialTransformer(nn.AvgPool2d(4), 16)
    torch.testing.assert_close(layer(away), away, atol=1e-5, rtol=1e-5)
    optimizer = torch.optim.Adam(layer.parameters(), 0.02)
    before = (layer(away) - blob).square().mean().item()
    for _ in range(60):
        optimizer.zero_grad()
        loss = (layer(away) - blob).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05 * before  # seen: 0.001 of it
