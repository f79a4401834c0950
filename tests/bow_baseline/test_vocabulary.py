"""k-means against scikit-learn's, its starts, its empty clusters, and what it refuses."""

import tracemalloc

import numpy as np
import pytest
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.metrics import pairwise_distances
from sklearn.utils.estimator_checks import check_estimator

from striate.bow_baseline import vocabulary
from striate.bow_baseline.projection import Projected, Projection
from striate.bow_baseline.vocabulary import Vocabulary, lloyd_pass, mini_batches, nearest, nearest_several, plus_plus
from striate.core.checks import DataError, UsageError


def blobs(count: int = 4000, centres: int = 30, width: int = 16, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    places = rng.normal(size=(centres, width))
    return (places[rng.integers(centres, size=count)] + rng.normal(size=(count, width)) * 0.6).astype(np.float32)


def inertia(rows: np.ndarray, centroids: np.ndarray) -> float:
    return float(pairwise_distances(rows.astype(np.float64), centroids, "sqeuclidean").min(1).sum())


@pytest.mark.parametrize("method", vocabulary.METHODS)
def test_inertia_as_scikit_learns(method: str) -> None:
    rows = blobs()
    ours = Vocabulary(words=40, method=method, passes=50, batch_size=500, tolerance=1e-5).fit(rows)
    theirs = KMeans(40, n_init=3, random_state=0).fit(rows)
    assert ours.inertia_ < 1.02 * theirs.inertia_  # observed: 0.999 for both
    assert ours.inertia_ == pytest.approx(inertia(rows, ours.centroids_), rel=1e-5)
    assert ours.centroids_.dtype == np.float32
    assert np.array_equal(ours.labels_, ours.predict(rows))
    assert np.array_equal(ours.labels_, pairwise_distances(rows, ours.centroids_).argmin(1))


def test_a_pass_is_lloyds_and_never_raises_the_inertia() -> None:
    rows = blobs()
    centroids = rows[:25]
    theirs = KMeans(25, init=centroids, n_init=1, max_iter=4, tol=0, algorithm="lloyd").fit(rows)
    found = []
    for _ in range(4):
        centroids, before = lloyd_pass(rows, centroids)
        found.append(before)
    np.testing.assert_allclose(centroids, theirs.cluster_centers_, atol=1e-4)
    assert (np.diff(found) <= 0).all()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = blobs()
    whole, _ = lloyd_pass(rows, rows[:25])
    default = vocabulary.blocks
    monkeypatch.setattr(vocabulary, "blocks", lambda rows: default(rows, 97))
    np.testing.assert_allclose(lloyd_pass(rows, rows[:25])[0], whole, atol=1e-5)


def test_starts_as_good_as_scikit_learns() -> None:
    rows = blobs()
    ours = [inertia(rows, plus_plus(rows, 30, np.random.default_rng(i))) for i in range(8)]
    theirs = [inertia(rows, kmeans_plusplus(rows, 30, random_state=i)[0]) for i in range(8)]
    plain = [inertia(rows, np.random.default_rng(i).choice(rows, 30)) for i in range(8)]
    assert np.mean(ours) < 1.05 * np.mean(theirs) < 0.95 * np.mean(plain)


def test_mini_batches_lower_the_inertia() -> None:
    rows, rng = blobs(), np.random.default_rng(0)
    start = rng.choice(rows, 30)
    assert inertia(rows, mini_batches(rows, start, 200, rng)) < 0.9 * inertia(rows, start)
    whole = mini_batches(rows, start, len(rows), rng)
    np.testing.assert_allclose(whole, lloyd_pass(rows, start)[0], atol=1e-5)  # one batch of all rows is a pass


def test_an_empty_cluster_goes_to_the_farthest_row(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = blobs(200, centres=3)
    rows[[7, 150]] += 100 + rows[[7, 150]]
    start = np.concatenate([rows[:3], np.full((2, 16), 1e4, np.float32)])
    default = vocabulary.blocks
    monkeypatch.setattr(vocabulary, "blocks", lambda rows: default(rows, 50))
    moved, _ = lloyd_pass(rows, start)
    assert {tuple(c) for c in moved[3:]} == {tuple(rows[7]), tuple(rows[150])}
    batch = mini_batches(rows, start, 200, np.random.default_rng(0))
    assert {tuple(c) for c in batch[3:]} == {tuple(rows[7]), tuple(rows[150])}


def test_fewer_different_rows_than_words() -> None:
    rows = np.repeat(np.eye(3, dtype=np.float32), 10, axis=0)
    found = Vocabulary(words=8).fit(rows)
    assert np.isfinite(found.centroids_).all()
    assert found.inertia_ == pytest.approx(0, abs=1e-5)


def test_restarts_keep_the_least_inertia(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, each = blobs(), []
    default = Vocabulary._run

    def note(self, *given):
        each.append(default(self, *given))
        return each[-1]

    monkeypatch.setattr(Vocabulary, "_run", note)
    found = Vocabulary(words=30, passes=1, restarts=4).fit(rows)
    values = [run[0] for run in each]
    assert len(set(values)) == 4
    assert found.inertia_ == min(values)
    assert found.centroids_ is each[values.index(min(values))][2]


def test_passes_end_with_the_tolerance() -> None:
    rows = blobs()
    assert Vocabulary(words=30, tolerance=0.5).fit(rows).passes_ == 2
    assert Vocabulary(words=30, tolerance=0, passes=3).fit(rows).passes_ == 3


def test_a_memory_map_and_projected_rows_as_arrays(tmp_path) -> None:
    rows = blobs()
    path = tmp_path / "rows"
    rows.tofile(path)
    mapped = np.memmap(path, np.float32, "r", shape=rows.shape)
    expected = Vocabulary(words=20).fit(rows)
    assert np.array_equal(Vocabulary(words=20).fit(mapped).centroids_, expected.centroids_)
    projection = Projection(components=5).fit(rows)
    lazy = Vocabulary(words=20).fit(Projected(mapped, projection))
    np.testing.assert_allclose(lazy.centroids_, Vocabulary(words=20).fit(projection.transform(rows)).centroids_)


def test_memory_does_not_grow_with_the_rows_but_for_their_labels(tmp_path) -> None:
    peaks = []
    for count in (20_000, 80_000):
        np.tile(blobs(10_000, width=64), (count // 10_000, 1)).tofile(tmp_path / "rows")
        mapped = np.memmap(tmp_path / "rows", np.float32, "r", shape=(count, 64))
        tracemalloc.start()
        Vocabulary(words=20, passes=2).fit(mapped)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 60_000 * 32  # bytes; a row has 256. Observed: 7 a row


def test_the_seed_decides() -> None:
    rows = blobs()
    again = [Vocabulary(words=20, seed=seed).fit(rows).centroids_ for seed in (0, 0, 1)]
    assert np.array_equal(again[0], again[1])
    assert not np.array_equal(again[0], again[2])


def test_rows_that_are_all_the_same_leave_words_empty() -> None:
    found = Vocabulary(words=50).fit(np.zeros((8195, 8), np.float32))  # the last batch has fewer rows than empty words
    assert (found.centroids_ == 0).all()


@pytest.mark.parametrize("k", [1, 5])
def test_several_nearest(k: int) -> None:
    rows, centroids = blobs(300), blobs(50, seed=1)
    indices, squared = nearest_several(rows, centroids, k)
    exact = pairwise_distances(rows.astype(np.float64), centroids, "sqeuclidean")
    np.testing.assert_array_equal(indices, np.argsort(exact, 1)[:, :k])
    np.testing.assert_allclose(squared, np.sort(exact, 1)[:, :k], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(nearest(rows, centroids)[0], indices[:, 0])


def test_transform_gives_distances() -> None:
    rows = blobs(200)
    found = Vocabulary(words=9).fit(rows)
    np.testing.assert_allclose(found.transform(rows), pairwise_distances(rows, found.centroids_), atol=1e-3)


def test_scikit_learns_own_checks() -> None:
    for check in check_estimator(Vocabulary(words=3), on_fail=None, on_skip=None):
        assert check["status"] in ("passed", "skipped"), (check["check_name"], check["exception"])


@pytest.mark.parametrize(
    ("options", "rows", "error", "words"),
    [
        ({"words": 9}, blobs(8), DataError, "at least 9 rows for 9 words; got n_samples=8; take more descriptors"),
        ({"words": 2}, np.array([[0.0, np.nan]] * 3), DataError, "a matrix of finite numbers; got .*NaN"),
        ({"words": 2}, np.zeros(5), DataError, "a matrix of finite numbers; got Expected 2D array"),
        ({"method": "elkan"}, blobs(9), UsageError, "method to be one of mini-batch, lloyd; got 'elkan'"),
        ({"words": 0}, blobs(9), UsageError, "words to be a positive number; got 0"),
        ({"restarts": 0}, blobs(9), UsageError, "restarts to be a positive number; got 0"),
    ],
)
def test_errors(options, rows, error, words) -> None:
    with pytest.raises(error, match=words):
        Vocabulary(**options).fit(rows)
