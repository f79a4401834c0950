"""From an SVM's decision values to probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

STEEPEST = 100.0
"""Largest slope: a margin of 0.1 between two classes is then as good as certain."""


def softmax(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return the softmax of the rows of (N, K)."""
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float64)


def fit_slope(scores: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Return the slope for which softmax(slope * scores) fits the labels of held-out pictures best.

    One over the temperature of Guo et al. 2017: the likeliest class stays the one with the highest score. As in Platt
    1999 the targets are not quite 0 and 1, (n + 1) / (n + K) for the true class, so that n pictures which are all
    right do not give certainty.

    Args:
        scores: (N, K) decision values of pictures that were not trained on; N may be 0, which gives 1.
        labels: (N,).
    """
    count, classes = scores.shape
    if count == 0:
        return 1.0
    targets = np.full((count, classes), 1 / (count + classes))
    targets[np.arange(count), labels] += 1 - classes / (count + classes)

    def loss(exponent: float) -> float:
        steep = np.exp(exponent) * (scores - scores.max(1, keepdims=True))
        return float((np.log(np.exp(steep).sum(1)) - (targets * steep).sum(1)).mean())

    found = minimize_scalar(loss, bounds=(np.log(1e-3), np.log(STEEPEST)), method="bounded")
    return float(np.exp(found.x))
