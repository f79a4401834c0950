"""The figures of a comparison: accuracy, cost, paired tests, robustness, attacks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from .fitting import Run
from .results import Results
from .statistics import Interval, combine, holm, interval, mcnemar, resampled_means


@dataclass(frozen=True)
class Row:
    """One contender, trained on the whole set.

    Attributes:
        name: Of the contender.
        accuracy: Mean over seeds and pictures.
        per_seed: Accuracy with each seed.
        recalls: Accuracy on the pictures of each class, by class name; None for a class without test pictures.
        fit_seconds: Mean over the seeds, like all that follows.
        predict_milliseconds: For one picture, in batches of 32.
        peak_bytes: By how much the process grew while it trained; None where it could not be measured.
        size_bytes: Of the saved model; None where it cannot be saved.
        numbers: In the saved model; None likewise.
        measured_on: The other machines that times and memory were measured on, by the cache; empty for this one.
    """

    name: str
    accuracy: Interval
    per_seed: tuple[float, ...]
    recalls: dict[str, float | None]
    fit_seconds: float
    predict_milliseconds: float
    peak_bytes: float | None
    size_bytes: float | None
    numbers: float | None
    measured_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """Two contenders on the same pictures.

    Attributes:
        first: The one.
        second: The other.
        difference: Accuracy of the first minus that of the second, paired.
        only_first: Pictures that the first alone names right, mean over the seeds.
        only_second: Likewise.
        p_value: McNemar's exact p, of several seeds joined by `statistics.combine`.
        p_holm: Adjusted for the number of pairs.
    """

    first: str
    second: str
    difference: Interval
    only_first: float
    only_second: float
    p_value: float
    p_holm: float


@dataclass(frozen=True)
class Robustness:
    """One contender under corruptions.

    Attributes:
        name: Of the contender.
        accuracies: corruption -> severity -> accuracy.
        mean: Over all corruptions and severities.
    """

    name: str
    accuracies: dict[str, dict[int, Interval]]
    mean: Interval


@dataclass(frozen=True)
class Attacked:
    """One contender and the pictures of one attack.

    Attributes:
        name: Of the contender that was asked.
        attack: Of the attack.
        against: Of the contender that the pictures were made against.
        method: What the attack did there: for a model without gradients it may be another than its name says.
        clean: Accuracy on these pictures before.
        accuracy: After.
        fooled: Share named wrong after, of the pictures that both contenders named right before; None without those.
        distance: Median root mean square change of those that were right before and wrong after, pixels in [0, 1];
            None where there are none.
    """

    name: str
    attack: str
    against: str
    method: str
    clean: float
    accuracy: float
    fooled: float | None
    distance: float | None


def table(results: Results) -> list[Row]:
    """Return a row for every contender."""
    rights = np.stack([results.right(name) for name in results.names])
    draws = resampled_means(rights, resamples=results.config["resamples"])
    rows = []
    for name, right, drawn in zip(results.names, rights, draws, strict=True):
        facts = results.facts(name)
        labels, classes = results.test.labels, results.test.names
        by_class = [right[:, labels == i] for i in range(len(classes))]
        rows.append(
            Row(
                name,
                interval(right.mean(), drawn, results.config["level"]),
                tuple(right.mean(1).tolist()),
                {one: float(part.mean()) if part.size else None for one, part in zip(classes, by_class, strict=True)},
                _required(facts, "fit_seconds"),
                1000 * _required(facts, "predict_seconds"),
                _mean(facts, "peak_bytes"),
                _mean(facts, "size_bytes"),
                _mean(facts, "numbers"),
                _elsewhere(facts, results.config["machine"]),
            )
        )
    return rows


def pairs(results: Results) -> list[Pair]:
    """Return the paired tests of each two contenders, adjusted together."""
    rights = {name: results.right(name) for name in results.names}
    names = list(combinations(results.names, 2))
    if not names:
        return []
    gaps = np.stack([rights[a].astype(np.int8) - rights[b] for a, b in names])
    draws = resampled_means(gaps, resamples=results.config["resamples"])
    tests = [[mcnemar(x, y) for x, y in zip(rights[a], rights[b], strict=True)] for a, b in names]
    p_values = [combine([test.p_value for test in of_pair]) for of_pair in tests]
    found = []
    for (a, b), gap, drawn, of_pair, p, adjusted in zip(
        names, gaps, draws, tests, p_values, holm(p_values), strict=True
    ):
        only_a, only_b = (float(np.mean([getattr(t, side) for t in of_pair])) for side in ("only_first", "only_second"))
        found.append(Pair(a, b, interval(gap.mean(), drawn, results.config["level"]), only_a, only_b, p, adjusted))
    return found


def robustness(results: Results) -> list[Robustness]:
    """Return accuracies under each corruption and severity; nothing where none was asked for."""
    cells = [(name, severity) for name in results.config["corruptions"] for severity in results.config["severities"]]
    if not cells:
        return []
    found = []
    for contender in results.names:
        rights = np.stack([results.right(contender, None, *cell) for cell in cells])
        rows = np.concatenate([rights, rights.mean(0, keepdims=True)])
        draws = resampled_means(rows, resamples=results.config["resamples"])
        values = [interval(row.mean(), drawn, results.config["level"]) for row, drawn in zip(rows, draws, strict=True)]
        by_name: dict[str, dict[int, Interval]] = {}
        for (name, severity), value in zip(cells, values, strict=False):
            by_name.setdefault(name, {})[severity] = value
        found.append(Robustness(contender, by_name, values[-1]))
    return found


def attacks(results: Results) -> list[Attacked]:
    """Return what each attack did to each contender, over all seeds; then what was made against others."""
    chosen, names = results.config["attacks"], results.names
    own = [_attacked(results, name, attack, name) for name in names for attack in chosen]
    pairs = [(name, one) for one in results.config["transfers"] for name in names if name != one]
    return own + [_attacked(results, name, attack, one) for attack in chosen for name, one in pairs]


def _attacked(results: Results, name: str, attack: str, against: str) -> Attacked:
    labels = results.test.labels[results.attacked]
    clean, theirs = (results.right(one)[:, results.attacked] for one in (name, against))
    asked = [results.attack_cell(Run(results.contender(name), seed), attack, against) for seed in results.seeds]
    made = [results.attack_cell(Run(results.contender(against), seed), attack) for seed in results.seeds]
    after = np.stack([cell[0]["probabilities"].argmax(1) == labels for cell in asked if cell is not None])
    moved = np.stack([cell[0]["distance"] for cell in made if cell is not None])
    methods = dict.fromkeys(cell[1]["method"] for cell in made if cell is not None)
    both, wrong = clean & theirs, moved[clean & ~after]
    fooled = float((~after)[both].mean()) if both.any() else None
    distance = float(np.median(wrong)) if wrong.size else None
    method = ", ".join(methods)
    return Attacked(name, attack, against, method, float(clean.mean()), float(after.mean()), fooled, distance)


def duel(results: Results) -> tuple[str, str] | None:
    """Return the most accurate contender and the most accurate of another kind, or else the second; None for one."""
    order = sorted(results.contenders, key=lambda one: -float(results.right(one.name).mean()))
    if len(order) < 2:
        return None
    other = next((one for one in order[1:] if one.kind != order[0].kind), order[1])
    return order[0].name, other.name


def _elsewhere(facts: list[dict[str, Any]], here: str) -> tuple[str, ...]:
    """Return the machines of facts, but for this one."""
    found = {fact[name] for fact in facts for name in ("fitted_on", "asked_on")}
    return tuple(sorted(found - {here}))


def _mean(facts: list[dict[str, Any]], name: str) -> float | None:
    values = [fact[name] for fact in facts if fact.get(name) is not None]
    return float(np.mean(values)) if values else None


def _required(facts: list[dict[str, Any]], name: str) -> float:
    return float(np.mean([fact[name] for fact in facts]))
