"""What is wrong with a dataset before anyone trains on it; nothing is altered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ..checks import DataError, ImageError, StriateError
from ..images import load_image
from .boxes import BoxDataset
from .classes import ClassDataset
from .findings import Finding, Looked, copies, digests, finding
from .labels import UNREADABLE
from .load import list_splits, load_boxes, recognise
from .load_classes import list_class_splits, load_classes
from .load_masks import mask_format
from .mask_doctor import examine_masks
from .polygon_doctor import examine_polygons

FEWEST = 10
"""Pictures of a class below which its figures say little."""
MOST_UNEVEN = 20
"""Ratio of the largest class to the smallest above which class weights are worth a thought."""
SMALL = 16
"""Pixels of a side below which a picture is named."""


def examine(root: str | Path, *, on_progress: Callable[[int, int], None] | None = None) -> list[Finding]:
    """Examine all splits of a dataset of class folders, idx, CIFAR, npz, of boxes, or of masks.

    Args:
        root: Its folder.
        on_progress: Called with (pictures read, pictures in all); where there are masks and boxes, first of the masks.

    Raises:
        DataError: No dataset at all.
    """
    root = Path(root)
    if (format := mask_format(root)) is not None:  # first: images/ beside labels/ would pass for YOLO's boxes
        masks = examine_masks(root, format, on_progress=on_progress)
        boxes = list_splits(root, format="voc") if (root / "Annotations").is_dir() else []
        return masks + _boxes(root, boxes, on_progress)
    try:
        boxes = list_splits(root)
        polygons = examine_polygons(root, boxes, on_progress=on_progress) if recognise(root) == "coco" else []
        return polygons + _boxes(root, boxes, on_progress)
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
    return [*findings, *_names(sets), *_sizes(seen), *copies(seen)]


def _boxes(root: Path, splits: list[str], on_progress: Callable[[int, int], None] | None) -> list[Finding]:
    """Examine a dataset of boxes: what its reader reports, and pictures that two splits share."""
    findings, seen = [], []
    sets: dict[str, BoxDataset] = {}
    for split in splits:
        try:
            sets[split] = load_boxes(root, split)
        except StriateError as error:
            findings.append(Finding("error", "cannot be read", f"split {split!r}: {error}"))
            continue
        findings += _told("label", sets[split].report)
    total, done = sum(map(len, sets.values())), 0
    for split, dataset in sets.items():
        for sample in dataset:
            try:
                image = load_image(sample.image)
                seen.append(Looked(str(sample.image), split, "", image.shape[:2], False, *digests(image)))
            except ImageError as error:
                findings.append(Finding("error", "unreadable", error.got, (str(sample.image),)))
            done += 1
            if on_progress is not None:
                on_progress(done, total)
    return [*findings, *copies(seen)]


def _told(kind: str, report: list[str]) -> list[Finding]:
    """Make findings of what a reader reports: notes, but of files that cannot be read."""
    return [
        Finding("error", "unreadable", line) if UNREADABLE in line else Finding("note", kind, line) for line in report
    ]


def _look(dataset: ClassDataset, split: str, index: int) -> Looked:
    image = dataset.image(index)
    grey = bool((image == image[..., :1]).all())
    label = dataset.names[dataset.labels[index]]
    return Looked(dataset.source(index), split, label, image.shape[:2], grey, *digests(image))


def _counts(split: str, dataset: ClassDataset) -> list[Finding]:
    counts = dataset.counts()
    findings = _told("left out", dataset.report)
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
        findings.append(finding("note", "tiny", f"{len(tiny)} pictures with a side below {SMALL} pixels", tiny))
    shapes = Counter(look.size for look in seen)
    if len(shapes) > 1:
        (low, high) = min(min(shape) for shape in shapes), max(max(shape) for shape in shapes)
        text = f"{len(shapes)} sizes, sides from {low} to {high} pixels: they are scaled and cut to one"
        findings.append(Finding("note", "mixed sizes", text))
    grey = [look.source for look in seen if look.grey]
    if 0 < len(grey) < len(seen):
        findings.append(finding("note", "mixed modes", f"{len(grey)} of {len(seen)} pictures are grey", grey))
    return findings
