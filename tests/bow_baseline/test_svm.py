"""The SVM against scikit-learn's, its choice of C, its probabilities, and what it refuses."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC, LinearSVC
from sklearn.utils.estimator_checks import check_estimator

from striate.bow_baseline import solvers, svm
from striate.bow_baseline.calibration import STEEPEST, fit_slope, softmax
from striate.bow_baseline.kernels import KERNELS
from striate.bow_baseline.selection import choose, fold_of
from striate.bow_baseline.solvers import ExactSolver, StreamedSolver, signs
from striate.bow_baseline.svm import KernelSvm
from striate.core.checks import DataError, ModelError, UsageError
from striate.tests.bow_baseline.test_kernels import ORACLES, histograms


def problem(count: int = 90, classes: int = 3, seed: int = 0, flips: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Histograms whose class leans towards some bins, a share of the labels wrong."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    bins = 12 * classes
    lean = 1 + 2.0 * (np.arange(bins) % classes == labels[:, None])
    counts = rng.poisson(0.6 * lean) + 1e-3
    labels = np.where(rng.random(count) < flips, rng.integers(classes, size=count), labels)
    return (counts / counts.sum(1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", KERNELS)
def test_decisions_equal_scikit_learns(name: str, classes: int) -> None:
    (x, y), (others, _) = problem(classes=classes), problem(seed=1, classes=classes)
    x, others = x.astype(np.float64), others.astype(np.float64)
    ours = KernelSvm(kernel=name, c=2.0, gamma=0.7).fit(x, y)
    theirs = OneVsRestClassifier(SVC(C=2.0, kernel="precomputed")).fit(ORACLES[name](x, x), y)
    cross = ORACLES[name](others, x)
    np.testing.assert_allclose(ours.decision_function(others), theirs.decision_function(cross), atol=1e-5)
    narrow = ours.decision_function(others.astype(np.float32))
    np.testing.assert_allclose(narrow, theirs.decision_function(cross), atol=1e-5)  # 2e-6 seen
    np.testing.assert_array_equal(ours.predict(others), theirs.predict(cross))


@pytest.mark.parametrize("name", ["linear", "chi2-map"])
def test_scikit_learns_own_checks(name: str) -> None:
    # this one feeds negative numbers in spite of the tag positive_only
    exempt = {"check_decision_proba_consistency": "negative numbers"} if KERNELS[name].histograms else {}
    rows = check_estimator(KernelSvm(kernel=name), expected_failed_checks=exempt, on_skip=None, on_fail=None)
    bad = [row for row in rows if row["status"] == "failed" and row["check_name"] not in exempt]
    assert not bad, bad
    assert len(rows) > 40


def test_c_is_the_best_of_the_grid_and_the_matrix_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    whole = svm.training_matrix

    def counted(*args) -> np.ndarray:
        made.append(1)
        return whole(*args)

    monkeypatch.setattr(svm, "training_matrix", counted)
    x, y = problem(flips=0.25)
    machine = KernelSvm(kernel="chi2-map").fit(x, y)
    assert made == [1]
    best = max(machine.accuracy_.values())
    assert machine.c_ == min(c for c, accuracy in machine.accuracy_.items() if accuracy == best)
    assert len(machine.accuracy_) == len(svm.GRID)
    assert len(set(machine.accuracy_.values())) > 1
    # cross-validated by hand
    folds = fold_of(y, 5, 0)
    matrix = ORACLES["chi2-map"](x.astype(np.float64), x.astype(np.float64))
    right = 0
    for fold in range(5):
        out, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        theirs = OneVsRestClassifier(SVC(C=machine.c_, kernel="precomputed")).fit(matrix[np.ix_(rest, rest)], y[rest])
        right += (theirs.predict(matrix[np.ix_(out, rest)]) == y[out]).sum()
    assert machine.accuracy_[machine.c_] == pytest.approx(right / len(y))


def test_the_scale_of_the_features_is_no_matter() -> None:
    x, y = problem()
    small, large = (KernelSvm(kernel="linear").fit(x * scale, y) for scale in (1.0, 1000.0))
    np.testing.assert_allclose(small.scores(x), large.scores(x * 1000.0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["linear", "chi2-map"])
def test_streamed_training_reaches_the_minimum_of_linear_svc(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.bow_baseline.solvers.PART", 32)
    monkeypatch.setattr("striate.bow_baseline.solvers.PRECISION", 1e-12)
    x, y = problem()
    x = x.astype(np.float64)
    kernel = KERNELS[name]
    mapped = kernel.mapped(x)
    machines = StreamedSolver(x, kernel.mapped, mapped.shape[1]).train(np.arange(len(y)), signs(y, 3), 3.0)
    # LinearSVC penalizes its intercept; scaled so that it costs next to nothing
    theirs = LinearSVC(C=3.0, intercept_scaling=1e3, dual=False, tol=1e-10, max_iter=10_000).fit(mapped, y)
    ours = mapped @ machines.coefficients.T + machines.intercepts
    np.testing.assert_allclose(ours, theirs.decision_function(mapped), atol=1e-3)  # 2e-5 seen


def test_more_pictures_than_a_matrix_holds_are_streamed(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    x, y = problem(300)
    exact = KernelSvm(kernel="chi2-map").fit(x, y)
    monkeypatch.setattr(svm, "MOST_EXACT", 100)
    monkeypatch.setattr(svm, "ExactSolver", None)
    np.save(tmp_path / "x.npy", x)
    streamed = KernelSvm(kernel="chi2-map").fit(np.load(tmp_path / "x.npy", mmap_mode="r"), y)
    others, truth = problem(300, seed=1)
    assert (streamed.predict(others) == truth).mean() > (exact.predict(others) == truth).mean() - 0.03
    assert (streamed.predict(others) == truth).mean() > 0.8
    monkeypatch.setattr(svm, "MOST_PICTURES", 200)
    with pytest.raises(DataError, match="at most 200 pictures for kernel 'rbf'; got 300; choose kernel 'chi2-map'"):
        KernelSvm(kernel="rbf").fit(x, y)


def test_a_training_that_does_not_come_to_its_end_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = problem(300)
    assert KernelSvm().fit(x, y).converged_
    monkeypatch.setattr(svm, "MOST_EXACT", 100)
    passes = []
    whole = svm.StreamedSolver._objective

    def counted(self, *args):
        passes.append(1)
        return whole(self, *args)

    monkeypatch.setattr(svm.StreamedSolver, "_objective", counted)
    assert KernelSvm().fit(x, y).converged_
    assert 100 < len(passes) < 300  # 400 where every C may take MOST_PASSES
    for module in (svm, solvers):
        monkeypatch.setattr(module, "MOST_PASSES", 3)
    passes.clear()
    with pytest.warns(ConvergenceWarning, match="did not come to its precision in 3 passes"):
        assert not KernelSvm().fit(x, y).converged_
    assert len(passes) < 200


def test_jobs_reach_the_solver_and_a_folds_matrix_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = problem(60)
    asked, made = [], []
    parallel, between = solvers.joblib.Parallel, np.ix_

    def asking(**keywords: object) -> object:
        asked.append(keywords["n_jobs"])
        return parallel(**keywords)

    def making(*axes: object) -> object:
        made.append(1)
        return between(*axes)

    monkeypatch.setattr(solvers.joblib, "Parallel", asking)
    monkeypatch.setattr(solvers.np, "ix_", making)
    two = KernelSvm().fit(x, y, jobs=2)
    assert set(asked) == {2}
    assert len(made) == 5 + 5 * len(svm.GRID)  # a fold's own part once, what is asked of it for every C
    np.testing.assert_array_equal(two.scores(x), KernelSvm().fit(x, y).scores(x))


def test_folds_hold_every_picture_out_once_and_a_lonely_one_never() -> None:
    labels = np.array([0] * 10 + [1] * 3 + [2])
    folds = fold_of(labels, 5, seed=0)
    assert folds[-1] == -1
    assert np.bincount(folds[:10]).tolist() == [2, 2, 2, 2, 2]
    assert len(set(folds[10:13])) == 3
    assert (fold_of(labels, 5, seed=1) != folds).any()
    for fold in range(5):
        assert set(labels[folds != fold]) == {0, 1, 2}


def test_nothing_to_hold_out() -> None:
    machine = KernelSvm(kernel="linear").fit(np.eye(3) * 2, [0, 1, 2])
    assert machine.accuracy_ == {}
    assert (machine.c_, machine.slope_) == (pytest.approx(1 / 4), 1)
    assert machine.predict(np.eye(3)).tolist() == [0, 1, 2]
    found = choose(ExactSolver(np.eye(2)), np.array([0, 1]), 2, [0.5, 1.0], np.array([-1, -1]))
    assert (found.c, found.accuracy) == (0.5, {})


def test_probabilities_keep_the_order_of_the_scores_and_fit_held_out_pictures() -> None:
    (x, y), (others, truth) = problem(600, flips=0.2), problem(600, seed=1, flips=0.2)
    machine = KernelSvm(kernel="chi2-map").fit(x, y)
    found = machine.predict_proba(others)
    np.testing.assert_allclose(found.sum(1), 1)
    np.testing.assert_array_equal(np.argsort(found, 1), np.argsort(machine.scores(others), 1))
    scores = machine.scores(others)
    best = min(log_loss(truth, softmax(slope * scores)) for slope in np.geomspace(0.1, 50, 200))
    assert log_loss(truth, found) < best + 0.02


def test_the_slope_is_the_one_that_drew_the_labels() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4000, 4))
    drawn = (softmax(2.5 * scores).cumsum(1) < rng.random((4000, 1))).sum(1)
    assert fit_slope(scores, drawn) == pytest.approx(2.5, rel=0.1)
    sure = fit_slope(np.eye(3), np.arange(3))  # all right, but there are three: no certainty
    assert softmax(sure * np.eye(3))[0, 0] == pytest.approx(4 / 6, abs=1e-3)
    few, labels = rng.normal(size=(6, 3)) + np.eye(3)[[0, 1, 2, 0, 1, 2]], np.array([0, 1, 2, 0, 1, 1])
    targets = np.full((6, 3), 1 / 9) + np.eye(3)[labels] * 6 / 9  # (n + 1) / (n + K) and 1 / (n + K)
    slopes = np.geomspace(0.01, 50, 2000)
    losses = [-(targets * np.log(softmax(slope * few))).sum() for slope in slopes]
    assert fit_slope(few, labels) == pytest.approx(slopes[np.argmin(losses)], rel=0.01)
    assert fit_slope(np.eye(3)[:0], np.arange(0)) == 1
    assert fit_slope(np.eye(3) * 1e-6, np.arange(3)) <= STEEPEST


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", KERNELS)
def test_arrays_and_back(name: str, classes: int) -> None:
    x, y = problem(classes=classes)
    machine = KernelSvm(kernel=name).fit(x, y)
    arrays = machine.arrays()
    again = KernelSvm(kernel=name).restore(arrays, classes)
    np.testing.assert_array_equal(again.scores(x), machine.scores(x))
    np.testing.assert_array_equal(again.predict_proba(x), machine.predict_proba(x))
    for damaged in (
        {key: value for key, value in arrays.items() if key != "slope"},
        {**arrays, "more": np.zeros(1)},
        {**arrays, "intercepts": np.zeros(7)},
        {key: value[..., :-1] for key, value in arrays.items()},
    ):
        with pytest.raises(ModelError, match=f"of {classes} classes; got .*; save the model again"):
            KernelSvm(kernel=name).restore(damaged, classes)


def test_only_the_pictures_that_decide_are_stored() -> None:
    x, y = make_classification(200, class_sep=3, flip_y=0, random_state=0)
    machine = KernelSvm(kernel="rbf", c=1.0).fit(x, y)
    assert 0 < len(machine.support_) < 200
    assert (machine.weights_, machine.coefficients_.shape) == (None, (1, len(machine.support_)))


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"kernel": "chi3"}, "kernel to be one of linear, .*did you mean 'chi2'"),
        ({"c": 0.0}, "c to be a positive number; got 0.0"),
        ({"gamma": -1.0}, "gamma to be a positive number; got -1.0"),
        ({"folds": 1}, "folds to be a whole number of at least 2; got 1; pass folds=2"),
        ({"folds": 2.5}, "folds to be a whole number of at least 2; got 2.5"),
        ({"c": "much"}, "c to be a number; got str: 'much'"),
        ({"kernel": 3}, "kernel to be text; got int: 3"),
    ],
    ids=str,
)
def test_options_out_of_range(keywords: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        KernelSvm(**keywords).fit(*problem(12))


def test_data_that_cannot_be_learned() -> None:
    x, y = problem(12)
    with pytest.raises(DataError, match="at least two classes; got 1 class, 0; add another"):
        KernelSvm().fit(x, np.zeros(12, int))
    with pytest.raises(
        DataError, match=r"kernel 'chi2'; got Negative values .*-0\.0.*; choose kernel 'linear' or 'rbf'"
    ):
        KernelSvm(kernel="chi2").fit(x - 0.01, y)
    with pytest.raises(ValueError, match="contains NaN"):
        KernelSvm().fit(x * np.nan, y)
    with pytest.raises(DataError, match=r"features \(N, 36\); got X has 35 features.*; encode pictures as in fit"):
        KernelSvm().fit(x, y).predict(x[:, 1:])
    with pytest.raises(ValueError, match="requires y to be passed"):
        KernelSvm().fit(x, None)


def test_histograms_are_what_the_tests_think() -> None:
    np.testing.assert_allclose(histograms(5).sum(1), 1)
