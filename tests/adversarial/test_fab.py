"""FAB: its projection against linear and quadratic programs, a linear model's known distance, torchattacks' FAB."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize

from striate.adversarial import Fab
from striate.adversarial.criteria import Misclassified
from striate.adversarial.distances import DISTANCES
from striate.adversarial.fab import shortest
from striate.adversarial.goals import ClassGoal
from striate.adversarial.problem import Problem, Step
from striate.adversarial.victims import Attackable, of_classifier
from striate.core.checks import UsageError
from striate.core.images import to_tensor
from striate.tests.adversarial.stand_ins import Set, pictures
from striate.tests.adversarial.test_oracles import Batch


def planes(count: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points in the box, slopes with a zero among them, and gaps that some move inside the box closes."""
    rng = np.random.default_rng(3)
    points, slopes = rng.random((count, size)), rng.normal(size=(count, size))
    slopes[:, 1] = 0
    points[:, 2] = 1.0
    ends = rng.random((count, size))
    return points, slopes, -(slopes * (ends - points)).sum(1) * rng.choice([0.5, 1.0, 1.5], count)


def program(point: np.ndarray, slope: np.ndarray, gap: float, linf: bool) -> float:
    """Return the least norm of a move by scipy; infinite where there is none."""
    size = len(point)
    if linf:  # variables: the move, and its largest value
        both = np.block([[np.eye(size), -np.ones((size, 1))], [-np.eye(size), -np.ones((size, 1))]])
        bounds = [*((-x, 1 - x) for x in point), (0, None)]
        equal = np.append(slope, 0)[None]
        found = linprog(np.eye(size + 1)[-1], both, np.zeros(2 * size), equal, [-gap], bounds)
        return float(found.fun) if found.success else np.inf
    start = np.zeros(size)
    found = minimize(
        lambda d: ((d**2).sum(), 2 * d), start, jac=True, method="SLSQP", bounds=[(-x, 1 - x) for x in point],
        constraints={"type": "eq", "fun": lambda d: slope @ d + gap, "jac": lambda d: slope}, options={"ftol": 1e-12},
    )  # fmt: skip
    return float(np.sqrt(found.fun)) if found.success else np.inf


@pytest.mark.parametrize("linf", [True, False], ids=["linf", "l2"])
def test_the_way_to_a_plane_is_the_shortest_inside_the_box(linf: bool) -> None:
    points, slopes, gaps = planes(30, 9)
    moves = shortest(*(torch.from_numpy(one) for one in (points, slopes, gaps)), linf).numpy()
    assert (points + moves).min() >= -1e-9
    assert (points + moves).max() <= 1 + 1e-9
    for point, slope, gap, move in zip(points, slopes, gaps, moves, strict=True):
        least = program(point, slope, gap, linf)
        if np.isinf(least):  # out of reach: as near as the box allows
            assert slope @ move == pytest.approx(
                -np.sign(gap) * np.abs(slope) @ np.where(slope * gap < 0, 1 - point, point)
            )
        else:
            assert slope @ move == pytest.approx(-gap, abs=1e-9)
            assert (np.abs(move).max() if linf else np.linalg.norm(move)) == pytest.approx(least, rel=1e-4)


def test_a_plane_is_met_in_float32_over_many_pixels() -> None:
    random = torch.Generator().manual_seed(0)
    slopes = torch.randn(4, 150_528, generator=random) * torch.exp(2 * torch.randn(4, 150_528, generator=random))
    points = torch.randint(0, 256, slopes.shape, generator=random) / 255
    gaps = 1e-5 * slopes.square().sum(1)
    moves = shortest(points, slopes, gaps, linf=False)
    missing = (slopes.double() * moves.double()).sum(1) + gaps.double()
    assert (missing.abs() / gaps).max() < 1e-3


@pytest.mark.parametrize("distance", ["linf", "l2"])
@pytest.mark.parametrize("aim", ["each", "nearest"])
def test_a_linear_models_nearest_boundary_is_found(distance: str, aim: str, linear: Attackable) -> None:
    x = to_tensor(pictures(5, 4, 4, seed=2))
    x = 0.45 + 0.1 * x  # far from the box's edges: the shortest way is known
    weights, scores = linear.network.get_parameter("1.weight"), linear.scores(x).detach()
    y = scores.argmax(1)
    problem = Problem.of(linear, x, ClassGoal(Misclassified(), y), DISTANCES[distance])
    found = Fab(distance=distance, steps=10, aim=aim, halvings=8).perturb(problem).detach()
    order = 1 if distance == "linf" else 2
    slopes = torch.linalg.vector_norm(weights[None] - weights[y][:, None], ord=order, dim=2).detach()
    ways = (scores.gather(1, y[:, None]) - scores) / slopes
    ways[torch.arange(5), y] = torch.inf
    least = ways.amin(1)
    assert (least < 0.3).all()
    assert (linear.scores(found).argmax(1) != y).all()
    torch.testing.assert_close(problem.lengths(found), least, rtol=0.01, atol=1e-4)


@pytest.mark.parametrize("distance", ["linf", "l2"])
def test_digits_are_fooled_as_near_as_by_torchattacks(distance: str, digits: Set) -> None:
    batch = Batch(of_classifier(digits.model), digits.images[:8], digits.labels[:8])
    ours = batch.ours(Fab(distance=distance, steps=20, classes=9), None)
    name = {"linf": "Linf", "l2": "L2"}[distance]
    theirs = batch.torchattacks("FAB", norm=name, eps=5.0, steps=20, multi_targeted=True, n_classes=10)
    between = DISTANCES[distance].between
    assert batch.fooled(ours).all()
    assert between(ours, batch.x).mean() <= 1.02 * between(theirs, batch.x)[batch.fooled(theirs)].mean()


def test_starts_at_random_points_come_no_farther(small: Attackable, images) -> None:
    once, more = (Fab(steps=4, classes=1, restarts=n).run(small, images, seed=2) for n in (1, 3))
    assert once.success.all()
    assert all(b.norms["linf"] <= a.norms["linf"] for a, b in zip(once, more, strict=True))
    assert all(b.queries > a.queries for a, b in zip(once, more, strict=True))


def test_inside_a_ball_a_picture_stops_once_it_is_fooled(small: Attackable, images) -> None:
    x, y = to_tensor(images), torch.from_numpy(small.probabilities(images).argmax(1))
    free = Problem.of(small, x, ClassGoal(Misclassified(), y), DISTANCES["linf"])
    near = free.within(0.2)
    attack = Fab(steps=30, classes=3)
    attack.perturb(free)
    found = attack.perturb(near)
    assert (near.lengths(found) <= 0.2).all()
    assert (near.cost.gradients < free.cost.gradients / 3).all()


def test_what_fab_refuses() -> None:
    with pytest.raises(UsageError, match="aim to be one of each, nearest; got 'all'"):
        Fab(aim="all")
    with pytest.raises(UsageError, match="distance to be one of linf, l2; got 'l1'"):
        Fab(distance="l1")
    with pytest.raises(UsageError, match="classes to be a whole number, 1 or more; got 0"):
        Fab(classes=0)


def test_progress_is_told_at_every_step(small: Attackable) -> None:
    seen: list[Step] = []
    Fab(steps=4, classes=2, restarts=2).run(small, pictures(3), on_step=seen.append)
    assert {(one.attack, one.steps, one.count) for one in seen} == {("fab", 16, 3)}
    assert sorted({one.step for one in seen}) == list(range(17))
    assert [one.step for one in seen] == sorted(one.step for one in seen)
    assert seen[-1].fooled == 3
