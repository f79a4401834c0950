"""The choice of C by cross-validation, and the held-out scores that probabilities are fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .solvers import Floats, Machines, Rows, signs


class Solver(Protocol):
    """What trains; see `solvers.ExactSolver`."""

    def train(self, rows: Rows, targets: NDArray[np.int8], c: float, before: Machines | None = None) -> Machines: ...

    def scores(self, machines: Machines, rows: Rows) -> Floats: ...


class Choice(NamedTuple):
    """What cross-validation found.

    Attributes:
        c: The best C; of equally good ones the least, which regularizes most; the grid's least where nothing could be
            held out.
        accuracy: Share of held-out pictures named right, by C; empty where nothing could be held out.
        scores: (M, K), what machines trained with that C say about the pictures that they were not trained on.
        labels: (M,), of those pictures.
        machines: The last fold's with that C, where training on everything may begin; None where there is no fold.
    """

    c: float
    accuracy: dict[float, float]
    scores: Floats
    labels: NDArray[np.int64]
    machines: Machines | None = None


def fold_of(labels: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """Return the fold that holds each picture out, (N,): the pictures of every class are spread evenly.

    A class's only picture gets -1: it is always learned from, for without it its class could not be trained.
    """
    rng = np.random.default_rng(seed)
    found = np.full(len(labels), -1, np.int64)
    begin = 0
    for class_id in np.unique(labels):
        mine = rng.permutation(np.flatnonzero(labels == class_id))
        if len(mine) > 1:
            found[mine] = (begin + np.arange(len(mine))) % folds
            begin += len(mine)  # the next class goes on where this one ended: folds of small classes stay even
    return found


def choose(
    solver: Solver, labels: NDArray[np.int64], classes: int, grid: Sequence[float], folds: NDArray[np.int64]
) -> Choice:
    """Train with every C on the pictures outside each fold and measure on those inside.

    Args:
        solver: Trains and scores.
        labels: (N,) from 0.
        classes: K.
        grid: Values of C, ascending.
        folds: (N,) the fold of each picture; negative ones are never held out.
    """
    held = [np.flatnonzero(folds == fold) for fold in np.unique(folds[folds >= 0])]
    scores: dict[float, list[Floats]] = {c: [] for c in grid}
    last: dict[float, Machines] = {}
    for rows in held:
        rest = np.setdiff1d(np.arange(len(labels)), rows)
        machines = None
        for c in grid:
            last[c] = machines = solver.train(rest, signs(labels[rest], classes), c, machines)
            scores[c].append(solver.scores(machines, rows))
    if not held:
        return Choice(grid[0], {}, np.zeros((0, classes)), labels[:0])
    truth = labels[np.concatenate(held)]
    joined = {c: np.concatenate(parts) for c, parts in scores.items()}
    accuracy = {c: float((found.argmax(1) == truth).mean()) for c, found in joined.items()}
    best = max(grid, key=lambda c: (accuracy[c], -c))
    return Choice(best, accuracy, joined[best], truth, last[best])
