"""Training the contenders, timed and weighed, and keeping what was trained."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.checks import CheckpointError
from ..core.datasets.classes import ClassDataset
from .cells import Cells, key_of
from .contender import SUFFIX, Contender, stored_size
from .memory import PeakMemory
from .provenance import machine
from .splits import some_per_class


@dataclass(frozen=True)
class Run:
    """One training: who, with which seed, on how many pictures of each class (None for all)."""

    contender: Contender
    seed: int
    per_class: int | None = None

    def __str__(self) -> str:
        many = "all pictures" if self.per_class is None else f"{self.per_class} a class"
        return f"{self.contender.name}, seed {self.seed}, {many}"

    def identity(self) -> dict[str, Any]:
        """Return what tells this training from others on the same data."""
        return {**self.contender.identity(), "seed": self.seed, "per_class": self.per_class}


class Fitting:
    """Gives the model of a run: from memory, from the cache's folder, or by training it.

    Models of the whole training set stay in memory, because corruptions and explanations ask them again.

    Args:
        cells: The cache.
        train: All pictures to train on.
        data: What identifies the data and the versions.

    Attributes:
        fitted: Trainings that were not found anywhere.
    """

    def __init__(self, cells: Cells, train: ClassDataset, data: Mapping[str, Any]) -> None:
        self.cells, self.train, self.data = cells, train, dict(data)
        self.fitted: list[Run] = []
        self._models: dict[str, Any] = {}

    def identity(self, run: Run) -> dict[str, Any]:
        """Return all that the model of a run depends on."""
        return {"what": "fit", "train": self.data["train"], "versions": self.data["versions"], **run.identity()}

    def model(self, run: Run) -> tuple[Any, dict[str, Any]]:
        """Return the model, and "fit_seconds", "peak_bytes", "size_bytes", "numbers", "trained_on" of its training."""
        identity = self.identity(run)
        key, known = key_of(identity), self.cells.get(identity)
        if key not in self._models or known is None:
            model = self._loaded(run, key) if known is not None else None
            if model is None or known is None:
                model = self._fit(run, identity, key)
                known = self.cells.get(identity)
                assert known is not None
            if run.per_class is not None:
                return model, known[1]
            self._models[key] = model
        return self._models[key], known[1]

    def _loaded(self, run: Run, key: str) -> Any | None:
        if run.contender.load is None or self.cells.folder is None:
            return None
        path = self.cells.path(key, SUFFIX)
        if not path.is_file():
            return None
        try:
            return run.contender.load(path)
        except CheckpointError as error:
            self.cells.notices.append(f"model {path.name} is damaged ({error.got}) and is trained again")
            return None

    def _fit(self, run: Run, identity: dict[str, Any], key: str) -> Any:
        pictures = some_per_class(self.train, run.per_class, run.seed)
        start = time.perf_counter()
        with PeakMemory(collect=run.per_class is None) as memory:
            model = run.contender.fit(pictures, run.seed)
        seconds = time.perf_counter() - start
        self.fitted.append(run)
        size, numbers = stored_size(model)
        if run.per_class is None and run.contender.load is not None and self.cells.folder is not None:
            model.save(self.cells.path(key, SUFFIX, make=True))
        facts = {"fit_seconds": seconds, "peak_bytes": memory.peak, "size_bytes": size, "numbers": numbers}
        self.cells.put(identity, {}, **facts, trained_on=len(pictures), fitted_on=machine())
        return model
