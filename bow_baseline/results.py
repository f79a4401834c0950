"""What a comparison measured: the probabilities that every contender gave, and the figures drawn from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.checks import unknown
from ..core.datasets.classes import ClassDataset
from .cells import Arrays, Cells
from .contender import Contender
from .fitting import Fitting, Run


class Results:
    """Answers of all contenders; made by `Comparison.run`.

    Attributes:
        train: Pictures to learn from that could be read.
        test: Pictures that were answered.
        contenders: Who took part.
        config: All that the figures depend on.
        fitting: Gives the trained models.
        cells: Where the answers lie.
        attacked: Indices of the test pictures that were attacked.
        notices: Sentences about the sets of pictures, for the report.
    """

    def __init__(
        self,
        train: ClassDataset,
        test: ClassDataset,
        contenders: Sequence[Contender],
        config: dict[str, Any],
        fitting: Fitting,
        cells: Cells,
    ) -> None:
        self.train, self.test, self.contenders, self.config = train, test, tuple(contenders), config
        self.fitting, self.cells = fitting, cells
        self.attacked: list[int] = []
        self.notices: list[str] = []

    @property
    def names(self) -> list[str]:
        """Names of the contenders, in the order in which they were given."""
        return [contender.name for contender in self.contenders]

    @property
    def seeds(self) -> list[int]:
        """Seeds, in the order in which they were given."""
        return list(self.config["seeds"])

    @property
    def points(self) -> list[int | None]:
        """Points of the learning curve: pictures of each class, and None for the whole training set."""
        return [*self.config["per_class"], None]

    def contender(self, name: str) -> Contender:
        """Return a contender by its name.

        Raises:
            UsageError: There is none of that name.
        """
        found = next((contender for contender in self.contenders if contender.name == name), None)
        if found is None:
            raise unknown("contender", name, self.names)
        return found

    def identity(self, run: Run, corruption: str | None = None, severity: int | None = None) -> dict[str, Any]:
        """Return all that the answers of a run to the test pictures, or to corrupted ones, depend on."""
        asked: list[Any] = [self.config["test"]]
        if corruption is not None and severity is not None:
            asked += [corruption, severity, self.config["corruptions"][corruption][severity]]
        return {**self.fitting.identity(run), "what": "answers", "asked": asked}

    def attack_identity(self, run: Run, attack: str, against: str | None = None) -> dict[str, Any]:
        """Return all that the answers of a run to an attack's pictures depend on.

        Args:
            run: Who was asked.
            attack: That made the pictures.
            against: The contender that they were made against, trained with the same seed; None for the run itself.
        """
        asked = [self.config["test"], attack, self.config["attacks"][attack], *self.attacked]
        if against in (None, run.contender.name):
            return {**self.fitting.identity(run), "what": "attack", "asked": asked}
        attacked = self.fitting.identity(Run(self.contender(against), run.seed))
        return {**self.fitting.identity(run), "what": "transfer", "asked": [*asked, attacked]}

    def made_identity(self, run: Run, attack: str) -> dict[str, Any]:
        """Return all that the pictures which an attack makes against a run depend on."""
        return {**self.attack_identity(run, attack), "what": "attacked pictures"}

    def cell(
        self, run: Run, corruption: str | None = None, severity: int | None = None
    ) -> tuple[Arrays, dict[str, Any]] | None:
        """Return arrays and facts of a run, None while they were not measured."""
        return self.cells.get(self.identity(run, corruption, severity))

    def attack_cell(self, run: Run, attack: str, against: str | None = None) -> tuple[Arrays, dict[str, Any]] | None:
        """Return arrays and facts of an attack, None while they were not measured; see `attack_identity`."""
        return self.cells.get(self.attack_identity(run, attack, against))

    def made(self, run: Run, attack: str) -> list[NDArray[np.uint8]] | None:
        """Return the pictures that an attack made against a run, one for each of `attacked`; None if not kept."""
        found = self.cells.get(self.made_identity(run, attack))
        return None if found is None else [found[0][f"{i}"] for i in self.attacked]

    def facts(self, name: str, per_class: int | None = None) -> list[dict[str, Any]]:
        """Return time, memory and size of a contender's trainings, seed by seed."""
        runs = [Run(self.contender(name), seed, per_class) for seed in self.seeds]
        return [found[1] for run in runs if (found := self.cell(run)) is not None]

    def probabilities(
        self,
        name: str,
        per_class: int | None = None,
        corruption: str | None = None,
        severity: int | None = None,
    ) -> NDArray[np.float32]:
        """Return what a contender answered: float32 (seeds, pictures, classes).

        Raises:
            UsageError: Not one of the contenders.
        """
        runs = [Run(self.contender(name), seed, per_class) for seed in self.seeds]
        cells = [self.cell(run, corruption, severity) for run in runs]
        return np.stack([cell[0]["probabilities"] for cell in cells if cell is not None])

    def right(
        self,
        name: str,
        per_class: int | None = None,
        corruption: str | None = None,
        severity: int | None = None,
    ) -> NDArray[np.bool_]:
        """Return whether a contender named each picture right: bool (seeds, pictures); arguments as `probabilities`."""
        return self.probabilities(name, per_class, corruption, severity).argmax(2) == self.test.labels

    def model(self, name: str, seed: int | None = None) -> Any:
        """Return a contender trained on the whole set, by default with the first seed; trained again if need be."""
        return self.fitting.model(Run(self.contender(name), self.seeds[0] if seed is None else seed))[0]
