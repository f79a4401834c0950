"""Paired statistics of classifiers that answered the same pictures: bootstrap intervals, McNemar's test, Holm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.checks import DataError, UsageError, positive

RESAMPLES = 5000
"""Draws of a bootstrap: the ends of a 95 % interval then stand on 125 draws each."""
LEVEL = 0.95
BLOCK = 2**24
"""Numbers drawn at once, 128 MB of int64: a test set of 10,000 pictures and 5,000 draws would fill 400 MB."""


@dataclass(frozen=True)
class Interval:
    """A mean and where it lies with the asked confidence, `low` <= `high`."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class McNemar:
    """What McNemar's exact test found.

    Attributes:
        only_first: Pictures that the first alone names right.
        only_second: Pictures that the second alone names right.
        p_value: Two-sided, of the hypothesis that both err equally often.
    """

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """Test whether two classifiers err equally often on the same pictures (McNemar 1947, in its exact form).

    Under the hypothesis each picture on which exactly one is right falls to either with probability 1/2; p is the
    binomial probability of a split at least as uneven, computed in whole numbers.

    Args:
        first: Whether the first named each picture right, (N,).
        second: The same of the second.

    Raises:
        DataError: Other shapes.

    Example:
        >>> mcnemar(np.array([1, 1, 1, 1, 1, 0], bool), np.array([0, 0, 0, 0, 0, 0], bool)).p_value
        0.0625
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if first.ndim != 1 or first.shape != second.shape:
        got = f"{first.shape} and {second.shape}"
        raise DataError("one answer of both for each picture, (N,)", got, "ask both about the same pictures")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    total, ways, tail = only_first + only_second, 1, 0
    for k in range(min(only_first, only_second) + 1):
        tail += ways
        ways = ways * (total - k) // (k + 1)
    return McNemar(only_first, only_second, min(1.0, 2 * tail / 2**total))


def combine(p_values: Sequence[float]) -> float:
    """Join p-values of one hypothesis that depend on each other in an unknown way, such as those of several seeds.

    K / k times the k-th smallest of K, k the upper half's first: for one value itself, for many about twice the median
    (Rueger 1978; Vovk and Wang 2020, Combining p-values via averaging, section 1).

    Raises:
        UsageError: None given.
    """
    if not p_values:
        raise UsageError("at least one p-value", "none", "run at least one seed")
    k = -(-len(p_values) // 2)
    return float(min(1.0, len(p_values) / k * sorted(p_values)[k - 1]))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number, so that one below a level keeps the chance of any false alarm below it.

    Holm 1979, A simple sequentially rejective multiple test procedure.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    stepped = np.minimum(1.0, np.maximum.accumulate(factors * np.asarray(p_values, np.float64)[order]))
    adjusted = np.empty(len(p_values))
    adjusted[order] = stepped
    return adjusted.tolist()  # type: ignore[no-any-return]


def resampled_means(values: NDArray[np.generic], *, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.float64]:
    """Return means over resampled pictures and seeds; every row meets the same draws, so differences are paired.

    Pictures and seeds are drawn with replacement, independently of each other (Owen 2007, The pigeonhole bootstrap):
    with one seed this is the plain bootstrap over pictures, and speaks of that one training alone.

    Args:
        values: (rows, seeds, pictures), such as 1 where an answer is right.
        resamples: Number of draws.
        seed: Of the draws.

    Returns:
        (rows, resamples).

    Raises:
        DataError: Another shape, or nothing to draw from.
    """
    positive("resamples", resamples)
    if values.ndim != 3 or 0 in values.shape:
        raise DataError("values (rows, seeds, pictures), none of them 0", f"{values.shape}", "ask about some pictures")
    rows, seeds, pictures = values.shape
    rng, flat = np.random.default_rng(seed), values.reshape(rows * seeds, pictures).astype(np.float64)
    means = np.empty((rows, resamples))
    step = max(1, BLOCK // pictures)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        weights, of_seeds = _draws(rng, count, pictures), _draws(rng, count, seeds)
        over_pictures = (flat @ weights.T).reshape(rows, seeds, count)  # of right answers: whole numbers, hence exact
        means[:, start : start + count] = np.einsum("rsb,bs->rb", over_pictures, of_seeds)
    return means / (seeds * pictures)


def interval(mean: float, draws: NDArray[np.float64], level: float = LEVEL) -> Interval:
    """Return the percentile interval of a mean over its resampled values (Efron 1979).

    Where all pictures have the same value the interval has no width: read McNemar's p beside it.

    Raises:
        UsageError: A level outside (0, 1).
    """
    check_level(level)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(mean), float(low), float(high))


def check_level(level: float) -> None:
    """Raise a UsageError unless a level of confidence lies between 0 and 1."""
    if not 0 < level < 1:
        raise UsageError("a level between 0 and 1", repr(level), "pass 0.95, say")


def paired_difference(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Return by how much the first is more accurate than the second, with its paired bootstrap interval.

    Args:
        first: Whether the first named a picture right, (pictures,) or (seeds, pictures).
        second: The same of the second, on the same pictures and seeds.
        resamples: See `resampled_means`.
        level: Of the interval.
        seed: Of the draws.

    Raises:
        DataError: Other shapes.
    """
    if np.shape(first) != np.shape(second):
        got = f"{np.shape(first)} and {np.shape(second)}"
        raise DataError("answers of both on the same pictures and seeds", got, "compare them on one test set")
    difference = np.atleast_2d(np.asarray(first, np.int8) - np.asarray(second, np.int8))
    draws = resampled_means(difference[None], resamples=resamples, seed=seed)
    return interval(float(difference.mean()), draws[0], level)


def _draws(rng: np.random.Generator, count: int, size: int) -> NDArray[np.float64]:
    """Weights (count, size), each row how often `size` draws with replacement took each."""
    drawn = rng.integers(size, size=(count, size)) + size * np.arange(count)[:, None]
    return np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size).astype(np.float64)
