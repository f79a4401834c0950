"""Who else is fooled: by other models (transfer), after JPEG, after a defence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.checks import DataError, UsageError, unknown
from ..core.images import load_image
from .attack import Attack
from .budgets import run_within
from .defended import Change, jpeg
from .inputs import class_ids
from .results import Result, Results
from .victims import victim

QUALITIES = (95, 85, 75, 60, 45, 30, 15)


@dataclass(frozen=True)
class Transfer:
    """Rows are models that pictures were made against, columns models that were asked about them.

    Attributes:
        rows: Names of the models attacked.
        columns: Names of the models asked.
        fooled: Share fooled, float (rows, columns), of the pictures that the row's model and the column's model named
            right before; NaN where there are none. A picture with a target fools who names that; see `fools`.
        counts: How many those are.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    fooled: NDArray[np.float64]
    counts: NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {**asdict(self), "fooled": self.fooled.tolist(), "counts": self.counts.tolist()}


def transfer_matrix(
    models: Mapping[str, Any],
    images: list[Any],
    labels: Sequence[Any],
    attacks: Attack | Mapping[str, Attack],
    *,
    epsilon: float | None = None,
    distance: str | None = None,
    seed: int = 0,
) -> Transfer:
    """Attack each model, and ask all others about what came out.

    Args:
        models: Name -> model of the same classes with `names` and `predict_proba`; a bag of words is one.
        images: Pictures, see `core.images.load_image`.
        labels: Their classes, by name, or by number among the first model's.
        attacks: One for all models, or one for each name: a model without gradients needs one that does without. A
            model that has none is a column only.
        epsilon: Budget; None is each attack's own.
        distance: Of the budget; None is each attack's; see `budgets.run_within`.
        seed: Of all attacks.

    Raises:
        UsageError: No models, or attacks of models that there are not.
        DataError: Models of other classes.
    """
    by_name = dict.fromkeys(models, attacks) if isinstance(attacks, Attack) else dict(attacks)
    _check(models, by_name)
    pictures, names = [load_image(one) for one in images], tuple(next(iter(models.values())).names)
    true = [names[i] for i in class_ids("labels", labels, names, len(pictures))]
    found = {}
    for name, attack in by_name.items():
        if epsilon is None:
            found[name] = attack.run(models[name], pictures, list(true), seed=seed)
        else:
            (found[name],) = run_within(attack, models[name], pictures, true, [epsilon], distance, seed=seed)
    return transferred(models, found)


def transferred(models: Mapping[str, Any], found: Mapping[str, Results]) -> Transfer:
    """Ask each model about what fooled the others, for results that are there already.

    Args:
        models: As `transfer_matrix`'s.
        found: By name of the model attacked, what an attack made of the same pictures.

    Raises:
        UsageError: No models, results of models that there are not, or of other pictures than the first ones are.
        DataError: Models of other classes.
    """
    _check(models, found)
    first = next(iter(found.values()), Results([]))
    for name, results in found.items():
        same = len(results) == len(first) and all(
            np.array_equal(a.original, b.original) and a.label == b.label for a, b in zip(results, first, strict=True)
        )
        if not same:
            raise UsageError("results about the same pictures", f"others for {name!r}", "attack all with one list")
    labels = [one.label for one in first]
    right = {name: _says(model, [one.original for one in first]) == np.array(labels) for name, model in models.items()}
    rows = [
        [_share(right[name] & right[other], model, results) for other, model in models.items()]
        for name, results in found.items()
    ]
    table = np.array(rows, dtype=np.float64).reshape(len(found), len(models), 2)
    return Transfer(tuple(found), tuple(models), table[..., 0], table[..., 1].astype(np.int64))


def _check(models: Mapping[str, Any], by_name: Mapping[str, Any]) -> None:
    """Raise unless all models have the same classes, and all that are named are there."""
    if not models:
        raise UsageError("at least one model", "none", "pass {'cnn': classifier, 'bow': bag_of_words}")
    for name in by_name:
        if name not in models:
            raise unknown("model", name, models)
    classes = {name: set(model.names) for name, model in models.items()}
    first = next(iter(classes.values()))
    if any(one != first for one in classes.values()):
        got = ", ".join(f"{name}: {len(one)} classes" for name, one in classes.items())
        raise DataError("models of the same classes", got, "train them on the same data")


def fools(result: Result, said: str) -> bool:
    """Tell whether an answer is what the attack was after: wrong, or, where there is a target, that one."""
    return bool(said != result.label if result.target is None else said == result.target)


def surviving(results: Results, model: Any, defence: Change) -> float:
    """Return the share of the successes that still fool a model after a defence (see `fools`); NaN without any."""
    fooled = [one for one in results if one.success]
    if not fooled:
        return float("nan")
    says = _says(model, [defence(one.image) for one in fooled])
    return float(np.mean([fools(one, label) for one, label in zip(fooled, says, strict=True)]))


def jpeg_survival(results: Results, model: Any, qualities: Sequence[int] = QUALITIES) -> dict[int, float]:
    """Return, for each quality of JPEG, the share of the successes that still fool the model."""
    return {quality: surviving(results, model, jpeg(quality)) for quality in qualities}


def _says(model: Any, pictures: list[NDArray[np.uint8]]) -> NDArray[np.str_]:
    ask = model.predict_proba if hasattr(model, "predict_proba") else victim(model).probabilities
    return np.array(model.names)[np.asarray(ask(pictures)).argmax(1)]


def _share(rows: NDArray[np.bool_], model: Any, results: Results) -> tuple[float, int]:
    """Return who is fooled of some pictures, and how many these are."""
    kept = [results[int(row)] for row in np.flatnonzero(rows)]
    if not kept:
        return float("nan"), 0
    says = _says(model, [one.image for one in kept])
    return float(np.mean([fools(one, label) for one, label in zip(kept, says, strict=True)])), len(kept)
