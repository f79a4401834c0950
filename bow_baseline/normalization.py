"""Normalization of histograms and other vectors, row by row."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from ..core.checks import unknown
from .projection import check_rows

KINDS = ("none", "l1", "l2", "root", "power")


def normalize(vectors: NDArray[Any], kind: str) -> NDArray[Any]:
    """Normalize each row (n, D); a row of zeros stays one.

    Args:
        vectors: float32 or float64.
        kind: "l1": sum of absolute values 1; "l2": length 1; "root": "l1", then the signed square root (Hellinger's
            kernel, length 1); "power": the signed square root, then length 1 (Perronnin et al. 2010); "none".

    Raises:
        UsageError: An unknown kind.
    """
    if kind not in KINDS:
        raise unknown("normalization", kind, KINDS)
    if kind == "none":
        return vectors
    if kind == "power":
        vectors = _rooted(vectors)
    norms = np.abs(vectors).sum(1) if kind in ("l1", "root") else np.sqrt(np.square(vectors).sum(1))
    scaled = vectors / np.where(norms > 0, norms, 1)[:, None]
    return _rooted(scaled) if kind == "root" else scaled


class Normalization(TransformerMixin, BaseEstimator):
    """`normalize` as a step of a scikit-learn pipeline.

    Args:
        kind: See `normalize`.
    """

    def __init__(self, *, kind: str = "l2") -> None:
        self.kind = kind

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the rows; nothing is learned."""
        normalize(check_rows(self, X, reset=True)[:1], self.kind)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Normalize each row of (n, D); see `normalize`."""
        return normalize(check_rows(self, X, reset=False), self.kind)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


def _rooted(vectors: NDArray[Any]) -> NDArray[Any]:
    return np.sign(vectors) * np.sqrt(np.abs(vectors))
