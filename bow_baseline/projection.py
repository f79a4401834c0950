"""Principal components of descriptors, learned block by block from what need not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ..core.checks import DataError, UsageError

BLOCK = 8192
"""Rows read at a time: 4 MiB of SIFT."""
FAINTEST = 1e-6
"""Variance, as a share of the largest, below which whitening enlarges no further: what is left there is rounding."""


def blocks(rows: Any, size: int = BLOCK) -> Iterator[NDArray[Any]]:
    """Yield the rows of an array, a memory map or a `Projected`, `size` at a time."""
    return (np.require(rows[start : start + size], requirements=["C", "W"]) for start in range(0, len(rows), size))


def check_rows(estimator: BaseEstimator, rows: Any, *, reset: bool, least: int = 1) -> NDArray[Any]:
    """Return a matrix of float32 or float64, as it is where it is one; a memory map is not read into memory.

    Raises:
        DataError: Not a matrix of finite numbers, too few rows, or not as many columns as were fitted.
    """
    if isinstance(rows, Projected):
        return rows  # type: ignore[return-value]  # checked when its own rows were
    dtypes = [np.float32, np.float64]
    try:
        return validate_data(estimator, rows, reset=reset, dtype=dtypes, ensure_min_samples=least)
    except ValueError as error:
        fix = "pass one row of numbers a descriptor"
        raise DataError("a matrix of finite numbers", str(error), fix) from error


class Projection(TransformerMixin, BaseEstimator):
    """Principal component analysis, whitening if asked.

    Args:
        components: How many to keep; None keeps all.
        whiten: Scale each to variance 1.

    Attributes:
        mean_: (D,), float64 as are the others.
        components_: (components, D), unit length, the largest entry of each positive.
        variances_: (components,), of the rows along each, falling.
    """

    def __init__(self, *, components: int | None = 64, whiten: bool = False) -> None:
        self.components = components
        self.whiten = whiten

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows (n, D); covariance in float64, memory independent of n.

        Raises:
            DataError: Not a finite matrix of at least 2 rows.
            UsageError: More components than columns.
        """
        X = check_rows(self, X, reset=True, least=2)
        width = X.shape[1]
        keep = width if self.components is None else self.components
        if not 1 <= keep <= width:
            raise UsageError(f"1 to {width} components of {width} columns", str(keep), "keep fewer")
        self.mean_ = sum(part.sum(0, dtype=np.float64) for part in blocks(X)) / len(X)
        scatter = np.zeros((width, width))
        for part in blocks(X):
            centred = part - self.mean_
            scatter += centred.T @ centred
        variances, vectors = np.linalg.eigh(scatter / (len(X) - 1))
        chosen = vectors.T[::-1][:keep]
        signs = np.sign(chosen[np.arange(keep), np.abs(chosen).argmax(1)])
        self.components_ = chosen * signs[:, None]
        self.variances_ = np.maximum(variances[::-1][:keep], 0)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Project rows (n, D) onto the components: (n, components), in the dtype of X."""
        check_is_fitted(self)
        X = check_rows(self, X, reset=False)
        return self.project(X)

    def project(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Do what `transform` does, without its checks."""
        turn = self.components_ / self._deviations()[:, None]
        return rows @ turn.T.astype(rows.dtype) - (turn @ self.mean_).astype(rows.dtype)

    def _deviations(self) -> NDArray[np.float64]:
        if not self.whiten:
            return np.ones(len(self.variances_))
        least = max(FAINTEST * float(self.variances_[0]), np.finfo(np.float64).tiny)
        return np.sqrt(np.maximum(self.variances_, least))


class Projected:
    """Rows that are projected when they are read, so that a memory map stays one.

    Args:
        rows: (n, D), an array or a memory map.
        projection: A fitted one.
    """

    def __init__(self, rows: NDArray[Any], projection: Projection) -> None:
        self.rows, self.projection = rows, projection
        self.shape = (len(rows), len(projection.components_))
        self.dtype = rows.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> NDArray[Any]:
        return self.projection.project(np.asarray(self.rows[index]))
