"""What is wrong with a dataset before anyone trains on it; nothing is altered.

Pictures are compared by what they show: the digest of their pixels finds copies that were renamed or saved again
without loss; a difference hash of 64 bits (Krawetz 2013) finds those that were rescaled or compressed.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..checks import DataError, ImageError, StriateError
from ..images import load_image
from .classes import ClassDataset
from .load import list_splits, load_boxes
from .load_classes import list_class_splits, load_classes

FEWEST = 10
"""Pictures of a class below which its figures say little."""
MOST_UNEVEN = 20
"""Ratio of the largest class to the smallest above which class weights are worth a thought."""
SMALL = 16
"""Pixels of a side below which a picture is named."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or worth a look.

    Attributes:
        level: "error" (training or its figures would be wrong) or "note".
        kind: Such as "shared between splits".
        text: One sentence.
        sources: Pictures it is about, at most twenty.
    """

    level: str
    kind: str
    text: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Looked:
    """What was seen of one picture."""

    source: str
    split: str
    label: str
    size: tuple[int, int]
    grey: bool
    pixels: str
    shape: int


def examine(root: str | Path, *, on_progress: Callable[[int, int], None] | None = None) -> list[Finding]:
    """Examine all splits of a dataset of class folders, idx, CIFAR, npz, or of boxes.

    Args:
        root: Its folder.
        on_progress: Called with (pictures read, pictures in all).

    Raises:
        DataError: No dataset at all.
    """
    try:
        return _boxes(Path(root), list_splits(root))
    except DataError:  # no layout of boxes: whose folders would pass for classes
        splits = list_class_splits(root)
    findings: list[Finding] = []
    sets: dict[str, ClassDataset] = {}
    for split in splits:
        try:
            sets[split] = load_classes(root, split)
        except StriateError as error:
            findings.append(Finding("error", "cannot be read", f"split {split!r}: {error}"))
    for name, dataset in sets.items():
        findings += _counts(name, dataset)
    total, done, seen = sum(map(len, sets.values())), 0, []
    for name, dataset in sets.items():
        for i in range(len(dataset)):
            done += 1
            if on_progress is not None:
                on_progress(done, total)
            try:
                seen.append(_look(dataset, name, i))
            except ImageError as error:
                findings.append(Finding("error", "unreadable", f"{error.got}", (dataset.source(i),)))
    return [*findings, *_names(sets), *_sizes(seen), *_copies(seen)]


def _boxes(root: Path, splits: list[str]) -> list[Finding]:
    """Examine a dataset of boxes: what its reader reports, and pictures that two splits share."""
    findings, seen = [], []
    for split in splits:
        try:
            dataset = load_boxes(root, split)
        except StriateError as error:
            findings.append(Finding("error", "cannot be read", f"split {split!r}: {error}"))
            continue
        findings += [Finding("note", "label", line) for line in dataset.report]
        for sample in dataset:
            try:
                image = load_image(sample.image)
            except ImageError as error:
                findings.append(Finding("error", "unreadable", error.got, (str(sample.image),)))
                continue
            seen.append(Looked(str(sample.image), split, "", image.shape[:2], False, *_digests(image)))
    return [*findings, *_copies(seen)]


def _look(dataset: ClassDataset, split: str, index: int) -> Looked:
    image = dataset.image(index)
    grey = bool((image == image[..., :1]).all())
    label = dataset.names[dataset.labels[index]]
    return Looked(dataset.source(index), split, label, image.shape[:2], grey, *_digests(image))


def _digests(image: NDArray[np.uint8]) -> tuple[str, int]:
    """Return the digest of a picture's pixels, and the 64 signs of its horizontal differences at 8 x 9."""
    digest = hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()
    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (9, 8), interpolation=cv2.INTER_AREA).astype(int)
    signs = np.packbits((small[:, 1:] > small[:, :-1]).ravel())
    return digest, int.from_bytes(signs.tobytes(), "big")


def _counts(split: str, dataset: ClassDataset) -> list[Finding]:
    counts = dataset.counts()
    findings = [Finding("note", "left out", line) for line in dataset.report]
    few = [f"{name} ({count})" for name, count in counts.items() if count < FEWEST]
    if few:
        text = f"{split}: fewer than {FEWEST} pictures of {', '.join(few)}"
        findings.append(Finding("error" if any("(0)" in name for name in few) else "note", "few pictures", text))
    largest, smallest = max(counts.values()), min(counts.values())
    if smallest and largest > MOST_UNEVEN * smallest:
        text = f"{split}: classes of {smallest} to {largest} pictures; try class weights"
        findings.append(Finding("note", "uneven classes", text))
    return findings


def _names(sets: dict[str, ClassDataset]) -> list[Finding]:
    names = {split: dataset.names for split, dataset in sets.items()}
    if len(set(names.values())) < 2:
        return []
    return [
        Finding("error", "other classes", "; ".join(f"{split}: {', '.join(found)}" for split, found in names.items()))
    ]


def _sizes(seen: list[Looked]) -> list[Finding]:
    findings = []
    tiny = [look.source for look in seen if min(look.size) < SMALL]
    if tiny:
        findings.append(_finding("note", "tiny", f"{len(tiny)} pictures with a side below {SMALL} pixels", tiny))
    shapes = Counter(look.size for look in seen)
    if len(shapes) > 1:
        (low, high) = min(min(shape) for shape in shapes), max(max(shape) for shape in shapes)
        text = f"{len(shapes)} sizes, sides from {low} to {high} pixels: they are scaled and cut to one"
        findings.append(Finding("note", "mixed sizes", text))
    grey = [look.source for look in seen if look.grey]
    if 0 < len(grey) < len(seen):
        findings.append(_finding("note", "mixed modes", f"{len(grey)} of {len(seen)} pictures are grey", grey))
    return findings


def _copies(seen: list[Looked]) -> list[Finding]:
    findings = []
    exact = _groups((look.pixels, look) for look in seen)
    for kind, level, differ in (
        ("shared between splits", "error", lambda looks: len({look.split for look in looks}) > 1),
        ("one picture, two labels", "error", lambda looks: len({look.label for look in looks}) > 1),
        ("duplicates", "note", lambda looks: len({look.split for look in looks}) == 1),
    ):
        groups = [looks for looks in exact if differ(looks)]
        if groups:
            sources = [" = ".join(look.source for look in looks) for looks in groups]
            findings.append(_finding(level, kind, f"{len(groups)} pictures stand in more than one place", sources))
    near = [g for g in _groups((look.shape, look) for look in seen) if len({look.split for look in g}) > 1]
    near = [looks for looks in near if len({look.pixels for look in looks}) > 1 and looks[0].shape]
    if near:
        sources = [" ~ ".join(look.source for look in looks[:2]) for looks in near]
        text = f"{len(near)} pictures look like one of another split: copies in another size, or much alike"
        findings.append(_finding("note", "alike between splits", text, sources))
    return findings


def _groups(pairs: Iterable[tuple[object, Looked]]) -> list[list[Looked]]:
    found: dict[object, list[Looked]] = defaultdict(list)
    for key, look in pairs:
        found[key].append(look)
    return [looks for looks in found.values() if len(looks) > 1]


def _finding(level: str, kind: str, text: str, sources: list[str]) -> Finding:
    return Finding(level, kind, text, tuple(sources[:20]))
