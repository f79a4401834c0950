"""Balls, directions and criteria against what they are by definition."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from striate.adversarial.criteria import ConfidenceAtLeast, Misclassified, Targeted
from striate.adversarial.distances import DISTANCES, distance_named
from striate.core.checks import UsageError

ORDERS = {"l1": 1, "l2": 2, "linf": np.inf}


def deltas(count: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, 4, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ORDERS)
def test_norms_are_numpys(name: str) -> None:
    d = deltas()
    expected = [np.linalg.norm(one.flatten().double().numpy(), ORDERS[name]) for one in d]
    assert DISTANCES[name].norm(d).tolist() == pytest.approx(expected, rel=1e-6)
    assert DISTANCES[name].between(d + 1, torch.ones_like(d)).tolist() == pytest.approx(expected, rel=1e-5)


def test_l0_counts_pixels() -> None:
    d = torch.zeros(2, 3, 4, 4)
    d[0, 0, 1, 2] = d[0, 2, 1, 2] = d[0, 1, 3, 3] = 0.1
    assert DISTANCES["l0"].norm(d).tolist() == [2, 0]
    kept = DISTANCES["l0"].project(deltas(2), torch.tensor([3.0, 1.0]))
    assert DISTANCES["l0"].norm(kept).tolist() == [3, 1]
    sizes = deltas(2).abs().sum(1).flatten(1)
    assert kept[1].abs().sum(0).max() == sizes[1].max()


@pytest.mark.parametrize("name", ORDERS)
def test_projections_are_inside_and_nearest(name: str) -> None:
    d, radius = deltas(), torch.tensor([0.5, 1.0, 0.1, 2.0, 1e4])
    distance = DISTANCES[name]
    found = distance.project(d, radius)
    assert (distance.norm(found) <= radius * (1 + 1e-5)).all()
    assert torch.allclose(found[4], d[4], atol=1e-6)
    for seed in range(20):  # no point of the ball is nearer
        other = distance.project(3 * deltas(seed=seed + 1), radius)
        gap = ((other - d) ** 2).sum((1, 2, 3)) - ((found - d) ** 2).sum((1, 2, 3))
        assert (gap >= -1e-4).all()


def test_l1_projection_is_what_an_optimizer_finds() -> None:
    point = np.array([0.9, -0.6, 0.1])
    given = torch.tensor(point, dtype=torch.float32).view(1, 3, 1, 1)
    ours = DISTANCES["l1"].project(given, torch.tensor([1.0])).flatten().numpy()
    around = {"type": "ineq", "fun": lambda x: 1 - np.abs(x).sum()}
    theirs = minimize(lambda x: ((x - point) ** 2).sum(), [0.1, -0.1, 0.1], constraints=around).x
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    np.testing.assert_allclose(ours, [0.65, -0.35, 0], atol=1e-6)


@pytest.mark.parametrize("name", ORDERS)
def test_the_direction_is_the_steepest_of_length_one(name: str) -> None:
    gradient, distance = deltas(), DISTANCES[name]
    found = distance.direction(gradient)
    assert distance.norm(found).tolist() == pytest.approx([1] * 5, rel=1e-5)
    gains = (found * gradient).sum((1, 2, 3))
    for seed in range(20):
        other = distance.project(5 * deltas(seed=seed + 1), torch.ones(5))
        assert (gains >= (other * gradient).sum((1, 2, 3)) - 1e-5).all()


@pytest.mark.parametrize("name", ORDERS)
def test_random_points_fill_the_ball(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    uniform, normal = torch.rand(200, 3, 4, 4, generator=generator), torch.randn(200, 3, 4, 4, generator=generator)
    normal[:, :, 0] = 0  # masked: nothing there, and the rest as long as ever
    radius = torch.rand(200, generator=generator)
    lengths = DISTANCES[name].norm(DISTANCES[name].random(uniform, normal, radius, torch.full((200,), 0.3)))
    assert lengths.max() <= 0.3 * (1 + 1e-5)
    if name == "l1":
        assert torch.allclose(lengths, 0.3 * radius, atol=1e-6)
    else:
        assert lengths.mean() > 0.15


def test_distances_that_do_not_have_it() -> None:
    with pytest.raises(UsageError, match=r"a distance with a steepest direction \(l1, l2, linf\); got l0"):
        DISTANCES["l0"].direction(deltas())
    with pytest.raises(UsageError, match=r"a distance with a random start .*; got l0"):
        DISTANCES["l0"].random(deltas(), deltas(), torch.ones(5), torch.ones(5))
    with pytest.raises(UsageError, match="distance to be one of l0, l1, l2, linf; got 'l3'"):
        distance_named("l3")
    assert distance_named(DISTANCES["l2"]).name == "l2"


def test_criteria_by_hand() -> None:
    scores = torch.tensor([[2.0, 0, 0], [0, 2, 0], [0, 9, 0], [float("nan"), 0, 0]])
    labels, targets = torch.zeros(4, dtype=torch.int64), torch.ones(4, dtype=torch.int64)
    assert Misclassified().met(scores, labels, None).tolist() == [False, True, True, False]
    assert Targeted().met(scores, labels, targets).tolist() == [False, True, True, False]
    both = Misclassified() & ConfidenceAtLeast(0.99)
    assert both.met(scores, labels, None).tolist() == [False, False, True, False]
    assert repr(both) == "Misclassified() & ConfidenceAtLeast(0.99)"
    assert (Targeted() & ConfidenceAtLeast(0.5)).needs_target
    assert not both.needs_target
    for wrong in (0, 1.1, float("nan")):
        with pytest.raises(UsageError, match="a probability above 0, up to 1"):
            ConfidenceAtLeast(wrong)
