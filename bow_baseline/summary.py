"""All figures of a comparison in one place, as values and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..core.checks import UsageError, unknown
from .curves import Crossing, Curve, curve_crossings, learning_curves
from .disagreements import Disagreement, disagreements
from .figures import Attacked, Pair, Robustness, Row, attacks, duel, pairs, robustness, table
from .results import Results
from .statistics import LEVEL


@dataclass(frozen=True)
class Summary:
    """What a report shows; see the functions of `figures` and `curves` for its parts.

    Attributes:
        table: A row for every contender, the most accurate first.
        pairs: Paired tests of each two.
        curves: Learning curves.
        crossings: Where they cross; empty for curves of one point.
        robustness: Under corruptions; empty where none was asked for.
        attacks: Likewise.
        duel: The two whose disagreements are shown; None for a single contender.
        disagreements: Between those two.
        level: Of the intervals; 1 - level is the p below which two are told apart.
    """

    table: list[Row]
    pairs: list[Pair]
    curves: list[Curve]
    crossings: list[Crossing]
    robustness: list[Robustness]
    attacks: list[Attacked]
    duel: tuple[str, str] | None
    disagreements: list[Disagreement]
    level: float = LEVEL

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        plain = {
            name: [asdict(one) for one in getattr(self, name)]
            for name in ("table", "pairs", "curves", "crossings", "robustness", "attacks")
        }
        return {**plain, "duel": self.duel, "disagreements": [one.to_dict() for one in self.disagreements]}

    def verdict(self) -> str:
        """Say in a sentence or two who is ahead, and whether the pictures suffice to say so."""
        best = self.table[0]
        if self.duel is None:
            return f"{best.name}: accuracy {best.accuracy}."
        first, second = self.duel
        pair = next(pair for pair in self.pairs if {pair.first, pair.second} == {first, second})
        gap = pair.difference.mean if pair.first == first else -pair.difference.mean
        ends = sorted(
            100 * (end if pair.first == first else -end) for end in (pair.difference.low, pair.difference.high)
        )
        # McNemar's p alone speaks of the trained models: of two equal ones it tells 15 % apart where trainings vary.
        apart = pair.p_holm < 1 - self.level and (ends[0] > 0 or ends[1] < 0)
        ours = "these trainings" if len(best.per_seed) > 1 else "this one training of each"
        return (
            f"{first} is {100 * gap:.1f} points ahead of {second} (interval {ends[0]:.1f} to {ends[1]:.1f}; "
            f"McNemar's exact p {p_text(pair.p_holm)} after Holm): these pictures and {ours} "
            f"{'tell' if apart else 'do not tell'} the two apart."
        )


def summarize(results: Results, *, between: tuple[str, str] | None = None, count: int = 4) -> Summary:
    """Draw all figures from a comparison.

    Args:
        results: Of `Comparison.run`.
        between: Two contenders whose disagreements are shown; None takes the best of two kinds (`figures.duel`).
        count: Disagreements of each direction.

    Raises:
        UsageError: `between` names somebody who did not take part.
    """
    if between is not None:
        check_between(between, results.names)
    two = between or duel(results)
    return Summary(
        sorted(table(results), key=lambda row: -row.accuracy.mean),
        pairs(results),
        learning_curves(results),
        curve_crossings(results),
        robustness(results),
        attacks(results),
        two,
        [] if two is None else disagreements(results, *two, count=count),
        results.config["level"],
    )


def check_between(between: tuple[str, str], names: Sequence[str]) -> None:
    """Raise a UsageError unless these are two of the contenders."""
    for name in between:
        if name not in names:
            raise unknown("contender", name, names)
    if between[0] == between[1]:
        raise UsageError("two different contenders", f"{between[0]!r} twice", f"choose among {', '.join(names)}")


def p_text(p: float) -> str:
    """Write a p-value: three decimals, or that it is smaller."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
