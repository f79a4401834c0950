"""The tables of the report, as text for people and as numbers for CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .results import Results
from .statistics import Interval
from .summary import Summary

MARK = " †"
"""Beside what another machine measured."""


@dataclass(frozen=True)
class Table:
    """A table for people.

    Attributes:
        title: Its heading.
        columns: Heads of the columns; all but the first hold numbers.
        rows: Cells as text.
        note: How to read it.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""

    def markdown(self) -> str:
        """Write it as Markdown, without its title and note."""
        lines = ["| " + " | ".join(_cell(c) for c in self.columns) + " |"]
        lines.append("| --- |" + " ---: |" * (len(self.columns) - 1))
        return "\n".join([*lines, *("| " + " | ".join(_cell(c) for c in row) + " |" for row in self.rows)])


def tables(summary: Summary, config: dict[str, Any]) -> list[Table]:
    """Return the tables of a report, those without rows left out."""
    level = f"{100 * config['level']:g} %"
    made = (
        _main(summary, level),
        _pairs(summary, level),
        _crossings(summary, level),
        _robust(summary),
        _attacked(summary),
    )
    return [table for table in (*made, _recalls(summary)) if table.rows]


def _main(summary: Summary, level: str) -> Table:
    columns = ("contender", f"accuracy [{level}]", "fit", "a picture", "peak memory", "size", "numbers")
    rows = [
        (
            row.name,
            percent(row.accuracy),
            f"{row.fit_seconds:.1f} s" + (mark := MARK if row.measured_on else ""),
            f"{row.predict_milliseconds:.1f} ms" + mark,
            _megabytes(row.peak_bytes) + mark,
            _megabytes(row.size_bytes),
            "–" if row.numbers is None else f"{row.numbers:,.0f}",
        )
        for row in summary.table
    ]
    note = (
        "Accuracy on the test pictures after training on the whole training set, mean over the seeds. Intervals "
        "resample pictures and seeds. Peak memory is what the process grew by while it trained. Size is the saved "
        "file's, numbers what it holds."
    )
    others = sorted({one for row in summary.table for one in row.measured_on})
    if others:
        note += f" {MARK.strip()} Taken from the cache, measured on another machine: {'; '.join(others)}."
    return Table("Accuracy and cost", columns, rows, note)


def _pairs(summary: Summary, level: str) -> Table:
    columns = ("pair", f"difference in points [{level}]", "only the first", "only the second", "p", "p (Holm)")
    rows = [
        (
            f"{pair.first} − {pair.second}",
            points(pair.difference),
            f"{pair.only_first:g}",
            f"{pair.only_second:g}",
            _p(pair.p_value),
            _p(pair.p_holm),
        )
        for pair in summary.pairs
    ]
    note = (
        "Paired: both answered the same pictures. The columns 'only' count pictures that one alone names right, mean "
        "over the seeds; p is McNemar's exact test, p (Holm) adjusted for the number of pairs."
    )
    return Table("Paired tests", columns, rows, note)


def _crossings(summary: Summary, level: str) -> Table:
    columns = ("pair", "crossing, pictures a class", level, "resamples that cross")
    rows = [
        (
            f"{one.first} / {one.second}",
            ", ".join(f"{at:.1f}" for at in one.at) or "none",
            "–" if not one.at or one.low is None or one.high is None else f"{one.low:.1f} to {one.high:.1f}",
            f"{100 * one.share:.0f} %",
        )
        for one in summary.crossings
    ]
    note = "Interpolated in the logarithm of the size; the second of a pair is ahead after the last crossing."
    return Table("Where the learning curves cross", columns, rows, note)


def _robust(summary: Summary) -> Table:
    found = summary.robustness
    names = list(found[0].accuracies) if found else []
    rows = []
    for row in found:
        means = [sum(v.mean for v in row.accuracies[name].values()) / len(row.accuracies[name]) for name in names]
        rows.append((row.name, percent(row.mean), *(f"{100 * mean:.1f}" for mean in means)))
    note = "Mean accuracy over the severities, in percent; all contenders saw the same corrupted pictures."
    return Table("Robustness", ("contender", "mean", *names), rows, note)


def _attacked(summary: Summary) -> Table:
    columns = (
        "contender", "attack", "made against", "by", "accuracy before", "after", "fooled", "median change (RMS)",
    )  # fmt: skip
    rows = [
        (
            one.name,
            one.attack,
            "itself" if one.against == one.name else one.against,
            one.method,
            f"{100 * one.clean:.1f}",
            f"{100 * one.accuracy:.1f}",
            "–" if one.fooled is None else f"{100 * one.fooled:.1f}",
            "–" if one.distance is None else f"{one.distance:.4f}",
        )
        for one in summary.attacks
    ]
    note = (
        "Accuracy in percent on the attacked pictures, before and after. 'Fooled' is the share named wrong after, of "
        "the pictures that the contender, and the one that they were made against, named right before. 'By' is what "
        "made the pictures: models without gradients are attacked through their answers. The change is that of the "
        "pictures that fooled."
    )
    return Table("Attacks", columns, rows, note)


def _recalls(summary: Summary) -> Table:
    rows = [
        (name, *("–" if (v := row.recalls[name]) is None else f"{100 * v:.0f}" for row in summary.table))
        for name in summary.table[0].recalls
    ]
    return Table("Accuracy by class", ("class", *(row.name for row in summary.table)), rows, "In percent.")


def csv_files(results: Results, summary: Summary) -> dict[str, str]:
    """Return the figures in full: file name -> CSV."""
    curve_rows = [
        (curve.name, size, value.mean, value.low, value.high)
        for curve in summary.curves
        for size, value in zip(curve.sizes, curve.accuracies, strict=True)
    ]
    robust_rows = [
        (row.name, name, severity, value.mean, value.low, value.high)
        for row in summary.robustness
        for name, by_severity in row.accuracies.items()
        for severity, value in by_severity.items()
    ]
    ends = ("accuracy", "low", "high")
    crossing_rows = [(c.first, c.second, " ".join(map(repr, c.at)), c.low, c.high, c.share) for c in summary.crossings]
    attack_rows = [
        (a.name, a.attack, a.against, a.method, a.clean, a.accuracy, a.fooled, a.distance) for a in summary.attacks
    ]
    costs = ("fit_seconds", "predict_milliseconds", "peak_bytes", "size_bytes", "numbers")
    files = {
        "table.csv": _csv(
            ("contender", *ends, *costs, "measured_on"),
            [
                (r.name, *_ends(r.accuracy), *(getattr(r, name) for name in costs), "; ".join(r.measured_on))
                for r in summary.table
            ],
        ),
        "pairs.csv": _csv(
            ("first", "second", "difference", "low", "high", "only_first", "only_second", "p", "p_holm"),
            [
                (p.first, p.second, *_ends(p.difference), p.only_first, p.only_second, p.p_value, p.p_holm)
                for p in summary.pairs
            ],
        ),
        "curves.csv": _csv(("contender", "per_class", *ends), curve_rows),
        "answers.csv": _answers(results),
    }
    if robust_rows:
        files["robustness.csv"] = _csv(("contender", "corruption", "severity", *ends), robust_rows)
    if crossing_rows:
        files["crossings.csv"] = _csv(("first", "second", "at", "low", "high", "share"), crossing_rows)
    if attack_rows:
        files["attacks.csv"] = _csv(
            ("contender", "attack", "made_against", "by", "before", "after", "fooled", "median_change"), attack_rows
        )
    return files


def _answers(results: Results) -> str:
    """Every answer on every clean picture: what all other figures can be computed from."""
    rows = []
    for name in results.names:
        for seed, answers in zip(results.seeds, results.probabilities(name), strict=True):
            for i, answer in enumerate(answers):
                chosen = int(answer.argmax())
                truth = results.test.names[results.test.labels[i]]
                given = results.test.names[chosen]
                rows.append((name, seed, results.test.source(i), truth, given, float(answer[chosen])))
    return _csv(("contender", "seed", "picture", "truth", "answer", "probability"), rows)


def percent(value: Interval) -> str:
    """Write an accuracy and its interval in percent."""
    return f"{100 * value.mean:.1f} [{100 * value.low:.1f}, {100 * value.high:.1f}]"


def points(value: Interval) -> str:
    """Write a difference and its interval in percentage points, with signs."""
    return f"{100 * value.mean:+.1f} [{100 * value.low:+.1f}, {100 * value.high:+.1f}]"


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if cell is None else cell for cell in row] for row in rows])
    return text.getvalue()


def _ends(value: Interval) -> tuple[float, float, float]:
    return value.mean, value.low, value.high


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _megabytes(size: float | None) -> str:
    return "–" if size is None else f"{size / 1e6:.1f} MB"


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"
