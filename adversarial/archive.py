"""The champions of an evolution, one for each class, with all that is needed to go on: `Archive`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.checkpoints import load_checkpoint, save_checkpoint
from ..core.checks import CheckpointError
from .direct import check_size
from .encodings import Encoding, encoding_named
from .lineage import Ancestor, Lineage

KIND = "FoolingArchive"


@dataclass
class Archive:
    """One champion for each class (a map of elites), with its confidence and its line.

    Attributes:
        names: All class names of the models, by class id.
        class_ids: Classes that have a champion, int64 (cells,).
        encoding: Turns genomes into pictures.
        size: Of the pictures, (height, width).
        channels: 1 for grey pictures, 3 for colour.
        settings: What it was evolved with, plain data.
        generation: The last that is done; -1 before the first.
        genomes: One for each cell.
        confidences: float32 (cells,), as when the champion was found; see `fooling.judge` for the PNG's.
        rows: Row of each champion in `lineage`, int64 (cells,).
        lineage: All champions there ever were.
        curve: The confidences after each generation, float32 (cells,) each.
        probe: Answers of the models to fixed pictures, by which they are known again, float32 (models, pictures,
            classes).
    """

    names: tuple[str, ...]
    class_ids: NDArray[np.int64]
    encoding: Encoding
    size: tuple[int, int]
    channels: int
    settings: dict[str, Any]
    probe: NDArray[np.float32]
    generation: int = -1
    genomes: list[Any] = field(default_factory=list)
    confidences: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    lineage: Lineage = field(default_factory=Lineage)
    curve: list[NDArray[np.float32]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.class_ids)

    def offer(
        self, genomes: list[Any], confidences: NDArray[np.float32], cells: NDArray[np.int64] | None = None
    ) -> NDArray[np.bool_]:
        """Let new genomes challenge the champions of all classes; the first of all become the champions.

        Args:
            genomes: The children.
            confidences: float32 (children, cells).
            cells: Cell that each child's parent was taken from, int64 (children,); None for genomes without one.

        Returns:
            Which cells have a new champion, bool (cells,): those with a child surer than the one there was.
        """
        best = confidences.argmax(0)
        reached = confidences[best, np.arange(len(self))]
        if not self.genomes:
            self.genomes, self.rows = [None] * len(self), np.full(len(self), -1, np.int64)
            self.confidences = np.full(len(self), -1, np.float32)
        better = reached > self.confidences
        before, born = self.rows.copy(), {}
        for child in np.unique(best[better]).tolist():
            parent, home = (-1, -1) if cells is None else (int(before[cells[child]]), int(self.class_ids[cells[child]]))
            born[child] = self.lineage.add(parent, self.generation + 1, home)
        for cell in np.flatnonzero(better).tolist():
            self.genomes[cell], self.rows[cell] = genomes[best[cell]], born[int(best[cell])]
        self.confidences = np.where(better, reached, self.confidences)
        return better

    def close_generation(self) -> None:
        """Count a generation as done."""
        self.generation += 1
        self.curve.append(self.confidences.copy())

    def pictures(self) -> list[NDArray[np.uint8]]:
        """Return the champions' pictures, uint8 (H, W, 3)."""
        return self.encoding.pictures(self.genomes, self.size, self.channels)

    def ancestors(self, cell: int) -> tuple[Ancestor, ...]:
        """Return the line of a champion, the oldest first, itself last."""
        return self.lineage.of(int(self.rows[cell]), int(self.class_ids[cell]), self.names)

    def born(self, cell: int) -> int:
        """Return the generation in which a champion was born."""
        return self.lineage.generations[int(self.rows[cell])]

    def save(self, path: str | Path) -> Path:
        """Write everything into one safetensors file; the one that was there is kept as the previous one.

        Raises:
            UsageError: A path that does not end in .safetensors. SaveError: The file cannot be written.
        """
        arrays = {
            "class_ids": self.class_ids, "confidences": self.confidences, "rows": self.rows, "probe": self.probe,
            "lineage": self.lineage.to_array(), "curve": np.stack(self.curve),
            **{f"genomes.{name}": array for name, array in self.encoding.pack(self.genomes).items()},
        }  # fmt: skip
        meta = {
            "kind": KIND, "names": list(self.names), "encoding": self.encoding.name,
            "encoding_options": self.encoding.config(), "size": list(self.size), "channels": self.channels,
            "settings": self.settings, "generation": self.generation,
        }  # fmt: skip
        return save_checkpoint(path, {name: torch.from_numpy(array) for name, array in arrays.items()}, meta)

    @classmethod
    def load(cls, path: str | Path) -> Archive:
        """Load what `save` wrote; nothing in the file is executed.

        Raises:
            CheckpointError: A file that is damaged, foreign or inconsistent.
        """
        tensors, meta = load_checkpoint(path, kind=KIND)
        try:
            return cls._restored({name: tensor.numpy() for name, tensor in tensors.items()}, meta)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            fix = "evolve anew, or go on from the .prev.safetensors file"
            raise CheckpointError("an archive of fooling images", f"{path}: {error}", fix) from error

    @classmethod
    def _restored(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> Archive:
        names, size, channels = tuple(meta["names"]), tuple(meta["size"]), int(meta["channels"])
        encoding = encoding_named(meta["encoding"], meta["encoding_options"])
        check_size(size)  # before pictures of a size that a file only claims are painted
        genes = {name.removeprefix("genomes."): a for name, a in arrays.items() if name.startswith("genomes.")}
        class_ids, curve, rows = arrays["class_ids"], arrays["curve"], arrays["rows"]
        lineage = Lineage.from_array(arrays["lineage"], len(names))
        generation = int(meta["generation"])
        archive = cls(
            names, class_ids, encoding, size, channels, dict(meta["settings"]), arrays["probe"], generation,
            encoding.unpack(genes, len(class_ids), size, channels), arrays["confidences"], rows, lineage, list(curve),
        )  # fmt: skip
        for problem in archive._problems():
            raise ValueError(problem)
        return archive

    def _problems(self) -> Iterator[str]:
        cells, ids = (len(self.class_ids),), self.class_ids
        if self.channels not in (1, 3):
            yield f"{self.channels} channels"
        if not (ids.dtype == np.int64 and len(set(ids.tolist())) == len(ids) > 0):
            yield f"class ids {ids}"
        if ids.min() < 0 or ids.max() >= len(self.names):
            yield f"class ids {ids} of {len(self.names)} names"
        if self.confidences.shape != cells or self.rows.shape != cells or self.confidences.dtype != np.float32:
            yield f"confidences {self.confidences.shape}, rows {self.rows.shape} of {cells[0]} cells"
        if self.rows.min() < 0 or self.rows.max() >= len(self.lineage):
            yield f"rows {self.rows} of a lineage of {len(self.lineage)}"
        if len(self.curve) != self.generation + 1 or any(row.shape != cells for row in self.curve):
            yield f"a curve of {len(self.curve)} rows after generation {self.generation}"
        if self.probe.ndim != 3 or self.probe.shape[2] != len(self.names):
            yield f"a probe {self.probe.shape} of {len(self.names)} classes"
