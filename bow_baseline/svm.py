"""`KernelSvm`: one-vs-rest SVMs with the kernels of visual words, C by cross-validation, probabilities."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, check_X_y

from ..core.checks import DataError, ModelError, UsageError, unknown
from .calibration import fit_slope, softmax
from .kernels import KERNELS, Kernel, default_gamma, mean_square, training_matrix
from .options import above_zero, text, whole_number
from .room import let_go
from .selection import choose, fold_of
from .solvers import MOST_PASSES, PART, ExactSolver, Floats, Machines, StreamedSolver, both_columns, signs

GRID = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Values of C that are tried, as multiples of 1 over the mean of kernel(x, x): the features' scale is no matter."""
MOST_EXACT = 5000
"""Pictures up to which the kernel matrix is made, 200 MB; beyond, kernels with a map train on streamed features."""
MOST_PICTURES = 20_000
"""Pictures up to which kernels without a map are trained: their matrix then has 3.2 GB."""


class KernelSvm(ClassifierMixin, BaseEstimator):
    """Support vector machines, one for each class against the rest, on feature vectors.

    Args:
        kernel: A key of `kernels.KERNELS`.
        c: Weight of the losses; None chooses from `GRID` by cross-validation.
        gamma: Width of "chi2" and "rbf"; None is 1 over the mean distance of training pictures.
        folds: Of the cross-validation, which also fits the probabilities.
        seed: Of the folds.

    Attributes:
        classes_: (K,), sorted.
        c_: The C that was used.
        gamma_: The width that was used.
        accuracy_: Cross-validated share of right answers for every C that was tried; empty where no class has two
            pictures, which leaves nothing to hold out: then C is 1 over the mean of kernel(x, x).
        slope_: Probabilities are softmax(slope_ * scores); see `calibration.fit_slope`.
        weights_: (K, E) on mapped features, for kernels with a map; else None.
        support_: (S, D), the pictures that decide, for the other kernels; else None.
        coefficients_: (K, S), their weights; else None.
        converged_: Whether the solver came to its precision; a ConvergenceWarning says so where it did not.
        intercepts_: (K,). Of two classes, weights, coefficients and intercepts hold the second's alone.

    Up to `MOST_EXACT` pictures the loss is the hinge of `sklearn.svm.SVC`, and the kernel matrix is computed once for
    all folds, classes and values of C. Beyond, kernels with a map are trained with squared hinge loss on features that
    are read part by part (`solvers.StreamedSolver`), and one fold is held out.

    Example:
        >>> import numpy as np
        >>> counts = np.array([[3, 1], [4, 0], [0, 4], [1, 3]], np.float32)
        >>> KernelSvm(kernel="intersection", c=1.0).fit(counts, [0, 0, 1, 1]).predict(counts).tolist()
        [0, 0, 1, 1]
    """

    classes_: NDArray[Any]

    def __init__(
        self,
        *,
        kernel: str = "linear",
        c: float | None = None,
        gamma: float | None = None,
        folds: int = 5,
        seed: int = 0,
    ) -> None:
        self.kernel, self.c, self.gamma, self.folds, self.seed = kernel, c, gamma, folds, seed

    def fit(self, X: NDArray[Any], y: Any, *, jobs: int | None = None) -> KernelSvm:
        """Learn from features (N, D), an array or a memory map, and their labels (N,).

        Args:
            X: Features.
            y: Labels.
            jobs: Machines trained at a time; None leaves it to `joblib.parallel_config`, and is one without it.

        Raises:
            DataError: One class only, negative features for a kernel of histograms, or too many pictures for a kernel
                without a map.
            UsageError: An option that does not exist or is out of range.
            ValueError: Features that are not finite, or of another shape.
        """
        kernel = check_options(self.kernel, self.c, self.gamma, self.folds)
        X, y = check_X_y(X, y, dtype=[np.float32, np.float64], estimator=self, ensure_all_finite=False)
        check_classification_targets(y)
        self._check(kernel, X)
        self.n_features_in_ = X.shape[1]
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError("pictures of at least two classes", f"1 class, {self.classes_[0]}", "add another")
        if kernel.mapped is None and len(X) > MOST_PICTURES:
            fix = "choose kernel 'chi2-map' or 'linear'"
            raise DataError(f"at most {MOST_PICTURES:,} pictures for kernel {self.kernel!r}", f"{len(X):,}", fix)
        self.gamma_ = default_gamma(kernel, X, self.seed) if self.gamma is None else float(self.gamma)
        self._learn(kernel, X, np.asarray(labels, np.int64), jobs)
        return self

    def _learn(self, kernel: Kernel, features: NDArray[Any], labels: NDArray[np.int64], jobs: int | None) -> None:
        """Choose C, fit the probabilities, train on everything and keep what decides."""
        classes, everything = len(self.classes_), np.arange(len(labels))
        folds, solver = fold_of(labels, self.folds, self.seed), self._solver(kernel, features, jobs)
        if isinstance(solver, StreamedSolver):
            folds[folds > 0] = -1
        unit = 1 / (mean_square(kernel, features, self.gamma_) or 1.0)
        grid = [float(self.c)] if self.c is not None else [unit * multiple for multiple in GRID]
        choice = choose(solver, labels, classes, grid, folds)
        self.accuracy_, self.slope_ = choice.accuracy, fit_slope(choice.scores, choice.labels)
        self.c_ = choice.c if choice.accuracy or self.c is not None else unit
        machines = solver.train(everything, signs(labels, classes), self.c_, choice.machines)
        self.converged_ = machines.converged
        if not machines.converged:
            told = f"the SVM did not come to its precision in {MOST_PASSES} passes; a smaller C needs fewer"
            warnings.warn(told, ConvergenceWarning, stacklevel=3)
        self._keep(kernel, features, machines, weighed=isinstance(solver, StreamedSolver))

    def _solver(self, kernel: Kernel, features: NDArray[Any], jobs: int | None) -> ExactSolver | StreamedSolver:
        if kernel.mapped is not None and len(features) > MOST_EXACT:
            return StreamedSolver(features, kernel.mapped, kernel.factor * features.shape[1])
        return ExactSolver(training_matrix(kernel, features, self.gamma_), jobs)

    def _keep(self, kernel: Kernel, features: NDArray[Any], machines: Machines, *, weighed: bool) -> None:
        """Store the machines as weights of mapped features, or as the pictures that support them."""
        self.weights_ = self.support_ = self.coefficients_ = None
        self.intercepts_ = machines.intercepts
        used = np.flatnonzero(machines.coefficients.any(0))
        if weighed:
            self.weights_ = machines.coefficients.astype(features.dtype)
        elif kernel.mapped is None:
            # as a file gives them back: the product of rows in another order differs in its last bits
            self.support_ = np.ascontiguousarray(features[used])
            self.coefficients_ = np.ascontiguousarray(machines.coefficients[:, used])
        else:
            self.weights_ = np.zeros((len(machines.intercepts), kernel.factor * features.shape[1]), features.dtype)
            for start in range(0, len(used), PART):
                rows = used[start : start + PART]
                self.weights_ += (machines.coefficients[:, rows] @ kernel.mapped(features[rows])).astype(features.dtype)
                let_go(features)

    def scores(self, X: NDArray[Any]) -> Floats:
        """Return the score of every class, (N, K), of two classes too."""
        check_is_fitted(self)
        kernel = check_options(self.kernel, self.c, self.gamma, self.folds)
        X = np.asarray(check_array(X, dtype=[np.float32, np.float64], ensure_all_finite=False))
        self._check(kernel, X)
        if X.shape[1] != self.n_features_in_:
            # scikit-learn's checks want these words
            got = f"X has {X.shape[1]} features, but KernelSvm is expecting {self.n_features_in_} features as input"
            raise DataError(f"features (N, {self.n_features_in_})", got, "encode pictures as in fit")
        parts = [self._values(kernel, X[start : start + PART]) for start in range(0, len(X), PART)]
        return both_columns(np.concatenate(parts) + self.intercepts_)

    def _values(self, kernel: Kernel, features: NDArray[Any]) -> Floats:
        if self.weights_ is not None and kernel.mapped is not None:
            return np.asarray(kernel.mapped(features) @ self.weights_.T, np.float64)
        assert self.support_ is not None
        assert self.coefficients_ is not None
        matrix = kernel.matrix(features.astype(self.support_.dtype, copy=False), self.support_, self.gamma_)
        return np.asarray(matrix, np.float64) @ self.coefficients_.T

    def decision_function(self, X: NDArray[Any]) -> Floats:
        """Return the scores of the classes (N, K); of two classes, as scikit-learn does, the second's alone (N,)."""
        scores = self.scores(X)
        return scores[:, 1] if scores.shape[1] == 2 else scores

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the class with the highest score for every row, (N,)."""
        found = self.scores(X).argmax(1)
        return self.classes_[found]

    def predict_proba(self, X: NDArray[Any]) -> Floats:
        """Return probabilities (N, K), in the order of the scores."""
        scores = self.scores(X)
        return softmax(self.slope_ * scores)

    @property
    def additive(self) -> bool:
        """Whether the score is a sum over the features, as `contributions` gives it."""
        return KERNELS[self.kernel].terms is not None

    def intercept(self, class_number: int) -> float:
        """Return the part of a class's score that no feature adds to."""
        return float(both_columns(self.intercepts_[None])[0, class_number])

    def contributions(self, features: NDArray[Any], class_number: int) -> Floats:
        """Return what each number of a feature vector (D,) adds to the score of a class: with the intercept, its sum.

        A vector's zeros add nothing. Source: Maji, Berg and Malik 2008, for the intersection kernel.

        Raises:
            UsageError: A kernel whose scores are no such sums.
        """
        check_is_fitted(self)
        kernel = KERNELS[self.kernel]
        if kernel.terms is None:
            additive = ", ".join(name for name, one in KERNELS.items() if one.terms)
            raise UsageError("an additive kernel", repr(self.kernel), f"train with one of {additive}")
        row, sign = (class_number, 1.0) if len(self.classes_) > 2 else (0, 2.0 * class_number - 1)
        if kernel.mapped is not None and self.weights_ is not None:
            terms = kernel.mapped(features[None])[0] * self.weights_[row]
            return sign * np.asarray(terms.reshape(kernel.factor, -1).sum(0, dtype=np.float64))
        assert self.support_ is not None
        assert self.coefficients_ is not None
        found = np.zeros(len(features))
        for start in range(0, len(self.support_), PART):
            terms = kernel.terms(features, self.support_[start : start + PART])
            found += self.coefficients_[row, start : start + PART] @ terms
        return sign * found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what was learned, for saving; `restore` takes it back."""
        check_is_fitted(self)
        numbers = {"c": self.c_, "gamma": self.gamma_, "slope": self.slope_}
        learned = {name: getattr(self, f"{name}_") for name in ("weights", "support", "coefficients", "intercepts")}
        found = {name: np.array([value], np.float64) for name, value in numbers.items()}
        return {**found, **{name: value for name, value in learned.items() if value is not None}}

    def restore(self, arrays: dict[str, NDArray[Any]], classes: int) -> KernelSvm:
        """Take back what `arrays` gave; the classes are numbered from 0.

        Raises:
            ModelError: Arrays that are missing or do not fit.
        """
        kernel, rows = check_options(self.kernel, self.c, self.gamma, self.folds), classes if classes > 2 else 1
        shapes = {name: array.shape for name, array in arrays.items()}
        width = shapes.get("weights" if kernel.mapped else "support", (0, 0))[-1]
        count = shapes.get("support", (0,))[0]
        by_pictures = {"support": (count, width), "coefficients": (rows, count)}
        learned = {"weights": (rows, width)} if kernel.mapped else by_pictures
        expected = {"c": (1,), "gamma": (1,), "slope": (1,), "intercepts": (rows,), **learned}
        if shapes != expected or width % kernel.factor or any(a.dtype.kind != "f" for a in arrays.values()):
            raise ModelError(f"the arrays {expected} of {classes} classes", f"{shapes}", "save the model again")
        self.weights_, self.support_, self.coefficients_ = (
            arrays.get(name) for name in ("weights", "support", "coefficients")
        )
        self.intercepts_, self.classes_, self.accuracy_ = arrays["intercepts"], np.arange(classes), {}
        self.converged_ = True
        self.c_, self.gamma_, self.slope_ = (float(arrays[name][0]) for name in ("c", "gamma", "slope"))
        self.n_features_in_ = width // kernel.factor
        return self

    def _check(self, kernel: Kernel, features: NDArray[Any]) -> None:
        """Raise for features (N, D) that are not finite, or negative where the kernel takes histograms."""
        for start in range(0, len(features), PART):
            part = features[start : start + PART]
            assert_all_finite(part, input_name="X", estimator_name="KernelSvm")
            if kernel.histograms and part.min() < 0:
                got = f"Negative values in data passed to KernelSvm, such as {part.min():.3g}"
                fix = "choose kernel 'linear' or 'rbf', as for VLAD and Fisher vectors"
                raise DataError(f"features without negative numbers for kernel {self.kernel!r}", got, fix)
            let_go(features)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = self.kernel in KERNELS and KERNELS[self.kernel].histograms
        return tags


def check_options(kernel: str, c: float | None, gamma: float | None, folds: int) -> Kernel:
    """Return the kernel of a name.

    Raises:
        UsageError: An option that does not exist or is out of range.
    """
    text("kernel", kernel)
    if kernel not in KERNELS:
        raise unknown("kernel", kernel, KERNELS)
    for name, value in (("c", c), ("gamma", gamma)):
        if value is not None:
            above_zero(name, value)
    whole_number("folds", folds, least=2)
    return KERNELS[kernel]
