"""Histogram distances against SciPy's, scikit-learn's and a linear programme."""

import cv2
import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance
from sklearn.metrics.pairwise import additive_chi2_kernel

from striate.bow_baseline.distances import DISTANCES, distances, earth_movers
from striate.core.checks import DataError, UsageError


def histograms(count: int, bins: int = 9, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(0.8, (count, bins)).astype(np.float32) + np.eye(count, bins)


A, B = histograms(6), histograms(5, seed=1)
P, Q = A / A.sum(1, keepdims=True), B / B.sum(1, keepdims=True)


def transport(p: np.ndarray, q: np.ndarray, ground: np.ndarray) -> float:
    """The transportation problem as a linear programme over all flows."""
    n = len(p)
    rows, columns = np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n))
    found = linprog(ground.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([p, q]))
    return float(found.fun)


def test_euclidean() -> None:
    np.testing.assert_allclose(distances(A, B, "euclidean"), cdist(A, B), rtol=1e-6)
    assert not distances(A, A, "euclidean").diagonal().any()


def test_intersection_and_chi_squared_of_shares() -> None:
    expected = 1 - np.minimum(P[:, None], Q[None]).sum(2)
    np.testing.assert_allclose(distances(A, B, "intersection"), expected, atol=1e-6)
    np.testing.assert_allclose(distances(A, B, "chi2"), -additive_chi2_kernel(P, Q), atol=1e-6)
    np.testing.assert_allclose(distances(3 * A, B, "chi2"), distances(A, B, "chi2"), atol=1e-6)


def test_earth_movers_on_a_line() -> None:
    expected = [[wasserstein_distance(range(9), range(9), p, q) for q in Q] for p in P]
    np.testing.assert_allclose(distances(A, B, "earth-movers"), expected, atol=1e-5)
    line = np.abs(np.subtract.outer(np.arange(9), np.arange(9)))
    np.testing.assert_allclose(earth_movers(A, B, line), expected, atol=1e-5)


def test_earth_movers_between_words() -> None:
    words = np.random.default_rng(2).normal(size=(9, 4))
    ground = cdist(words, words)
    found = earth_movers(A, B, ground)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[transport(p, q, ground) for q in Q] for p in P], rtol=1e-4)
    np.testing.assert_allclose(earth_movers(A, A, ground).diagonal(), 0, atol=1e-6)


def test_an_empty_histogram_is_far_from_the_others() -> None:
    nothing = np.zeros((1, 9))
    assert distances(nothing, B, "intersection").tolist() == [[1.0] * 5]
    np.testing.assert_allclose(distances(nothing, B, "chi2"), 1, rtol=1e-6)
    assert distances(nothing, nothing, "chi2").tolist() == [[0.0]]


def test_earth_movers_of_an_empty_histogram() -> None:
    words = np.random.default_rng(2).normal(size=(9, 4))
    ground, nothing = cdist(words, words), np.zeros((1, 9))
    for ways, longest in ((ground, ground.max()), (None, 8)):
        np.testing.assert_allclose(earth_movers(nothing, B, ways), longest, rtol=1e-6)
        np.testing.assert_allclose(earth_movers(B, nothing, ways), longest, rtol=1e-6)
        assert earth_movers(nothing, nothing, ways).tolist() == [[0.0]]
        assert earth_movers(A, B, ways).max() <= longest + 1e-5  # else going by nothing would be shorter


def test_earth_movers_between_words_equals_opencvs_own_ground_distance() -> None:
    words = np.random.default_rng(2).normal(size=(9, 4)).astype(np.float32)
    found = distances(np.hstack([A, 2 * A]), np.hstack([B, B]), "earth-movers", centres=words)

    def signature(histogram: np.ndarray) -> np.ndarray:
        return np.hstack([histogram[:, None], words]).astype(np.float32)

    theirs = [[cv2.EMD(signature(p), signature(q), cv2.DIST_L2)[0] for q in Q] for p in P]
    np.testing.assert_allclose(found, theirs, rtol=1e-4)


@pytest.mark.parametrize("metric", DISTANCES)
def test_shapes_and_numbers_that_cannot_be(metric: str) -> None:
    with pytest.raises(DataError, match=r"histograms \(M, D\) and \(N, D\); got \(6, 9\) and \(5, 4\)"):
        distances(A, B[:, :4], metric)
    with pytest.raises(DataError, match="histograms of finite numbers; got NaN or infinity; leave those rows out"):
        distances(A, np.full((2, 9), np.nan), metric)
    if metric != "euclidean":
        with pytest.raises(DataError, match="without negative numbers; got a number below 0"):
            distances(A, -B, metric)


def test_other_errors() -> None:
    with pytest.raises(UsageError, match=r"metric to be one of euclidean, .*; got 'emd'"):
        distances(A, B, "emd")
    with pytest.raises(UsageError, match=r"a ground distance \(9, 9\); got \(3, 3\)"):
        earth_movers(A, B, np.zeros((3, 3)))
