"""Paired statistics, against scipy and against chance itself."""

import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control, norm

from striate.bow_baseline.statistics import (
    combine,
    holm,
    interval,
    mcnemar,
    paired_difference,
    resampled_means,
)
from striate.core.checks import DataError, UsageError


def answers(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = (both, first, second, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (3, 3), (10, 2), (7, 31), (400, 350), (1500, 1200)])
def test_mcnemar_is_scipys_binomial_test(first: int, second: int) -> None:
    found = mcnemar(*answers(20, first, second, 5))
    assert (found.only_first, found.only_second) == (first, second)
    expected = binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert found.p_value == pytest.approx(expected, rel=1e-9)


def test_mcnemar_is_symmetric_and_needs_pairs() -> None:
    a, b = answers(5, 9, 2, 4)
    assert mcnemar(a, b).p_value == mcnemar(b, a).p_value
    with pytest.raises(DataError, match="ask both about the same pictures"):
        mcnemar(a, b[:-1])


def test_holm_by_its_definition() -> None:
    p = [0.04, 0.001, 0.3, 0.012]
    assert holm(p) == pytest.approx([0.08, 0.004, 0.3, 0.036])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert all(ours >= theirs for ours, theirs in zip(holm(p), false_discovery_control(p), strict=True))
    assert holm([]) == []


def test_holm_keeps_false_alarms_of_a_family_below_its_level() -> None:
    rng = np.random.default_rng(0)
    alarms = np.mean([min(holm(rng.random(6).tolist())) < 0.05 for _ in range(2000)])
    assert 0.03 < alarms < 0.065  # 5 % expected, standard error 0.5 %


def test_combined_p_values() -> None:
    assert combine([0.2]) == 0.2
    assert combine([0.01, 0.5, 0.03]) == pytest.approx(1.5 * 0.03)
    assert combine([0.9, 0.8]) == 1.0
    with pytest.raises(UsageError, match="at least one p-value"):
        combine([])


def test_combined_p_values_of_dependent_tests_keep_their_level() -> None:
    rng = np.random.default_rng(1)
    shared, own = rng.normal(size=(4000, 1)), rng.normal(size=(4000, 3))
    for weight in (0.0, 0.7, 1.0):
        p = 2 * norm.sf(np.abs(weight * shared + np.sqrt(1 - weight**2) * own))
        assert np.mean([combine(row.tolist()) < 0.05 for row in p]) < 0.06


def test_resampled_means_are_paired_and_repeatable() -> None:
    values = np.random.default_rng(0).random((2, 3, 40)) < 0.7
    draws = resampled_means(np.concatenate([values, values[:1]]), resamples=200, seed=3)
    assert np.array_equal(draws[0], draws[2])
    assert np.array_equal(draws[:2], resampled_means(values, resamples=200, seed=3))
    assert not np.array_equal(draws[:2], resampled_means(values, resamples=200, seed=4))


def test_resampled_means_spread_as_theory_says() -> None:
    values = (np.random.default_rng(0).random((1, 1, 300)) < 0.8).astype(float)
    draws = resampled_means(values, resamples=20000)[0]
    share = values.mean()
    assert draws.mean() == pytest.approx(share, abs=0.001)
    assert draws.std() == pytest.approx(np.sqrt(share * (1 - share) / 300), rel=0.03)


def test_blocks_of_draws_change_nothing_but_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((1, 2, 50)) < 0.6
    monkeypatch.setattr("striate.bow_baseline.statistics.BLOCK", 120)
    draws = resampled_means(values, resamples=4001)
    assert draws.shape == (1, 4001)
    assert draws.mean() == pytest.approx(values.mean(), abs=0.01)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_paired_interval_covers_the_truth(seeds: int) -> None:
    """95 % of the intervals hold the true difference; of intervals that ignore the pairing far too many do."""
    rng, held, width = np.random.default_rng(0), [], []
    for repeat in range(300):
        hard = rng.normal(size=(1, 150))
        first = hard + 0.5 * rng.normal(size=(seeds, 150)) < 0.7
        second = hard + 0.5 * rng.normal(size=(seeds, 150)) < 0.4
        truth = norm.cdf(0.7 / np.sqrt(1.25)) - norm.cdf(0.4 / np.sqrt(1.25))
        found = paired_difference(first, second, resamples=600, seed=repeat)
        held.append(found.low <= truth <= found.high)
        width.append(found.high - found.low)
    # For one seed 95 % and a standard error of 1.3 %; several seeds are drawn as well, which errs on the wide side
    # because each picture's noise then counts twice (Owen 2007, theorem 3).
    assert (0.91 if seeds == 1 else 0.94) <= np.mean(held) <= (0.985 if seeds == 1 else 1.0)
    assert np.mean(width) < 0.2


def test_intervals_refuse_what_is_none() -> None:
    with pytest.raises(UsageError, match="a level between 0 and 1"):
        interval(0.5, np.array([0.4, 0.6]), 1.0)
    with pytest.raises(DataError, match="rows, seeds, pictures"):
        resampled_means(np.zeros((2, 0, 3)))
    with pytest.raises(UsageError, match="resamples to be a positive number"):
        resampled_means(np.zeros((1, 1, 3)), resamples=0)
    with pytest.raises(DataError, match="on the same pictures and seeds"):
        paired_difference(np.ones(3, bool), np.ones(4, bool))


def test_equal_answers_differ_by_nothing() -> None:
    right = np.random.default_rng(0).random((2, 50)) < 0.5
    found = paired_difference(right, right)
    assert (found.mean, found.low, found.high) == (0, 0, 0)
    assert str(found) == "0.000 [0.000, 0.000]"
