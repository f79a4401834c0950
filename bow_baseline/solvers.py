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

from .room import let_go

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

PART = 1024
"""Pictures that are streamed at a time, fewer where they have more numbers than `PART_NUMBERS` together."""
PART_NUMBERS = 2**23
MOST_PASSES = 100
"""Of L-BFGS over the features, which ends before where the objective changes by less than `PRECISION` of itself."""
FOLD_PASSES = 25
"""Of L-BFGS where a fold is held out to choose C, each beginning where the C before it ended: with the seven values of
`svm.GRID` a training reads its features at most some 280 times."""
PRECISION = 1e-5


class Machines(NamedTuple):
    """Trained SVMs: scores are K(others, rows) @ coefficients.T + intercepts, or mapped @ coefficients.T + intercepts.

    Attributes:
        rows: What was learned from.
        coefficients: (K, len(rows)) of the exact solver, (K, E) of the streamed one.
        intercepts: (K,).
        converged: Whether the solver came to its precision.
    """

    rows: Rows
    coefficients: Floats
    intercepts: Floats
    converged: bool = True


def signs(labels: NDArray[np.int64], classes: int) -> NDArray[np.int8]:
    """Return +1 where a picture is of a class, else -1: (N, K); of two classes only the second has a column."""
    own = labels[:, None] == (np.arange(classes) if classes > 2 else np.array([1]))
    return np.where(own, 1, -1).astype(np.int8)


def both_columns(scores: NDArray[Any]) -> Floats:
    """Give the first of two classes its column: (N, 1) -> (N, 2); more classes stay as they are."""
    return np.concatenate([-scores, scores], 1) if scores.shape[1] == 1 else scores


class ExactSolver:
    """SVMs with hinge loss by libsvm, on a kernel matrix (N, N) of all pictures.

    Args:
        matrix: (N, N).
        jobs: Machines trained at a time; None leaves it to `joblib.parallel_config`, and is one without it.
    """

    def __init__(self, matrix: Floats, jobs: int | None = None) -> None:
        self.matrix, self.jobs = matrix, jobs
        self._last: tuple[Rows, Floats] = (np.zeros(0, np.int64), matrix[:0, :0])

    def train(self, rows: Rows, targets: NDArray[np.int8], c: float, before: Machines | None = None) -> Machines:
        """Train a machine for every column of `targets`, (len(rows), K) of +1 and -1; `before` is of no use here."""
        matrix = self._between(rows)

        def one(target: NDArray[np.int8]) -> tuple[Floats, float]:
            machine = SVC(C=c, kernel="precomputed").fit(matrix, target)
            coefficients = np.zeros(len(rows))
            coefficients[machine.support_] = machine.dual_coef_[0]
            return coefficients, float(machine.intercept_[0])

        # libsvm lets go of the interpreter while it works: threads share the matrix, processes would copy it
        machines = (joblib.delayed(one)(target) for target in targets.T)
        solved = joblib.Parallel(n_jobs=self.jobs, require="sharedmem")(machines)
        return Machines(rows, np.stack([row for row, _ in solved]), np.array([intercept for _, intercept in solved]))

    def _between(self, rows: Rows) -> Floats:
        """Return the part of the matrix between rows: the same for every C of a fold, and the matrix itself for all."""
        if not np.array_equal(self._last[0], rows):
            everything = len(rows) == len(self.matrix) and bool((np.diff(rows) == 1).all())
            self._last = rows, self.matrix if everything else self.matrix[np.ix_(rows, rows)]
        return self._last[1]

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
        self.part = max(1, min(PART, PART_NUMBERS // width))

    def train(self, rows: Rows, targets: NDArray[np.int8], c: float, before: Machines | None = None) -> Machines:
        """Train a machine for every column of `targets`, beginning from the machines `before`."""
        weights = np.zeros((targets.shape[1], self.width + 1))
        if before is not None:
            weights[:, :-1], weights[:, -1] = before.coefficients, before.intercepts
        most = MOST_PASSES if len(rows) == len(self.features) else FOLD_PASSES
        found = minimize(
            lambda flat: self._objective(flat.reshape(weights.shape), rows, targets, c),
            weights.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": most, "maxfun": most, "ftol": PRECISION},
        )
        best = np.asarray(found.x).reshape(weights.shape)
        return Machines(rows, np.ascontiguousarray(best[:, :-1]), best[:, -1].copy(), bool(found.success))

    def scores(self, machines: Machines, rows: Rows) -> Floats:
        """Return the scores (len(rows), K) of pictures."""
        parts = [self._part(rows, start) @ machines.coefficients.T for start in range(0, len(rows), self.part)]
        return both_columns(np.concatenate(parts) + machines.intercepts)

    def _objective(self, weights: Floats, rows: Rows, targets: NDArray[np.int8], c: float) -> tuple[float, Floats]:
        """Return the objective of all machines together and its slope, flat."""
        inner = weights[:, :-1]
        value, slope = 0.5 * float((inner**2).sum()), np.zeros_like(weights)
        slope[:, :-1] = inner
        for start in range(0, len(rows), self.part):
            part, sign = self._part(rows, start), targets[start : start + self.part]
            missing = np.maximum(0, 1 - sign * (part @ inner.T.astype(part.dtype) + weights[:, -1]))
            pull = -2 * c * sign * missing
            value += c * float((missing**2).sum())
            slope[:, :-1] += pull.T.astype(part.dtype) @ part
            slope[:, -1] += pull.sum(0)
        return value, slope.ravel()

    def _part(self, rows: Rows, start: int) -> NDArray[Any]:
        part = self.mapped(np.asarray(self.features[rows[start : start + self.part]]))
        let_go(self.features)
        return part
