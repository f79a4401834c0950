"""L-BFGS without host reads, against torch.optim's."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from striate.core.checks import UsageError
from striate.core.lbfgs import Lbfgs


def bowl(size: int = 12) -> tuple[Tensor, Tensor]:
    """Return an ill-conditioned Hessian and a start, float64."""
    generator = torch.Generator().manual_seed(0)
    turned, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    hessian = turned @ torch.diag(torch.logspace(0, 3, size, dtype=torch.float64)) @ turned.T
    return hessian, torch.randn(size, generator=generator, dtype=torch.float64)


def value(hessian: Tensor, x: Tensor) -> Tensor:
    """A quadratic with a quartic, so that curvature changes on the way."""
    return x @ hessian @ x / 2 + (x**4).sum()


def walk(rule: Lbfgs, hessian: Tensor, x: Tensor, steps: int) -> list[Tensor]:
    """Return the points after each step."""
    seen = []
    for _ in range(steps):
        given = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(value(hessian, given), given)
        rule.update(x, gradient)
        seen.append(x.clone())
    return seen


@pytest.mark.parametrize("history", [3, 10], ids=["buffers are written over", "history never full at first"])
def test_the_path_is_that_of_torch(history: int) -> None:
    hessian, start = bowl()
    mine = walk(Lbfgs(start, history=history, first=1 / len(start), largest=1e9), hessian, start.clone(), 25)
    theirs = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [theirs], lr=1, max_iter=1, history_size=history, tolerance_grad=0, tolerance_change=0
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = value(hessian, theirs)
        loss.backward()
        return loss

    for point in mine:
        optimizer.step(closure)
        torch.testing.assert_close(point, theirs.detach(), rtol=1e-7, atol=1e-9)  # seen: 3e-11


def test_it_ends_in_the_minimum() -> None:
    hessian, start = bowl()
    assert walk(Lbfgs(start), hessian, start, 200)[-1].abs().max() < 1e-8


def test_the_first_step_moves_a_pixel_by_the_mean_asked_for() -> None:
    hessian, start = bowl()
    moved = walk(Lbfgs(start, first=0.02), hessian, start.clone(), 1)[0]
    assert (moved - start).abs().mean() == pytest.approx(0.02)


def test_a_step_is_shortened_to_the_largest_mean_move() -> None:
    hessian, start = bowl()
    points = [start, *walk(Lbfgs(start, largest=0.003, first=0.001), hessian, start.clone(), 20)]
    moves = [float((b - a).abs().mean()) for a, b in itertools.pairwise(points)]
    assert max(moves) == pytest.approx(0.003)


def test_flat_places_and_repeated_points_stay_finite() -> None:
    x = torch.ones(4)
    rule = Lbfgs(x)
    for gradient in (torch.ones(4), torch.ones(4), torch.ones(4)):
        rule.update(x, gradient)
    assert not rule.inverses.any()  # no change of the gradient, no pair
    rule.update(x, torch.zeros(4))
    rule.update(x, torch.zeros(4))
    assert x.isfinite().all()


def test_a_pair_of_negative_curvature_is_refused() -> None:
    x = torch.tensor([0.1, -0.2])
    rule = Lbfgs(x)
    for _ in range(3):
        rule.update(x, -2 * x)  # a hill: going down it, the gradient turns against the move
    assert not rule.inverses.any()


@pytest.mark.parametrize("name", ["rate", "history", "first", "largest"])
def test_numbers_that_make_no_step_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"expected {name} to be a positive number"):
        Lbfgs(torch.ones(3), **{name: 0})


def test_no_pixels_are_refused() -> None:
    with pytest.raises(UsageError, match="expected pixels to move; got shape"):
        Lbfgs(torch.ones(0))
