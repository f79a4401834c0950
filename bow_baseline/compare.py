"""`Comparison`: contenders learn from the same pictures and answer the same questions; all that is asked is kept."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.checks import UsageError, unknown
from ..core.datasets.classes import ClassDataset
from .attack import Attack, attacked, identity, method_on
from .cells import Cells
from .contender import Contender, probabilities
from .corruptions import SEVERITIES, Corruption, corrupted
from .describing import describing_once
from .fitting import Fitting, Run
from .options import whole_number
from .overlap import SHARED
from .provenance import machine, versions
from .results import Results
from .splits import prepared
from .statistics import LEVEL, RESAMPLES, check_level

BATCH = 32
"""Pictures asked about at once: ten megabytes of 300 x 300 pixels."""


@dataclass(frozen=True)
class Stage:
    """Where a comparison stands; passed to `on_progress` before each piece of work.

    Attributes:
        what: Such as "fit cnn, seed 0, 10 a class".
        done: Pieces done.
        total: Pieces there are, those that the cache holds left out.
        seconds: Since `run` was called.
    """

    what: str
    done: int
    total: int
    seconds: float


class Comparison:
    """A fair duel: same pictures, same splits, same seeds, same corruptions for all contenders.

    Args:
        contenders: At least one; their names differ.
        seeds: Every contender is trained once with each; a seed also draws the pictures of the learning curve.
        per_class: Pictures of each class at the points of the learning curve, beside the whole training set.
        corruptions: Name -> corruption, such as those of `corruptions.CORRUPTIONS`, or a style transfer.
        severities: Of every corruption.
        attacks: Name -> attack, run on each contender by itself; see `attack.identity` for what the cache tells it by.
        attacked: Number of test pictures that are attacked, the first of each class in turn.
        transfers: Names of contenders: what each attack makes of pictures against these, the others with the same seed
            are asked about as well.
        cache: Folder of what was measured; a run takes from it what it finds there. None writes nothing.
        resamples: Draws of the bootstrap.
        level: Of the intervals.
        shared: What becomes of pictures that are in both sets, pixel by pixel: "refuse", "drop" (from those to train
            on) or "keep"; the report names them.

    Example:
        >>> Comparison([Contender("chance", lambda train, seed: None)], seeds=(0, 1)).seeds
        (0, 1)
    """

    def __init__(
        self,
        contenders: Iterable[Contender],
        *,
        seeds: Sequence[int] = (0,),
        per_class: Sequence[int] = (),
        corruptions: Mapping[str, Corruption] | None = None,
        severities: Sequence[int] = SEVERITIES,
        attacks: Mapping[str, Attack] | None = None,
        attacked: int = 30,
        transfers: Iterable[str] = (),
        cache: str | Path | None = None,
        resamples: int = RESAMPLES,
        level: float = LEVEL,
        shared: str = "refuse",
    ) -> None:
        self.contenders, self.seeds = tuple(contenders), tuple(dict.fromkeys(seeds))
        self.per_class, self.severities = tuple(sorted(set(per_class))), tuple(dict.fromkeys(severities))
        self.corruptions, self.attacks = dict(corruptions or {}), dict(attacks or {})
        self.attacked, self.cache, self.resamples, self.level = attacked, cache, resamples, level
        self.shared, self.transfers = shared, tuple(dict.fromkeys(transfers))
        names = [contender.name for contender in self.contenders]
        if not names or len(set(names)) < len(names):
            raise UsageError("contenders of different names", ", ".join(names) or "none", "name each differently")
        if not self.seeds or (self.corruptions and not self.severities):
            raise UsageError("at least one seed and one severity", f"{seeds} and {severities}", "pass seeds=(0,), say")
        if any(severity not in SEVERITIES for severity in self.severities):
            raise UsageError("severities from 1 to 5", repr(self.severities), "choose among those")
        for name, value in (("attacked", attacked), ("resamples", resamples)):
            whole_number(name, value)
        for seed in self.seeds:
            whole_number("seed", seed, least=0)
        check_level(level)
        for name in self.transfers:
            if name not in names:
                raise unknown("contender whose pictures are shown to the others", name, names)
        if self.transfers and not self.attacks:
            fix = "pass attacks={'pgd': ...} as well, or leave transfers out"
            raise UsageError("an attack that makes the pictures to transfer", "none", fix)
        if shared not in SHARED:
            raise unknown("shared", shared, SHARED)

    def run(
        self, train: ClassDataset, test: ClassDataset, *, on_progress: Callable[[Stage], None] | None = None
    ) -> Results:
        """Train and ask all contenders, as far as the cache does not know their answers.

        Args:
            train: Pictures to learn from.
            test: Pictures to answer, of the same classes; the contenders never see their labels.
            on_progress: Called before each piece of work.

        Raises:
            DataError: Datasets that do not go together or are too small, too many unreadable files, or a contender
                that answers with something else than probabilities.
        """
        learned, asked, notices = prepared(train, test, self.per_class, self.shared)
        cells = Cells(self.cache)
        data = {"train": learned.digest, "test": asked.digest, "versions": versions()}
        fitting = Fitting(cells, learned.data, data)
        config = {**self.config(data), "machine": machine()}
        results = Results(learned.data, asked.data, self.contenders, config, fitting, cells)
        results.notices += notices
        work = [*self._answers(results), *self._corrupted(results), *self._attacked(results)]
        start = time.monotonic()
        for i, (what, piece) in enumerate(work):
            if on_progress is not None:
                on_progress(Stage(what, i, len(work), time.monotonic() - start))
            piece()
        return results

    def config(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that the figures depend on, for config.json."""
        return {
            "contenders": [contender.identity() for contender in self.contenders],
            "seeds": list(self.seeds),
            "per_class": list(self.per_class),
            "corruptions": {name: {} for name in self.corruptions},
            "corruption_options": {name: told for name, one in self.corruptions.items() if (told := _options(one))},
            "severities": list(self.severities) if self.corruptions else [],
            "attacks": {name: identity(name, attack) for name, attack in self.attacks.items()},
            "attacked": self.attacked if self.attacks else 0,
            "transfers": list(self.transfers),
            "resamples": self.resamples,
            "level": self.level,
            "shared": self.shared,
            **data,
        }

    def _runs(self) -> Iterator[Run]:
        """Trainings on the whole set, contender by contender."""
        return (Run(contender, seed, None) for contender in self.contenders for seed in self.seeds)

    def _answers(self, results: Results) -> Iterator[tuple[str, Callable[[], None]]]:
        """Clean pictures, at every point of the learning curve; small training sets first."""
        for count in (*self.per_class, None):
            for contender in self.contenders:
                for seed in self.seeds:
                    run = Run(contender, seed, count)
                    if results.cell(run) is None:
                        yield f"fit {run}", partial(self._answer, results, run)

    def _answer(self, results: Results, run: Run) -> None:
        model, facts = results.fitting.model(run)
        seconds, rows = 0.0, []
        for images in batches(results.test):
            start = time.perf_counter()
            rows.append(probabilities(model, images, len(results.test.names), run.contender.name))
            seconds += time.perf_counter() - start
        told = {**facts, "predict_seconds": seconds / len(results.test), "asked_on": machine()}
        results.cells.put(results.identity(run), {"probabilities": np.concatenate(rows)}, **told)

    def _corrupted(self, results: Results) -> Iterator[tuple[str, Callable[[], None]]]:
        for name in self.corruptions:
            for severity in self.severities:
                results.config["corruptions"][name][severity] = self._probe(results.test, name, severity)
                missing = [run for run in self._runs() if results.cell(run, name, severity) is None]
                if missing:
                    what = f"{name} {severity}: {', '.join(dict.fromkeys(run.contender.name for run in missing))}"
                    yield what, partial(self._spoil, results, name, severity, missing)

    def _probe(self, test: ClassDataset, name: str, severity: int) -> str:
        """Digest of what a corruption makes of the first picture: a changed corruption is measured anew."""
        changed = corrupted(self.corruptions[name], name, test.image(0), severity, 0)
        told = json.dumps(_options(self.corruptions[name]), sort_keys=True)
        return hashlib.sha256(changed.tobytes() + told.encode()).hexdigest()[:16]

    def _spoil(self, results: Results, name: str, severity: int, missing: list[Run]) -> None:
        """Corrupt each picture once, and ask all who have not been asked."""
        models = [results.fitting.model(run)[0] for run in missing]
        rows: list[list[NDArray[np.float32]]] = [[] for _ in missing]
        index = 0
        for images in batches(results.test):
            spoilt = [corrupted(self.corruptions[name], name, one, severity, index + i) for i, one in enumerate(images)]
            index += len(images)
            with describing_once():
                for run, model, mine in zip(missing, models, rows, strict=True):
                    mine.append(probabilities(model, spoilt, len(results.test.names), run.contender.name))
        for run, mine in zip(missing, rows, strict=True):
            results.cells.put(results.identity(run, name, severity), {"probabilities": np.concatenate(mine)})

    def _attacked(self, results: Results) -> Iterator[tuple[str, Callable[[], None]]]:
        results.attacked = first_of_each(results.test.labels, self.attacked)
        for name in self.attacks:
            for run in self._runs():
                kept = run.contender.name not in self.transfers or results.made(run, name) is not None
                if results.attack_cell(run, name) is None or not kept:
                    yield f"attack {name} on {run}", partial(self._attack, results, run, name)
        for name in self.attacks:
            for run in self._runs():
                others = [one for one in self.transfers if one != run.contender.name]
                missing = [one for one in others if results.attack_cell(run, name, one) is None]
                if missing:
                    what = f"{name} made against {', '.join(missing)}: {run}"
                    yield what, partial(self._transfer, results, run, name, missing)

    def _attack(self, results: Results, run: Run, name: str) -> None:
        model, _ = results.fitting.model(run)
        pictures, rows, moved = {}, [], []
        for i in results.attacked:
            image, label, rng = results.test.image(i), int(results.test.labels[i]), np.random.default_rng([run.seed, i])
            fooled = pictures[f"{i}"] = attacked(self.attacks[name], name, model, image, label, rng)
            rows.append(probabilities(model, [fooled], len(results.test.names), run.contender.name))
            moved.append(np.sqrt(np.mean((fooled / 255 - image / 255) ** 2)))
        arrays = {"probabilities": np.concatenate(rows), "distance": np.array(moved)}
        method = method_on(self.attacks[name], name, model)
        results.cells.put(results.attack_identity(run, name), arrays, method=method)
        if run.contender.name in self.transfers:
            results.cells.put(results.made_identity(run, name), pictures)

    def _transfer(self, results: Results, run: Run, name: str, against: list[str]) -> None:
        """Ask about pictures that were made against others."""
        model, _ = results.fitting.model(run)
        for one in against:
            pictures = results.made(Run(results.contender(one), run.seed), name)
            assert pictures is not None  # `_attack` keeps those of all that are in `transfers`
            parts = [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]
            rows = [probabilities(model, part, len(results.test.names), run.contender.name) for part in parts]
            cell = {"probabilities": np.concatenate(rows)}
            results.cells.put(results.attack_identity(run, name, one), cell)


def batches(data: ClassDataset) -> Iterator[list[NDArray[np.uint8]]]:
    """Give the pictures of a dataset, some at a time."""
    for start in range(0, len(data), BATCH):
        yield [data.image(i) for i in range(start, min(start + BATCH, len(data)))]


def _options(corruption: Corruption) -> Any:
    """Return the settings that a corruption tells, as JSON has them; None for the functions of `corruptions`."""
    return getattr(corruption, "options", None)


def first_of_each(labels: NDArray[np.int64], count: int) -> list[int]:
    """Return up to `count` indices that go through the classes in turn: the first of each, the second of each, ..."""
    turn = np.empty(len(labels), np.int64)
    for class_id in np.unique(labels):
        mine = np.flatnonzero(labels == class_id)
        turn[mine] = np.arange(len(mine))
    return np.lexsort((labels, turn))[:count].tolist()
