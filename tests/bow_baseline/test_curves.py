"""Learning curves and where they cross."""

import math

import pytest

from striate.bow_baseline.compare import Comparison
from striate.bow_baseline.contender import Contender
from striate.bow_baseline.curves import crossings, curve_crossings, learning_curves
from striate.tests.bow_baseline.stand_ins import Counts, Means, bands, means

TRAIN, TEST = bands(12), bands(20, seed=1)


@pytest.mark.parametrize(
    ("sizes", "first", "second", "expected"),
    [
        ([1, 100], [0.5, 0.5], [0.4, 0.6], [10]),
        ([1, 10000], [0.5, 0.5], [0.4, 0.8], [10]),
        ([5, 10, 20], [0.5, 0.6, 0.7], [0.3, 0.6, 0.8], [10]),
        ([5, 10, 20, 40], [0.5, 0.6, 0.6, 0.5], [0.3, 0.6, 0.6, 0.8], [math.sqrt(200)]),
        ([5, 10, 20], [0.5, 0.6, 0.7], [0.3, 0.6, 0.6], []),
        ([5, 10], [0.5, 0.6], [0.3, 0.4], []),
        ([2, 4, 8], [0.1, 0.5, 0.1], [0.3, 0.3, 0.3], [2 * math.sqrt(2), 4 * math.sqrt(2)]),
        ([2, 4, 8], [0.3, 0.3, 0.3], [0.3, 0.3, 0.3], []),
        ([7], [0.3], [0.5], []),
    ],
    ids=[
        "in log",
        "nearer the smaller gap",
        "at a point",
        "together, then parted",
        "touch",
        "none",
        "twice",
        "equal",
        "one point",
    ],
)
def test_crossings(sizes: list, first: list, second: list, expected: list) -> None:
    assert crossings(sizes, first, second) == pytest.approx(expected)
    assert crossings(sizes, second, first) == pytest.approx(expected)


def slow(name: str) -> Contender:
    """Knows nothing before it has seen thirty pictures."""

    def fit(train, seed):  # type: ignore[no-untyped-def]
        model = means(name)[0].fit(train, seed)
        return model if len(train) >= 30 else Means(model.centres[::-1] * 0 + 300, 1.0, Counts())

    return Contender(name, fit)


def test_curves_of_a_quick_and_of_a_slow_learner() -> None:
    early, late = means("early", part=0.3, blur=35.0)[0], slow("late")
    results = Comparison([early, late], seeds=(0, 1), per_class=(2, 6), resamples=400).run(TRAIN, TEST)
    curves = {curve.name: curve for curve in learning_curves(results)}
    assert curves["late"].sizes == (2.0, 6.0, 12.0)
    assert curves["late"].accuracies[0].mean == pytest.approx(1 / 3)
    for curve in curves.values():
        assert all(0 <= value.low <= value.mean <= value.high <= 1 for value in curve.accuracies)
    (found,) = curve_crossings(results)
    assert (found.first, found.second) == ("early", "late")
    assert len(found.at) == 1
    assert 6 < found.at[0] < 12
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.at[0] <= found.high
    assert found.share > 0.9


def test_no_curve_no_crossing() -> None:
    assert curve_crossings(Comparison([means("a")[0], means("b")[0]]).run(TRAIN, TEST)) == []
    same = Comparison([means("a")[0], means("b")[0]], per_class=(3,), resamples=50).run(TRAIN, TEST)
    (found,) = curve_crossings(same)
    assert (found.at, found.low, found.share) == ((), None, 0.0)
