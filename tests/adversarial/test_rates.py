"""Curves of robust accuracy."""

import csv
import io

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import bootstrap as scipy_bootstrap

from striate.adversarial import Attackable, DeepFool, Pgd, robustness
from striate.adversarial.budgets import run_within
from striate.adversarial.rates import Curve, Point, bootstrap, to_csv
from striate.core.checks import DataError, UsageError
from striate.core.datasets.classes import from_arrays
from striate.tests.adversarial.stand_ins import NAMES, pictures


@pytest.fixture
def data(small: Attackable):
    images = np.stack(pictures(12))
    labels = small.probabilities(list(images)).argmax(1)
    labels[0] = (labels[0] + 1) % 4
    return from_arrays(images, labels, NAMES)


@pytest.mark.parametrize("attack", [Pgd(steps=5), DeepFool(distance="linf", steps=10)], ids=["pgd", "deepfool"])
def test_a_curve_falls_from_the_clean_accuracy(attack, small: Attackable, data) -> None:
    curve = robustness(small, data, attack, [0.2, 0.01, 0.05], name="small")
    assert [point.epsilon for point in curve.points] == [0, 0.01, 0.05, 0.2]
    heights = [point.robust_accuracy for point in curve.points]
    assert heights[0] == curve.points[0].clean_accuracy == pytest.approx(11 / 12)
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] < 0.2
    for point in curve.points:
        assert point.low <= point.robust_accuracy <= point.high
        assert point.robust_accuracy == pytest.approx(11 / 12 * (1 - point.success_rate))
    rows = list(csv.DictReader(io.StringIO(to_csv([curve]))))
    assert [float(row["robust_accuracy"]) for row in rows] == heights
    assert {row["model"] for row in rows} == {"small"}
    assert curve.to_dict()["distance"] == "linf"


def test_the_interval_is_scipys() -> None:
    flags = np.arange(60) % 3 > 0
    low, high = bootstrap(flags, 0, 4000, 0.95)
    theirs = scipy_bootstrap((flags,), np.mean, n_resamples=4000, method="percentile", rng=0).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_ten_of_ten_is_not_certain() -> None:
    for successes in (0, 10):
        exact = binomtest(successes, 10).proportion_ci(0.95, "exact")
        low, high = bootstrap(np.arange(10) < successes, 0, 2000, 0.95)
        assert (low, high) == pytest.approx((exact.low, exact.high))


def test_budgets_in_another_distance_are_those_of_each_size(small: Attackable) -> None:
    images = [*pictures(2, 12, 12), *pictures(1, 16, 12, seed=5), *pictures(1, 12, 12, seed=6)]
    labels = [NAMES[int(small.probabilities([image]).argmax())] for image in images]
    (found,) = run_within(DeepFool(steps=10), small, images, labels, [0.02], "linf")
    assert [one.epsilon for one in found] == pytest.approx([0.02 * np.sqrt(image.size) for image in images])
    assert all(np.array_equal(one.original, image) for one, image in zip(found, images, strict=True))
    (own,) = run_within(DeepFool(steps=10), small, images, labels, [0.02], None)
    assert [one.epsilon for one in own] == [0.02] * 4
    with pytest.raises(UsageError, match="budgets in linf, for pgd; got budgets in l2; give the budgets in linf"):
        run_within(Pgd(), small, images, labels, [0.5], "l2")


@pytest.mark.parametrize(
    ("fooled", "telling"),
    [((0, 0, 0), 0.3), ((0, 0.1, 0.4), 0.3), ((0.2, 0.7, 1), 0.2), ((0.1, 1, 1), 0.2), ((float("nan"),) * 3, 0.3)],
    ids=["none", "few", "half", "few or all", "none was right"],
)
def test_the_telling_budget_is_the_first_that_fools_half(fooled: tuple[float, ...], telling: float) -> None:
    points = [Point(0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 10)]
    points += [Point(0.1 * k, 1.0, share, 1 - share, 0.0, 1.0, 10) for k, share in enumerate(fooled, 1)]
    assert Curve("m", "pgd", "linf", tuple(points)).telling == pytest.approx(telling)


def test_what_has_no_curve(small: Attackable, data) -> None:
    with pytest.raises(DataError, match="pictures to attack; got none"):
        robustness(small, data.subset([]), Pgd(), [0.1])
    with pytest.raises(DataError, match=r"pictures of the classes .*read them with names=model.names"):
        robustness(small, from_arrays(data.pictures, data.labels, ("w", "x", "y", "z")), Pgd(), [0.1])
    with pytest.raises(UsageError, match=r"a level between 0 and 1; got 95"):
        robustness(small, data, Pgd(), [0.1], level=95)
    with pytest.raises(UsageError, match="at least one epsilon"):
        robustness(small, data, Pgd(), [])
