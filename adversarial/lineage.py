"""Where champions come from: parents, generations, and the classes under which ancestors lived."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..core.checks import CheckpointError


@dataclass(frozen=True)
class Ancestor:
    """One step of a lineage.

    Attributes:
        generation: In which it was born.
        lived_as: The class whose champion it was when its child was made of it; for the last, the champion's own.
    """

    generation: int
    lived_as: str


@dataclass
class Lineage:
    """Every genome that ever was a champion, one row each; children stand after their parents.

    Attributes:
        parents: Row of the parent; -1 for those of generation 0.
        generations: In which each was born.
        homes: Class under which the parent lived when it was chosen; -1 where there is none.
    """

    parents: list[int] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)
    homes: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.parents)

    def add(self, parent: int, generation: int, home: int) -> int:
        """Record a champion; return its row."""
        self.parents.append(parent)
        self.generations.append(generation)
        self.homes.append(home)
        return len(self) - 1

    def of(self, row: int, class_id: int, names: tuple[str, ...]) -> tuple[Ancestor, ...]:
        """Return the ancestors of a champion of a class, the oldest first, itself last."""
        steps, home = [], class_id
        while row >= 0:
            steps.append(Ancestor(self.generations[row], names[home]))
            row, home = self.parents[row], self.homes[row]
        return tuple(reversed(steps))

    def to_array(self) -> NDArray[np.int64]:
        """Return int64 (rows, 3): parents, generations, homes."""
        return np.array([self.parents, self.generations, self.homes], np.int64).T

    @classmethod
    def from_array(cls, rows: NDArray[np.int64], classes: int) -> Lineage:
        """Return what `to_array` made an array of.

        Raises:
            CheckpointError: Parents after their children, or classes that do not exist.
        """
        sound = rows.ndim == 2 and rows.shape[1:] == (3,) and rows.dtype == np.int64
        if sound:
            parents, generations, homes = rows.T
            orphans = parents == -1
            sound = bool(
                ((parents >= -1) & (parents < np.arange(len(rows)))).all()
                and (generations >= 0).all()
                and ((homes >= -1) & (homes < classes) & ((homes == -1) == orphans)).all()
            )
        if not sound:
            raise CheckpointError("a lineage whose parents come first", f"{rows.dtype} {rows.shape}", "evolve anew")
        return cls(*(column.tolist() for column in rows.T))


def switches(ancestors: tuple[Ancestor, ...]) -> int:
    """Return how often a line moved from one class to another (goal switching, Nguyen et al. 2015b)."""
    return sum(a.lived_as != b.lived_as for a, b in pairwise(ancestors))
