"""Projected L-BFGS against scipy's L-BFGS-B."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize as scipy_minimize

from striate.adversarial.boxed_lbfgs import minimize


@pytest.mark.parametrize("seed", range(4))
def test_it_finds_scipys_minimum_of_quadratics_in_a_box(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, size = 5, 12
    roots = rng.normal(size=(count, size, size))
    curvature = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(size)
    slope = rng.normal(size=(count, size)) * 3
    a, b = torch.from_numpy(curvature), torch.from_numpy(slope)

    def value(x: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        product = (a[rows] @ x[..., None])[..., 0]
        return (x * product).sum(1) / 2 + (b[rows] * x).sum(1), product + b[rows]

    start = torch.full((count, size), 0.5, dtype=torch.float64)
    found = minimize(value, start, torch.zeros_like(start), torch.ones_like(start), steps=100)
    assert found.min() >= 0
    assert found.max() <= 1
    for row in range(count):
        theirs = scipy_minimize(
            lambda x, row=row: (x @ curvature[row] @ x / 2 + slope[row] @ x, curvature[row] @ x + slope[row]),
            start[row].numpy(), jac=True, bounds=[(0, 1)] * size, method="L-BFGS-B",
        ).fun  # fmt: skip
        ours = float(value(found[row : row + 1], torch.tensor([row]))[0])
        assert ours <= theirs + 1e-4 * abs(theirs)


def test_rosenbrocks_valley_inside_and_at_the_edge() -> None:
    def value(x: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = x.detach().requires_grad_(True)
        f = (1 - x[:, 0]) ** 2 + 100 * (x[:, 1] - x[:, 0] ** 2) ** 2
        return f.detach(), torch.autograd.grad(f.sum(), x)[0]

    start = torch.tensor([[-1.2, 1.0], [-1.2, 1.0]], dtype=torch.float64)
    high = torch.tensor([[2.0, 2.0], [0.5, 2.0]], dtype=torch.float64)
    found = minimize(value, start, torch.full_like(start, -2), high, steps=60)
    assert found[0].tolist() == pytest.approx([1, 1], abs=1e-3)
    assert found[1].tolist() == pytest.approx([0.5, 0.25], abs=1e-3)  # the bound holds the first


def test_rows_do_not_see_each_other() -> None:
    def value(x: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = torch.linspace(0.1, 0.9, 3)[rows, None]
        return ((x - wanted) ** 4).sum(1), 4 * (x - wanted) ** 3

    start = torch.zeros(3, 5)
    together = minimize(value, start, torch.zeros(3, 5), torch.ones(3, 5), steps=30)
    alone = minimize(lambda x, rows: value(x, rows + 1), start[1:2], torch.zeros(1, 5), torch.ones(1, 5), steps=30)
    assert torch.allclose(together[1:2], alone, atol=1e-6)


def test_what_is_asked_about_a_row_depends_on_no_other() -> None:
    """Rows of very different difficulty: a parabola is done at once, the valleys go on."""
    sharp = torch.tensor([0.0, 100.0, 10.0], dtype=torch.float64)

    def counted(rows_asked: torch.Tensor, turned: torch.Tensor):
        def value(x: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            rows_asked[rows] += 1
            x, weight = x.detach().requires_grad_(True), sharp[turned[rows]]
            f = (1 - x[:, 0]) ** 2 + (x[:, 1] - 0.5) ** 2 + weight * (x[:, 1] - x[:, 0] ** 2) ** 2
            return f.detach(), torch.autograd.grad(f.sum(), x)[0]

        return value

    start = torch.tensor([[-1.2, 1.0]] * 3, dtype=torch.float64)
    low, high = torch.full_like(start, -2), torch.full_like(start, 2)
    together = torch.zeros(3, dtype=torch.int64)
    found = minimize(counted(together, torch.arange(3)), start, low, high, steps=60)
    for row in range(3):
        alone = torch.zeros(1, dtype=torch.int64)
        one = minimize(counted(alone, torch.tensor([row])), start[:1], low[:1], high[:1], steps=60)
        assert int(alone) == int(together[row])
        assert torch.equal(one[0], found[row])
    assert int(together[0]) < int(together[1]) < 60 * 12  # a row that is done costs nothing


def test_a_row_that_starts_at_its_minimum_is_asked_about_once() -> None:
    asked = []

    def value(x: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append(rows.tolist())
        return ((x + 1) ** 2).sum(1), 2 * (x + 1)

    zeros = torch.zeros(1, 4)
    assert torch.equal(minimize(value, zeros, zeros, torch.ones(1, 4)), zeros)  # the bound holds all of them
    assert asked == [[0]]
