"""Pictures of nothing that models are sure about, found by evolution for all classes at once: `Evolution`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.checks import UsageError, fraction
from .archive import Archive
from .direct import check_size
from .encodings import Encoding, encoding_named
from .jury import Jury

PROBES = 4
SAME = 0.01
"""Two models whose answers to the probes differ by less are one: the same network on CPU and GPU, or in bfloat16."""

MARGIN = 0.8
"""A champion has reached the goal when this share of the doubt that it allows is left: a model that computes in
bfloat16 doubts up to 1.1 times as much as in float32."""


@dataclass(frozen=True)
class Generation:
    """Where an evolution stands; passed to `on_generation` after each.

    Attributes:
        generation: The last that is done; the first, of random genomes, is 0.
        generations: The last there will be.
        confidences: Of the champions, float32 (cells,).
        improved: Which classes have a new one, bool (cells,).
        seconds: Since the evolution began or went on.
        eta_seconds: Estimated time left.
        archive: The champions; later generations change them, so copy or save what is to stay.
    """

    generation: int
    generations: int
    confidences: NDArray[np.float32]
    improved: NDArray[np.bool_]
    seconds: float
    eta_seconds: float
    archive: Archive


class Evolution:
    """Keeps one champion for each class (MAP-Elites), and lets their mutated children challenge all of them.

    Takes `batch` parents from the champions at random, mutates them, asks the models about all these children in one
    pass, and puts a child in the place of every champion that it surpasses, of whatever class; and so on. Children are
    judged as pictures of 8 bits, so that what is found is what can be saved. Sources: Mouret and Clune 2015
    (MAP-Elites, algorithm 1); Nguyen, Yosinski and Clune 2015, "Deep neural networks are easily fooled", section 2.3.

    Differs from the latter in three ways. A generation has 2,000 children, not 200. Later batches of it already descend
    from the champions of earlier ones; the algorithm of MAP-Elites replaces after every single child. And a share of
    them, `encoding.focus`, goes to champions that have not reached the goal. LeNet-5 takes champions of all ten digits
    for them with 99.99 % after 64 generations of pixels and 21 of networks (seed 0); with the paper's settings the
    least sure were at 3 % and 91 % after 200.

    Args:
        encoding: "direct" (pixels) or "cppn" (networks that paint), or an object of such a class.
        encoding_options: Of the encoding by name, such as {"rate": 0.05}.
        generations: After the first, which is random.
        children: In a generation.
        batch: Of them judged in one pass.
        goal: Champions as sure as this get no more children, and when all are, the evolution ends; None for never.
        combine: How several models count, "min" (the one that is least sure) or "product".
        size: Of the pictures, (height, width); None is what the models see.
        channels: 1 for grey pictures, 3 for colour; None is grey where all models see grey.
        seed: Of everything that is random.

    Raises:
        UsageError: An option that does not exist or is out of range.

    Example:
        >>> Evolution(encoding="direct", generations=50).batch
        100
    """

    def __init__(
        self,
        *,
        encoding: str | Encoding = "cppn",
        encoding_options: Mapping[str, Any] | None = None,
        generations: int = 200,
        children: int = 2000,
        batch: int = 100,
        goal: float | None = 0.9999,
        combine: str = "min",
        size: tuple[int, int] | None = None,
        channels: int | None = None,
        seed: int = 0,
    ) -> None:
        self.encoding = encoding_named(encoding, encoding_options)
        if generations < 0 or not 1 <= batch <= children:
            got = f"{generations} generations of {children} children in batches of {batch}"
            fix = "pass generations=200, children=2000, batch=100, say"
            raise UsageError("generations from 0, of at least one child, in batches of no more", got, fix)
        if goal is not None:
            fraction("goal", goal)
        if size is not None:
            check_size(size)
        if channels not in (None, 1, 3):
            raise UsageError("1 or 3 channels", repr(channels), "leave channels out for what the models see")
        self.generations, self.children, self.batch, self.goal = generations, children, batch, goal
        self.combine, self.size, self.channels, self.seed = combine, size, channels, seed

    def run(
        self,
        models: Any,
        *,
        classes: Iterable[str] | None = None,
        archive: Archive | None = None,
        on_generation: Callable[[Generation], bool | None] | None = None,
    ) -> Archive:
        """Evolve pictures that fool one model, or several at once.

        Args:
            models: See `Jury`; any with `predict_proba` will do.
            classes: Names of the classes to find pictures for; None for all.
            archive: Go on from it, with the same settings: what comes out is what would have come without the break.
            on_generation: Called after each generation; True ends the evolution.

        Returns:
            The champions; the archive that was given, if one was, is changed.

        Raises:
            UsageError: Unknown classes, no size, or an archive of other models, classes or settings.
            ModelError: A model without probabilities.
        """
        jury = Jury(models, combine=self.combine)
        size = self.size or jury.size()
        if size is None:
            raise UsageError("a size for models that tell none", "size=None", "pass size=(64, 64), say")
        fresh = self._archive(jury, classes, size)
        if archive is None:
            archive = fresh
        else:
            self._check(archive, fresh)
        started, first = time.perf_counter(), archive.generation
        while archive.generation < self.generations and not self._reached(archive):
            improved = self.step(archive, jury)
            spent = time.perf_counter() - started
            left = spent / (archive.generation - first) * (self.generations - archive.generation)
            told = Generation(
                archive.generation, self.generations, archive.confidences, improved, spent, left, archive
            )  # fmt: skip
            if on_generation is not None and on_generation(told):
                break
        return archive

    def step(self, archive: Archive, jury: Jury) -> NDArray[np.bool_]:
        """Do one generation; return which classes have a new champion, bool (cells,)."""
        number = archive.generation + 1
        rng = np.random.default_rng([self.seed, number])  # a stream a generation: nothing to keep for going on
        improved = np.zeros(len(archive), bool)
        for start in range(0, self.children, self.batch):
            if self._reached(archive):
                break
            count, cells = min(self.batch, self.children - start), None
            if number == 0:
                genomes = self.encoding.random(count, archive.size, archive.channels, rng)
            else:
                cells = self._parents(archive, count, rng)
                genomes = self.encoding.mutate([archive.genomes[cell] for cell in cells], number, rng)
            pictures = self.encoding.pictures(genomes, archive.size, archive.channels)
            improved |= archive.offer(genomes, jury.confidences(pictures)[:, archive.class_ids], cells)
        archive.close_generation()
        return improved

    def _parents(self, archive: Archive, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the cells of parents: the encoding's share of those that have not reached the goal, others of all."""
        cells = rng.integers(0, len(archive), count)
        chosen = rng.random(count) < self.encoding.focus
        cells[chosen] = rng.choice(self._open(archive), int(chosen.sum()))
        return cells

    def _open(self, archive: Archive) -> NDArray[np.int64]:
        """Return the cells that have not reached the goal."""
        limit = np.inf if self.goal is None else 1 - (1 - self.goal) * MARGIN
        return np.flatnonzero(archive.confidences < limit)

    def _reached(self, archive: Archive) -> bool:
        return bool(archive.genomes) and not len(self._open(archive))

    def _archive(self, jury: Jury, classes: Iterable[str] | None, size: tuple[int, int]) -> Archive:
        channels = self.channels or jury.channels
        settings = {
            "encoding": self.encoding.name, **self.encoding.config(), "children": self.children, "batch": self.batch,
            "goal": self.goal, "combine": self.combine, "models": len(jury), "size": list(size), "channels": channels,
            "seed": self.seed,
        }  # fmt: skip
        noise = np.random.default_rng(0).integers(0, 256, (PROBES, *size, 3), dtype=np.uint8)
        probe = jury.each(list(noise))
        return Archive(jury.names, jury.class_ids(classes), self.encoding, size, channels, settings, probe)

    def _check(self, archive: Archive, fresh: Archive) -> None:
        """Raise unless an archive is one of the same evolution."""
        if archive.names != fresh.names or archive.class_ids.tolist() != fresh.class_ids.tolist():
            theirs, own = ([one.names[i] for i in one.class_ids[:5]] for one in (archive, fresh))
            raise UsageError(f"an archive of the classes {own}", f"one of {theirs}", "evolve anew for these classes")
        for name, own in fresh.settings.items():
            if archive.settings.get(name) != own:
                got = f"{archive.settings.get(name)!r}"
                raise UsageError(f"an archive evolved with {name}={own!r}", got, "pass the settings it was begun with")
        if archive.probe.shape != fresh.probe.shape or not np.abs(archive.probe - fresh.probe).max() <= SAME:
            got = "one of models that answer otherwise"
            raise UsageError("an archive of these models", got, "pass the models it was begun with, in their order")
