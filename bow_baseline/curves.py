"""Learning curves over pictures per class, and where two of them cross."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .results import Results
from .statistics import Interval, interval, resampled_means

CROSSING_RESAMPLES = 1000


@dataclass(frozen=True)
class Curve:
    """Accuracy of a contender over the size of its training set.

    Attributes:
        name: The contender.
        sizes: Mean number of pictures of a class that it was trained on.
        accuracies: With intervals, one for each size.
    """

    name: str
    sizes: tuple[float, ...]
    accuracies: tuple[Interval, ...]


@dataclass(frozen=True)
class Crossing:
    """Where the curves of two contenders cross.

    Attributes:
        first: Who is ahead before the last crossing.
        second: Who is ahead after it.
        at: Pictures of each class at every crossing; empty where one is ahead, or level, throughout.
        low: Lower end of the last crossing's interval over the resamples that cross; None where none does.
        high: Its upper end.
        share: Share of the resamples in which the curves cross.
    """

    first: str
    second: str
    at: tuple[float, ...]
    low: float | None
    high: float | None
    share: float


def crossings(sizes: Sequence[float], first: Iterable[float], second: Iterable[float]) -> list[float]:
    """Return the sizes at which two curves cross, interpolated in the logarithm of the size.

    Curves that touch without changing sides do not cross; where they run together and then part to the other side the
    crossing is in the middle of what they share.

    Args:
        sizes: Above 0, growing.
        first: Values of the one curve at the sizes.
        second: Of the other.

    Example:
        >>> round(crossings([1, 100], [0.5, 0.5], [0.4, 0.6])[0], 6)
        10.0
    """
    gaps = [float(a) - float(b) for a, b in zip(first, second, strict=True)]
    apart = [i for i, gap in enumerate(gaps) if gap != 0]
    found = []
    for i, j in pairwise(apart):
        if (gaps[i] > 0) == (gaps[j] > 0):
            continue
        share = gaps[i] / (gaps[i] - gaps[j])
        left, right = (math.log(sizes[i]), math.log(sizes[j]))
        if j > i + 1:
            left, right, share = math.log(sizes[i + 1]), math.log(sizes[j - 1]), 0.5
        found.append(math.exp(left + share * (right - left)))
    return found


def learning_curves(results: Results) -> list[Curve]:
    """Return the curve of every contender."""
    sizes, rows = _sizes(results), _rows(results)
    draws = resampled_means(rows, resamples=results.config["resamples"])
    values = [interval(row.mean(), drawn, results.config["level"]) for row, drawn in zip(rows, draws, strict=True)]
    step = len(sizes)
    return [Curve(name, sizes, tuple(values[i * step : (i + 1) * step])) for i, name in enumerate(results.names)]


def curve_crossings(results: Results) -> list[Crossing]:
    """Return where the curves of each two contenders cross; nothing for a curve of one point."""
    sizes = _sizes(results)
    if len(sizes) < 2:
        return []
    shape = (len(results.names), len(sizes), -1)
    rows = _rows(results)
    means = rows.mean((1, 2)).reshape(shape[:2])
    count = min(CROSSING_RESAMPLES, results.config["resamples"])
    draws = resampled_means(rows, resamples=count).reshape(shape)
    found = []
    for i, first in enumerate(results.names):
        for j, second in enumerate(results.names[i + 1 :], i + 1):
            at = crossings(sizes, means[i], means[j])
            drawn = [crossings(sizes, draws[i, :, b], draws[j, :, b]) for b in range(count)]
            last = [each[-1] for each in drawn if each]
            tail = (1 - results.config["level"]) / 2
            low, high = np.quantile(last, [tail, 1 - tail]).tolist() if last else (None, None)
            swap = _ahead(means[i] - means[j]) > 0
            names = (second, first) if swap and at else (first, second)
            found.append(Crossing(*names, tuple(at), low, high, len(last) / count))
    return found


def _ahead(gaps: np.ndarray) -> float:
    """The last gap that is not 0."""
    apart = gaps[gaps != 0]
    return float(apart[-1]) if len(apart) else 0.0


def _sizes(results: Results) -> tuple[float, ...]:
    classes = len(results.train.names)
    return tuple(len(results.train) / classes if point is None else float(point) for point in results.points)


def _rows(results: Results) -> np.ndarray:
    """Right answers (contenders x points, seeds, pictures)."""
    return np.stack([results.right(name, point) for name in results.names for point in results.points])
