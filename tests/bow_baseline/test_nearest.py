"""Nearest pictures against scikit-learn's neighbours."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import check_estimator

from striate.bow_baseline.distances import DISTANCES, distances, earth_movers
from striate.bow_baseline.nearest import NearestPictures
from striate.core.checks import DataError, ModelError, UsageError
from striate.tests.bow_baseline.test_svm import problem


@pytest.mark.parametrize("metric", DISTANCES)
@pytest.mark.parametrize("neighbours", [1, 5, 200])
def test_votes_equal_scikit_learns(metric: str, neighbours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.bow_baseline.nearest.PART", 40)
    (x, y), (others, _) = problem(), problem(seed=1)
    others[3] = x[7]  # at distance 0
    ours = NearestPictures(neighbours=neighbours, metric=metric).fit(x, y)
    theirs = KNeighborsClassifier(min(neighbours, len(x)), metric="precomputed", weights="distance")
    theirs.fit(np.maximum(distances(x, x, metric), 0), y)  # rounded, it may lie below
    away = np.maximum(distances(others, x, metric), 0)
    away[3, 7] = 0
    expected = theirs.predict_proba(away)
    # 2e-5 seen: in 32 bits equal histograms may be 1e-7 apart
    np.testing.assert_allclose(ours.predict_proba(others), expected, atol=1e-4)
    np.testing.assert_array_equal(ours.predict(others), ours.classes_[ours.scores(others).argmax(1)])


def test_a_picture_seen_before_is_itself() -> None:
    x, y = problem()
    machine = NearestPictures(metric="euclidean").fit(x, y)
    np.testing.assert_array_equal(machine.predict(x), y)
    np.testing.assert_array_equal(machine.predict_proba(x).max(1), 1)


def test_scikit_learns_own_checks() -> None:
    rows = check_estimator(NearestPictures(metric="euclidean"), on_skip=None, on_fail=None)
    bad = [row for row in rows if row["status"] == "failed"]
    assert not bad, bad
    assert len(rows) > 40


def test_arrays_and_back() -> None:
    x, y = problem()
    machine = NearestPictures().fit(x, y)
    again = NearestPictures().restore(machine.arrays(), 3)
    np.testing.assert_array_equal(again.scores(x), machine.scores(x))
    for damaged in (
        {"features": x},
        {"features": x, "labels": y[:-1]},
        {"features": x, "labels": y + 1},
        {"features": x, "labels": y * 1.0},
    ):
        with pytest.raises(ModelError, match=r"features \(N, D\) and labels \(N,\) of 3 classes; got .*; save"):
            NearestPictures().restore(damaged, 3)


def test_earth_is_moved_between_the_words_of_each_cell() -> None:
    x, y = problem(12)  # 36 numbers: 4 cells of 9 words
    x[3, :9], x[5] = 0, 0
    centres = np.random.default_rng(3).normal(size=(9, 5)).astype(np.float32)
    machine = NearestPictures(neighbours=3, metric="earth-movers").fit(x, y, centres=centres)
    away = np.mean([earth_movers(x[:, i : i + 9], x[:, i : i + 9], cdist(centres, centres)) for i in (0, 9, 18, 27)], 0)
    assert machine.scores(x).argmax(1)[away[:, :].argsort(1)[:, 0] == np.arange(12)].size > 0
    expected = KNeighborsClassifier(3, metric="precomputed", weights="distance").fit(away, y).predict_proba(away)
    np.testing.assert_allclose(machine.predict_proba(x), expected, atol=1e-3)
    again = NearestPictures(neighbours=3, metric="earth-movers").restore(machine.arrays(), 3)
    np.testing.assert_array_equal(again.scores(x), machine.scores(x))
    on_a_line = NearestPictures(neighbours=3, metric="earth-movers").fit(x, y)
    assert not np.allclose(on_a_line.predict_proba(x[::2] + 1), machine.predict_proba(x[::2] + 1))
    with pytest.raises(ModelError, match="features"):
        NearestPictures().restore({**machine.arrays(), "centres": centres[:7]}, 3)
    with pytest.raises(DataError, match="histograms of 7 words in a row; got 36 numbers; pass the words' own centres"):
        NearestPictures(metric="earth-movers").fit(x, y, centres=centres[:7]).scores(x)


def test_what_it_refuses() -> None:
    x, y = problem(12)
    for keywords, words in (
        ({"neighbours": 0}, "neighbours to be a whole number of at least 1; got 0; pass neighbours=1"),
        ({"neighbours": 1.5}, "neighbours to be a whole number of at least 1; got 1.5"),
        ({"metric": "chi3"}, "did you mean 'chi2'"),
    ):
        with pytest.raises(UsageError, match=words):
            NearestPictures(**keywords).fit(x, y)
    with pytest.raises(DataError, match="at least two classes; got 1 class, 0; add another"):
        NearestPictures().fit(x, np.zeros(12, int))
    with pytest.raises(DataError, match=r"for 'chi2'; got Negative values .*; choose metric 'euclidean'"):
        NearestPictures().fit(x - 1, y)
    with pytest.raises(DataError, match=r"features \(N, 36\); got X has 35 features"):
        NearestPictures().fit(x, y).predict(x[:, 1:])
