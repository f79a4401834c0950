"""The stages of a training: descriptors drawn, words learned, pictures encoded, machines trained."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import read_npz
from ..core.atomic import atomic_write
from ..core.checks import DataError, ImageError, unknown
from ..core.class_metrics import class_figures
from ..core.datasets.class_folders import check_unreadable
from ..core.datasets.classes import ClassDataset, from_arrays
from ..core.history import Progress
from ..core.images import Source
from .bag import Bag
from .extraction import Extracted, Pictures, check_folder, content, extract, sample
from .nearest import NearestPictures
from .options import check_jobs
from .provenance import versions
from .room import let_go, room
from .svm import KernelSvm
from .word_encoding import WordEncoder

STAGES = 3
"""Words, vectors, machines."""
MOST_BYTES = 2**30
"""Of an encoder that was kept: 64,000 words of SIFT have 33 MB."""

Decider = KernelSvm | NearestPictures
OnProgress = Callable[[Progress], None] | None


class Report:
    """Tells a training's progress, stage by stage, to a callback that may be None.

    Attributes:
        seconds: Of each stage that is done, by name.
    """

    def __init__(self, on_progress: OnProgress) -> None:
        self.on_progress, self.start = on_progress, time.monotonic()
        self.seconds: dict[str, float] = {}

    def tell(
        self, stage: int, done: int, total: int, notice: str = "", metrics: dict[str, float] | None = None
    ) -> None:
        """Say how far a stage is; stages are counted as epochs."""
        if self.on_progress is None:
            return
        seconds, share = time.monotonic() - self.start, (stage - 1 + done / max(total, 1)) / STAGES
        left = seconds / share - seconds if share else 0.0
        self.on_progress(
            Progress(stage, STAGES, done, total, {}, metrics or {}, seconds=seconds, eta_seconds=left, notice=notice)
        )

    @contextmanager
    def stage(self, number: int, name: str, notice: str) -> Iterator[None]:
        """Tell that a stage begins, and remember how long it took."""
        self.tell(number, 0, 1, notice)
        start = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - start, 3)


def learn(
    bag: Bag,
    decider: Decider,
    data: ClassDataset,
    *,
    samples: int,
    seed: int,
    jobs: int | None,
    cache: str | Path | None,
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Fit the bag's encoder and the decider on labelled pictures; the data's report names files that were left out.

    Args:
        bag: Its encoder is fitted here.
        decider: Fitted here, on the vectors.
        data: Pictures of at least two classes.
        samples: Descriptors to learn words from.
        seed: Of what is drawn.
        jobs: See `extraction.extract`.
        cache: See `extraction.extract`; with it the encoder is kept too, and the vectors lie in a file there while the
            training goes on; without it they do so elsewhere once they are many (`room.MOST_HELD`).
        on_progress: Called now and then.

    Returns:
        Figures: see `BowClassifier.figures_`.

    Raises:
        DataError: Too many unreadable files, a class without pictures, or fewer descriptors than words.
    """
    check_jobs(jobs)
    report, folder = Report(on_progress), None if cache is None else check_folder(cache)
    with report.stage(1, "words", f"learning words from {len(data):,} pictures"):
        drawn = _fit_words(bag, data.pictures, samples, seed, jobs, folder)
    with room(len(data), bag.width, folder) as vectors:
        with report.stage(2, "vectors", f"encoding {len(data):,} pictures, {bag.width:,} numbers each"):
            kept = _encode(bag, data, vectors, jobs, folder, report)
        labels = _labels(data, kept)
        with report.stage(3, "machines", f"training on {len(kept):,} vectors"):
            _decide(bag, decider, vectors[: len(kept)], labels, jobs)
    figures: dict[str, Any] = {"pictures": len(kept), "descriptors": drawn, "seconds": report.seconds}
    if isinstance(decider, KernelSvm):
        figures["c"] = decider.c_
        if decider.accuracy_:
            figures["cross_validated_top1"] = decider.accuracy_[decider.c_]
        if not decider.converged_:
            figures["converged"] = False
    report.tell(3, 1, 1, metrics={name: value for name, value in figures.items() if isinstance(value, float)})
    return figures


def measure(
    bag: Bag,
    decider: Decider,
    data: ClassDataset,
    *,
    jobs: int | None,
    cache: str | Path | None,
) -> dict[str, Any]:
    """Return the figures of `core.class_metrics.class_figures`; the data's report names files that were left out.

    Raises:
        DataError: Too many unreadable files.
    """
    kept, rows = [np.zeros(0, np.int64)], [np.zeros((0, len(data.names)), np.float32)]
    faults: list[str] = []
    for part in extract(bag, data.pictures, jobs=jobs, cache=cache):
        _list_faults(data, faults, part)
        if len(part.indices):
            kept.append(part.indices)
            rows.append(decider.predict_proba(part.vectors).astype(np.float32))
    return class_figures(np.concatenate(rows), data.labels[np.concatenate(kept)], data.names)


def dataset_of(images: Sequence[Source], labels: Sequence[Any], names: tuple[str, ...], *, fixed: bool) -> ClassDataset:
    """Make a dataset of pictures, of one size or of many, and their labels.

    Args:
        images: uint8 (N, H, W) or (N, H, W, 3), or a sequence of whatever `load_image` takes.
        labels: Class ids, or class names.
        names: Class names by class id; empty takes the sorted names among the labels, or "0", "1", ...
        fixed: Labels outside `names` are an error, rather than the reason to leave `names` out.

    Raises:
        DataError: Other labels, or not one for each picture.
    """
    text = len(labels) > 0 and isinstance(labels[0], str)
    strange = [label for label in labels if label not in (names if text else range(len(names)))]
    if strange and not fixed:
        names = ()
    elif strange and names:
        raise unknown("labels", str(strange[0]), names, DataError)
    if text:
        names = names or tuple(sorted(set(labels)))
        labels = [names.index(label) for label in labels]
    if isinstance(images, np.ndarray):
        return from_arrays(images, labels, names)
    ids = from_arrays(np.zeros((len(labels), 1, 1), np.uint8), labels, names)  # checks labels and names
    pictures: Any = [Path(one) if isinstance(one, str) else one for one in images]
    return ClassDataset(pictures, ids.labels, ids.names)


def _fit_words(bag: Bag, sources: Pictures, samples: int, seed: int, jobs: int | None, folder: Path | None) -> int:
    """Fit the encoder, or take it from the cache; returns the number of descriptors that it learned from."""
    path = None if folder is None else folder / f"words-{_words_key(bag, sources, samples, seed)}.npz"
    kept = None if path is None else _kept_words(bag, path)
    if kept is not None:
        return kept
    with room(samples, bag.describer.dimension, folder) as rows:
        drawn = sample(bag.describer, sources, count=samples, seed=seed, jobs=jobs, out=rows)
        bag.encoder.fit(drawn, seed=seed)
    if path is not None:
        stream = io.BytesIO()
        arrays: dict[str, Any] = {"_drawn": np.array(len(drawn)), **bag.encoder.arrays()}
        np.savez(stream, **arrays)
        atomic_write(path, lambda file: file.write(stream.getvalue()))
    return len(drawn)


def _words_key(bag: Bag, sources: Pictures, samples: int, seed: int) -> str:
    found = hashlib.sha256(json.dumps([bag.options(), versions(), samples, seed], sort_keys=True).encode())
    for source in sources:
        try:
            found.update(hashlib.sha256(content(source)[0]).digest())
        except ImageError:  # `extract` comes to it and names it
            found.update(b"unreadable")
    return found.hexdigest()


def _kept_words(bag: Bag, path: Path) -> int | None:
    """Restore an encoder that was kept; one whose file is missing or damaged is learned again."""
    if not path.is_file():
        return None
    try:
        arrays = read_npz(path, MOST_BYTES)
        drawn = int(arrays.pop("_drawn"))
        bag.encoder.restore(arrays)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):  # a ModelError is a ValueError
        return None
    return drawn


def _encode(
    bag: Bag, data: ClassDataset, vectors: NDArray[np.float32], jobs: int | None, folder: Path | None, report: Report
) -> NDArray[np.int64]:
    """Write the vectors of all pictures that can be read, in a row; returns their indices."""
    done, kept = 0, [np.zeros(0, np.int64)]
    faults: list[str] = []
    for part in extract(bag, data.pictures, jobs=jobs, cache=folder):
        _list_faults(data, faults, part)
        vectors[done : done + len(part.indices)] = part.vectors
        let_go(vectors)
        done += len(part.indices)
        kept.append(part.indices)
        report.tell(2, done + len(faults), len(data))
    return np.concatenate(kept)


def _decide(
    bag: Bag, decider: Decider, vectors: NDArray[np.float32], labels: NDArray[np.int64], jobs: int | None
) -> None:
    """Fit the decider; the earth that neighbours move is moved between the words."""
    if isinstance(decider, KernelSvm):
        decider.fit(vectors, labels, jobs=jobs)
    else:
        words = isinstance(bag.encoder, WordEncoder) and decider.metric == "earth-movers"
        decider.fit(vectors, labels, centres=bag.encoder.centroids_ if words else None)


def _list_faults(data: ClassDataset, faults: list[str], part: Extracted) -> None:
    """Name unreadable pictures in the data's report, and stop as soon as they are too many."""
    faults += part.faults
    data.report.extend(part.faults)
    check_unreadable(len(faults), len(data), faults)


def _labels(data: ClassDataset, kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the labels of the pictures that were read; every class has to have one."""
    labels = data.labels[kept]
    for name, count in zip(data.names, np.bincount(labels, minlength=len(data.names)), strict=True):
        if count == 0:
            raise DataError(f"pictures of class {name!r}", "none that can be read", "add some, or remove the class")
    return labels
