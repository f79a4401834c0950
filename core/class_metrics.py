"""Figures of a classifier: accuracy, confusion, a row for each class, calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15


def class_figures(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], names: tuple[str, ...]
) -> dict[str, Any]:
    """Measure probabilities against labels.

    Args:
        probabilities: (N, classes), rows that sum to 1.
        labels: (N,) class ids.
        names: Class names.

    Returns:
        "top1" and "top5", shares of pictures whose class is the likeliest, or among the five likeliest; "loss", mean
        negative logarithm of the class's probability; "calibration_error" and "reliability" (see there); "confusion",
        rows of true classes, columns of predicted ones; "per_class": precision, recall, F1 and count by name; "count".
    """
    count, classes = len(labels), len(names)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    predicted = order[:, 0] if count else np.zeros(0, np.int64)
    hits = order == labels[:, None]
    confusion = np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
    own = probabilities[np.arange(count), labels]
    return {
        "top1": float(hits[:, :1].sum() / max(count, 1)),
        "top5": float(hits[:, :5].sum() / max(count, 1)),
        "loss": float(-np.log(np.maximum(own, 1e-12)).mean()) if count else 0.0,
        "calibration_error": calibration_error(probabilities, labels),
        "reliability": reliability(probabilities, labels),
        "per_class": {name: _row(confusion, i) for i, name in enumerate(names)},
        "confusion": confusion.tolist(),
        "count": count,
    }


def calibration_error(probabilities: NDArray[np.float32], labels: NDArray[np.int64], bins: int = BINS) -> float:
    """Return the expected calibration error (Guo et al. 2017): mean gap between confidence and accuracy over bins.

    Args:
        probabilities: (N, classes).
        labels: (N,) class ids.
        bins: Of equal width over [0, 1], each open on its left.
    """
    rows = reliability(probabilities, labels, bins)
    return float(sum(count * abs(right - sure) for count, sure, right in rows) / max(len(labels), 1))


def reliability(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], bins: int = BINS
) -> list[tuple[int, float, float]]:
    """Return (pictures, mean confidence, accuracy) of each bin of confidence; zeros where there is no picture.

    Arguments as `calibration_error`'s.
    """
    if len(labels) == 0:
        return [(0, 0.0, 0.0)] * bins
    confidence = probabilities.max(1).astype(np.float64)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    sure, right = (
        np.bincount(place, weights=values, minlength=bins) / np.maximum(count, 1)
        for values in (confidence, probabilities.argmax(1) == labels)
    )
    return list(zip(count.tolist(), sure.tolist(), right.tolist(), strict=True))


def _row(confusion: NDArray[np.int64], class_id: int) -> dict[str, float]:
    hits, told, there = confusion[class_id, class_id], confusion[:, class_id].sum(), confusion[class_id].sum()
    precision, recall = float(hits / max(told, 1)), float(hits / max(there, 1))
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "count": int(there)}
