"""Kernel matrices of histograms on both roads, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import additive_chi2_kernel, chi2_kernel

from striate.core import ops
from striate.core.checks import UsageError

kernel = pytest.mark.kernel
ROADS = pytest.mark.parametrize("road", ["torch", pytest.param("auto", marks=kernel)], ids=["torch", "kernels"])

RAW = {"histogram_kernel": lambda: (torch.rand(5, 4), torch.rand(3, 4), 0.5, True)}

COMPILE = {
    name: (function, ((1500, 400), (1500, 400)), {"dtype": torch.float32, "gradient": False})
    for name, function in (
        ("chi2", ops.chi2_kernel), ("additive chi2", ops.additive_chi2), ("intersection", ops.histogram_intersection),
    )
}  # fmt: skip

SHAPES = {
    "words": (20, 300, 33),
    "one of each": (1, 5, 1),
    "one bin": (7, 1, 9),
    "above one block": (300, 6, 70),
    "no rows": (0, 6, 4),
    "no bins": (3, 0, 4),
}


def problem(m, d, n):
    """Return histograms with many empty bins, as visual words give them."""
    torch.manual_seed(0)
    return [torch.rand(rows, d).sub(0.5).clamp(min=0) for rows in (m, n)]


@ROADS
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_as_scikit_learn(shape, road) -> None:
    a, b = problem(*shape)
    with ops.kernels(road):
        found = ops.chi2_kernel(a, b, 0.3), ops.additive_chi2(a, b), ops.histogram_intersection(a, b)
    x, y = a.cpu().double().numpy(), b.cpu().double().numpy()
    if min(shape) > 0:
        np.testing.assert_allclose(found[0].cpu(), chi2_kernel(x, y, 0.3), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found[1].cpu(), additive_chi2_kernel(x, y), rtol=1e-5, atol=1e-6)
    expected = np.minimum(x[:, None], y[None]).sum(2)
    np.testing.assert_allclose(found[2].cpu(), expected, rtol=1e-5, atol=1e-6)
    assert all(t.dtype == torch.float32 and t.shape == expected.shape for t in found)


@ROADS
def test_float64_half_and_strides(road) -> None:
    a, b = problem(9, 20, 7)
    with ops.kernels(road):
        expected = ops.chi2_kernel(a, b)
        assert torch.equal(ops.chi2_kernel(a.T.contiguous().T, b.repeat(1, 2)[:, :20]), expected)
        for dtype in (torch.float16, torch.bfloat16):
            a2, b2 = a.to(dtype), b.to(dtype)
            torch.testing.assert_close(ops.chi2_kernel(a2, b2), ops.chi2_kernel(a2.float(), b2.float()))
    with ops.kernels("torch"):
        assert ops.chi2_kernel(a.double(), b.double()).dtype == torch.float64


@ROADS
def test_equal_histograms_are_at_no_distance_and_nan_stays(road) -> None:
    a, _ = problem(5, 8, 5)
    with ops.kernels(road):
        assert torch.equal(ops.chi2_kernel(a, a).diag(), torch.ones(5))
        torch.testing.assert_close(ops.histogram_intersection(a, a).diag(), a.sum(1))
        a[2, 3] = float("nan")
        for function in (ops.chi2_kernel, ops.additive_chi2, ops.histogram_intersection):
            assert function(a, a).isnan().any(1).all()
            assert function(a, a)[:2, :2].isfinite().all()


@kernel
def test_many_programs_and_int64_offsets(monkeypatch) -> None:
    from striate.core.kernels import launch, tiles

    a, b = problem(50, 20, 40)
    expected = ops.chi2_kernel(a, b)
    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    monkeypatch.setattr(tiles, "power", lambda size, most: 16)
    torch.testing.assert_close(ops.chi2_kernel(a, b), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: ops.chi2_kernel(x, x[:, :3]), r"\(M, D\) and \(N, D\) of one dtype on one device; got \(5, 4\)"),
        (lambda x: ops.chi2_kernel(x, x.half()), "of one dtype on one device"),
        (lambda x: ops.chi2_kernel(x, x, 0), "gamma above 0; got 0"),
        (lambda x: ops.additive_chi2(x.requires_grad_(), x), "histograms that want no gradient"),
    ],
    ids=["bins", "dtypes", "gamma", "gradient"],
)
def test_errors(call, words) -> None:
    with pytest.raises(UsageError, match=words):
        call(torch.zeros(5, 4))


def test_negative_numbers_are_refused_on_a_cpu() -> None:
    x = torch.tensor([[0.5, -0.1]])
    with pytest.raises(UsageError, match="histograms without negative numbers; got a number below 0"):
        ops.histogram_intersection(x, x)
