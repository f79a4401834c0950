"""Robust accuracy over budgets, with bootstrap intervals: what a model is worth under an attack."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.checks import DataError, UsageError, positive
from ..core.datasets.classes import ClassDataset
from .attack import Attack
from .budgets import run_within
from .problem import Step
from .results import Results

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Point:
    """One budget.

    Attributes:
        epsilon: In the curve's distance.
        clean_accuracy: Share of the pictures named right before.
        success_rate: Share of those that are fooled within this budget.
        robust_accuracy: Share of the pictures named right and not fooled.
        low: Lower end of the interval of the robust accuracy.
        high: Upper end.
        pictures: How many.
    """

    epsilon: float
    clean_accuracy: float
    success_rate: float
    robust_accuracy: float
    low: float
    high: float
    pictures: int


@dataclass(frozen=True)
class Curve:
    """Robust accuracy of one model under one attack, by budget.

    Attributes:
        model: Its name.
        attack: Name of the attack.
        distance: Of the budgets.
        points: By growing budget; the first is 0, the clean accuracy.
        results: What the attack made of the pictures at the largest budget; those of the others would fill the memory.
    """

    model: str
    attack: str
    distance: str
    points: tuple[Point, ...]
    results: Results | None = field(default=None, repr=False, compare=False)

    @property
    def telling(self) -> float:
        """The smallest budget within which half of the pictures or more are fooled, else the largest of all.

        There attacks can be told apart: where one fools none, or all, a weaker one may do as well.
        """
        half = [point.epsilon for point in self.points if point.success_rate >= 0.5]
        return (half or [self.points[-1].epsilon])[0]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: all but the results."""
        about = {"model": self.model, "attack": self.attack, "distance": self.distance}
        return {**about, "points": [asdict(point) for point in self.points]}


def robustness(
    model: Any,
    data: ClassDataset,
    attack: Attack,
    epsilons: Sequence[float],
    *,
    name: str = "model",
    distance: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    on_step: Callable[[Step], None] | None = None,
) -> Curve:
    """Attack all pictures of a dataset at each budget.

    A picture that is fooled within a budget is so within all larger ones, whose balls hold what fooled it.

    Args:
        model: As `Attack.run`'s; its classes are the dataset's.
        data: Pictures with their classes.
        attack: What fools.
        epsilons: Budgets.
        name: Of the model, for tables.
        distance: Of the budgets; None is the attack's; see `budgets.run_within`.
        seed: Of the attack and of the intervals.
        resamples: Draws of the bootstrap.
        level: Of the intervals.
        on_step: See `Attack.run`.

    Raises:
        DataError: No pictures, or other classes than the model's.
        UsageError: No budgets, or impossible ones.
    """
    if not len(data):
        raise DataError("pictures to attack", f"none in {data.root}", "choose another split")
    names = getattr(model, "names", None)
    if names is not None and tuple(names) != data.names:
        raise DataError(f"pictures of the classes {tuple(names)}", f"{data.names}", "read them with names=model.names")
    if not 0 < level < 1:
        raise UsageError("a level between 0 and 1", repr(level), "pass 0.95")
    positive("resamples", resamples)
    budgets = sorted(set(epsilons))
    images, labels = [data.image(i) for i in range(len(data))], data.labels.tolist()
    if not budgets:
        raise UsageError("at least one epsilon", "an empty list", "pass [2 / 255, 8 / 255], say")
    found = run_within(attack, model, images, labels, budgets, distance, seed=seed, on_step=on_step)
    points = points_of(found, budgets, seed, resamples, level)
    return Curve(name, attack.name, distance or attack.distance.name, points, found[-1])


def points_of(
    found: Sequence[Results], epsilons: Sequence[float], seed: int, resamples: int = RESAMPLES, level: float = LEVEL
) -> tuple[Point, ...]:
    """Return the points of a curve, from 0 on, for results at growing budgets."""
    correct = found[0].correct
    fooled, points = (
        np.zeros(len(correct), bool),
        [_point(0.0, correct, np.zeros(len(correct), bool), seed, resamples, level)],
    )
    for epsilon, results in zip(epsilons, found, strict=True):
        fooled = fooled | results.success
        points.append(_point(epsilon, correct, fooled, seed, resamples, level))
    return tuple(points)


def bootstrap(flags: NDArray[np.bool_], seed: int, resamples: int, level: float) -> tuple[float, float]:
    """Return the percentile interval of a share: Efron and Tibshirani 1993, section 13.3.

    Resampling yes and no with replacement is drawing from the binomial distribution. Where all flags are equal no draw
    differs from them, so there it is the exact interval of Clopper and Pearson 1934: 10 of 10 is [0.69, 1], not [1, 1].
    """
    share = float(flags.mean())
    if share in (0, 1):
        least = ((1 - level) / 2) ** (1 / len(flags))
        return (least, 1.0) if share else (0.0, 1 - least)
    drawn = np.random.default_rng(seed).binomial(len(flags), share, resamples) / len(flags)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def to_csv(curves: Sequence[Curve]) -> str:
    """Return all points as CSV under a header."""
    text = io.StringIO()
    columns = ["model", "attack", "distance", *Point.__dataclass_fields__]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for curve in curves:
        about = {"model": curve.model, "attack": curve.attack, "distance": curve.distance}
        writer.writerows({**about, **asdict(point)} for point in curve.points)
    return text.getvalue()


def _point(
    epsilon: float, correct: NDArray[np.bool_], fooled: NDArray[np.bool_], seed: int, resamples: int, level: float
) -> Point:
    robust = correct & ~fooled
    low, high = bootstrap(robust, seed, resamples, level)
    success = float(fooled[correct].mean()) if correct.any() else float("nan")
    return Point(epsilon, float(correct.mean()), success, float(robust.mean()), low, high, len(correct))
