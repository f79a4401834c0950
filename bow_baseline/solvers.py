"""One-vs-rest SVMs: scikit-learn's on a kernel matrix, and one that streams features which do not fit in memory.

Both solvers are given the rows to learn from, so that cross-validation trains many times on one matrix or one file. Of
two classes only the second is trained, against the first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.svm import SVC

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

PART = 1024
"""Pictures that are streamed at a time."""
MOST_STEPS = 300
"""Of L-BFGS, which ends before where the objective changes by less than `PRECISION` of itself."""
PRECISION = 1e-7


class Machines(NamedTuple):
    """Trained SVMs: scores are K(others, rows) @ coefficients.T + intercepts, or mapped @ coefficients.T + intercepts.

    Attributes:
        rows: What was learned from.
        coefficients: (K, len(rows)) of the exact solver, (K, E) of the streamed one.
        intercepts: (K,).
    """

    rows: Rows
    coefficients: Floats
    intercepts: Floats


def signs(labels: NDArray[np.int64], classes: int) -> NDArray[np.int8]:
    """Return +1 where a picture is of a class, else -1: (N, K); of two classes only the second has a column."""
    own = labels[:, None] == (np.arange(classes) if classes > 2 else np.array([1]))
    return np.where(own, 1, -1).astype(np.int8)


def both_columns(scores: NDArray[Any]) -> Floats:
    """Give the first of two classes its column: (N, 1) -> (N, 2); more classes stay as they are."""
    return np.concatenate([-scores, scores], 1) if scores.shape[1] == 1 else scores


class ExactSolver:
    """SVMs with hinge loss by libsvm, on a kernel matrix (N, N) of all pictures."""

    def __init__(self, matrix: Floats) -> None:
        self.matrix = matrix

    def train(self, rows: Rows, targets: NDArray[np.int8], c: float, before: Machines | None = None) -> Machines:
        """Train a machine for every column of `targets`, (len(rows), K) of +1 and -1; `before` is of no use here."""
        matrix = self.matrix[np.ix_(rows, rows)]

        def one(target: NDArray[np.int8]) -> tuple[Floats, float]:
            machine = SVC(C=c, kernel="precomputed").fit(matrix, target)
            coefficients = np.zeros(len(rows))
            coefficients[machine.support_] = machine.dual_coef_[0]
            return coefficients, float(machine.intercept_[0])

        # libsvm lets go of the interpreter while it works: threads share the matrix, processes would copy it
        solved = joblib.Parallel(require="sharedmem")(joblib.delayed(one)(target) for target in targets.T)
        return Machines(rows, np.stack([row for row, _ in solved]), np.array([intercept for _, intercept in solved]))

    def scores(self, machines: Machines, rows: Rows) -> Floats:
        """Return the scores (len(rows), K) of pictures."""
        found = self.matrix[np.ix_(rows, machines.rows)] @ machines.coefficients.T + machines.intercepts
        return both_columns(found)


class StreamedSolver:
    """Linear SVMs with squared hinge loss by L-BFGS, on features that are read part by part.

    The minimum of |w|^2 / 2 + c * sum of max(0, 1 - y f(x))^2, that of `sklearn.svm.LinearSVC`, but for the intercept,
    which is not penalized here. LinearSVC itself wants all features in memory, in 64 bits.

    Args:
        features: (N, D), may lie in a file.
        mapped: Maps (n, D) to (n, E).
        width: E.
    """

    def __init__(self, features: NDArray[Any], mapped: Callable[[NDArray[Any]], NDArray[Any]], width: int) -> None:
        self.features, self.mapped, self.width = features, mapped, width

    def train(self, rows: Rows, targets: NDArray[np.int8], c: float, before: Machines | None = None) -> Machines:
        """Train a machine for every column of `targets`, beginning from the machines `before`."""
        weights = np.zeros((targets.shape[1], self.width + 1))
        if before is not None:
            weights[:, :-1], weights[:, -1] = before.coefficients, before.intercepts
        found = minimize(
            lambda flat: self._objective(flat.reshape(weights.shape), rows, targets, c),
            weights.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": MOST_STEPS, "ftol": PRECISION},
        )
        best = np.asarray(found.x).reshape(weights.shape)
        return Machines(rows, np.ascontiguousarray(best[:, :-1]), best[:, -1].copy())

    def scores(self, machines: Machines, rows: Rows) -> Floats:
        """Return the scores (len(rows), K) of pictures."""
        parts = [self._part(rows, start) @ machines.coefficients.T for start in range(0, len(rows), PART)]
        return both_columns(np.concatenate(parts) + machines.intercepts)

    def _objective(self, weights: Floats, rows: Rows, targets: NDArray[np.int8], c: float) -> tuple[float, Floats]:
        """Return the objective of all machines together and its slope, flat."""
        inner = weights[:, :-1]
        value, slope = 0.5 * float((inner**2).sum()), np.zeros_like(weights)
        slope[:, :-1] = inner
        for start in range(0, len(rows), PART):
            part, sign = self._part(rows, start), targets[start : start + PART]
            missing = np.maximum(0, 1 - sign * (part @ inner.T.astype(part.dtype) + weights[:, -1]))
            pull = -2 * c * sign * missing
            value += c * float((missing**2).sum())
            slope[:, :-1] += pull.T.astype(part.dtype) @ part
            slope[:, -1] += pull.sum(0)
        return value, slope.ravel()

    def _part(self, rows: Rows, start: int) -> NDArray[Any]:
        return self.mapped(np.asarray(self.features[rows[start : start + PART]]))
