"""Figures of a comparison, computed once more by hand; disagreements and what is said of them."""

from dataclasses import replace

import numpy as np
import pytest

from striate.bow_baseline.compare import Comparison
from striate.bow_baseline.contender import Contender
from striate.bow_baseline.corruptions import CORRUPTIONS
from striate.bow_baseline.disagreements import answer, disagreements
from striate.bow_baseline.figures import duel
from striate.bow_baseline.results import Results
from striate.bow_baseline.statistics import Interval, mcnemar, paired_difference
from striate.bow_baseline.summary import p_text, summarize
from striate.core.checks import DataError, UsageError
from striate.tests.bow_baseline.stand_ins import bands, means

TRAIN, TEST = bands(12), bands(20, seed=1)


@pytest.fixture(scope="module")
def results() -> Results:
    contenders = [
        means("good", kind="a")[0],
        means("fair", part=0.1, blur=12.0, kind="a")[0],
        means("poor", part=0.1, blur=40.0, kind="b")[0],
    ]
    corruptions = {name: CORRUPTIONS[name] for name in ("noise", "occlusion")}
    comparison = Comparison(contenders, seeds=(0, 1), corruptions=corruptions, severities=(2, 5), resamples=500)
    return comparison.run(TRAIN, TEST)


def test_the_table(results: Results) -> None:
    rows = {row.name: row for row in summarize(results, count=0).table}
    for name, row in rows.items():
        right = results.probabilities(name).argmax(2) == TEST.labels
        assert row.accuracy.mean == pytest.approx(right.mean())
        assert row.per_seed == pytest.approx(right.mean(1).tolist())
        assert np.mean(list(row.recalls.values())) == pytest.approx(right.mean())  # classes are of one size
        assert row.size_bytes is row.numbers is None
        assert row.fit_seconds > 0
    assert rows["good"].accuracy.mean > rows["poor"].accuracy.mean


def test_pairs_are_those_of_the_statistics(results: Results) -> None:
    pairs = summarize(results, count=0).pairs
    assert [(pair.first, pair.second) for pair in pairs] == [("good", "fair"), ("good", "poor"), ("fair", "poor")]
    for pair in pairs:
        a, b = results.right(pair.first), results.right(pair.second)
        tests = [mcnemar(x, y) for x, y in zip(a, b, strict=True)]
        assert pair.only_first == np.mean([test.only_first for test in tests])
        assert pair.p_value == pytest.approx(min(1.0, 2 * min(test.p_value for test in tests)))
        assert pair.p_holm >= pair.p_value
        assert pair.difference == paired_difference(a, b, resamples=500)


def test_robustness_by_hand(results: Results) -> None:
    for row in summarize(results, count=0).robustness:
        means_ = [value.mean for by in row.accuracies.values() for value in by.values()]
        assert row.accuracies["noise"][5].mean == pytest.approx(results.right(row.name, None, "noise", 5).mean())
        assert row.mean.mean == pytest.approx(np.mean(means_))
        assert row.mean.low < row.mean.mean < row.mean.high


def test_the_duel_is_between_the_best_of_two_kinds(results: Results) -> None:
    assert duel(results) == ("good", "poor")
    assert duel(Comparison([means("one")[0]]).run(TRAIN, TEST)) is None
    two = Comparison([means("bad", part=0.1, blur=40.0)[0], means("one")[0]]).run(TRAIN, TEST)
    assert duel(two) == ("one", "bad")


def test_disagreements_are_real_and_the_surest_come_first(results: Results) -> None:
    found = disagreements(results, "good", "poor", count=3)
    assert {one.right.contender for one in found} <= {"good", "poor"}
    winners = [one for one in found if one.right.contender == "good"]
    assert len(winners) == 3
    assert [one.confidence for one in winners] == sorted((one.confidence for one in winners), reverse=True)
    for one in found:
        truth = TEST.labels[one.index]
        assert one.truth == one.right.label == TEST.names[truth] != one.wrong.label
        rows = {name: results.probabilities(name)[0, one.index] for name in ("good", "poor")}
        assert one.wrong.probability == pytest.approx(rows[one.wrong.contender].max())
        assert one.right.heat.shape == TEST.image(one.index).shape[:2]
        assert set(one.to_dict()) == {"index", "source", "truth", "confidence", "right", "wrong"}
    ours, theirs = results.right("good")[0], results.right("poor")[0]
    sure = np.sqrt(results.probabilities("good")[0].max(1) * results.probabilities("poor")[0].max(1))
    assert winners[0].confidence == pytest.approx(sure[ours & ~theirs].max())


def test_a_contenders_own_explanation_is_taken_and_checked() -> None:
    heat = np.eye(16, dtype=np.float32)
    own, _ = means("own", explain=lambda model, image, class_id: heat * class_id, method="diagonal")
    wrong = Contender("wrong", own.fit, explain=lambda model, image, class_id: heat[:4])
    results = Comparison([own, wrong]).run(TRAIN, TEST)
    said = answer(results, "own", TEST.image(2))
    np.testing.assert_array_equal(said.heat, heat * TEST.names.index(said.label))
    assert said.method == "diagonal"
    with pytest.raises(DataError, match=r"an explanation \(16, 16\) from 'wrong'"):
        answer(results, "wrong", TEST.image(2))
    with pytest.raises(UsageError, match="did you mean 'own'"):
        results.right("owm")


def test_the_verdict_says_who_is_ahead(results: Results) -> None:
    said = summarize(results, count=0).verdict()
    assert said.startswith("good is ")
    assert "points ahead of poor" in said
    assert "tell the two apart" in said
    turned = summarize(results, between=("poor", "good"), count=0).verdict()
    assert turned.startswith("poor is -")
    assert p_text(0.0004) == "< 0.001"
    assert p_text(0.25) == "= 0.250"
    alone = summarize(Comparison([means("one")[0]]).run(TRAIN, TEST))
    assert alone.verdict().startswith("one: accuracy 0.")
    told = summarize(results, count=0)
    shown = next(pair for pair in told.pairs if {pair.first, pair.second} == set(told.duel))
    pair = replace(shown, p_holm=0.01, difference=Interval(0.02, -0.01, 0.05))
    assert "do not tell the two apart" in replace(told, pairs=[pair]).verdict()  # trainings vary that much
    sure = replace(pair, difference=Interval(0.02, 0.01, 0.05))
    assert "do not tell" not in replace(told, pairs=[sure]).verdict()
    assert "do not tell" in replace(told, pairs=[sure], level=0.999).verdict()
    assert (alone.pairs, alone.disagreements) == ([], [])
