"""Class folders: ROOT/SPLIT/CLASS/picture, or ROOT/CLASS/picture where there are no splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..checks import DataError, ImageError
from ..images import SUFFIXES, image_size
from .classes import ClassDataset
from .labels import UNREADABLE, check_names

SPLIT_NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
MOST_UNREADABLE = 0.05
"""Share of the files that may be unreadable: they are listed and left out. Above it something else is wrong."""


def splits(root: Path) -> dict[str, Path]:
    """Return the folder of each split there is; {"train": root} for class folders without splits."""
    found = {split: root / name for split, names in SPLIT_NAMES.items() for name in names if (root / name).is_dir()}
    return found or ({"train": root} if class_names(root) else {})


def class_names(folder: Path) -> tuple[str, ...]:
    """Name the visible folders, sorted; none where not one of them holds a file."""
    entries = [entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    filled = any(path.is_file() for entry in entries for path in entry.rglob("*"))
    return tuple(sorted(entry.name for entry in entries)) if filled else ()


def read_class_folders(
    root: Path, split: str, *, names: Sequence[str] | None = None, most_unreadable: float = MOST_UNREADABLE
) -> ClassDataset:
    """Read one split; only headers are read here, pictures when they are asked for.

    Args:
        root: Folder of the dataset.
        split: A key of `SPLIT_NAMES`.
        names: Classes in the order of their ids; None takes the folders of the train split, sorted.
        most_unreadable: Share of the files that may be unreadable; they are listed in `report`.

    Raises:
        DataError: No such split, a folder that is no class of `names`, a class without pictures in "train", fewer than
            two classes, or more unreadable files than allowed.
    """
    folders = splits(root)
    if split not in folders:
        raise DataError(
            f"a split {split!r}", f"{', '.join(folders) or 'no class folders'} in {root}", "name one of those: --split"
        )
    mine = class_names(folders[split])
    known = check_names(names if names is not None else class_names(folders.get("train", folders[split])))
    if len(known) < 2:
        got = f"{', '.join(known) or 'none'} in {folders[split]}"
        raise DataError("at least two classes, a folder of pictures for each", got, "add another class")
    foreign = [name for name in mine if name not in known]
    if foreign:
        fix = "rename the folders, or train on these classes"
        raise DataError(f"folders of the classes {', '.join(known)}", f"{', '.join(foreign)} in {folders[split]}", fix)
    paths, labels, report, damaged = [], [], [], []
    for class_id, name in enumerate(known):
        good, bad = _pictures(folders[split] / name)
        paths += good
        labels += [class_id] * len(good)
        report += bad
        damaged += bad
        if not good and split == "train":
            raise DataError(f"pictures of class {name!r}", f"none in {folders[split] / name}", "add some, or remove it")
        if not good:
            report.append(f"class {name!r} has no pictures in {folders[split]}")
    check_unreadable(len(damaged), len(damaged) + len(paths), damaged, most_unreadable)
    return ClassDataset(paths, np.array(labels, np.int64), known, root, split, "folders", report)


def check_unreadable(bad: int, total: int, report: list[str], most: float = MOST_UNREADABLE) -> None:
    """Raise when too many of the files cannot be read.

    Raises:
        DataError: More than `most` of them; the last line of the report is named.
    """
    if bad > most * total:
        got = f"{bad} of {total}, such as: {report[-1]}"
        raise DataError(f"at most {most:.0%} of unreadable files", got, "remove or replace them")


def _pictures(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the readable pictures of a class, sorted, and a sentence for each that is not."""
    good, bad = [], []
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        try:
            image_size(path)
            good.append(path)
        except ImageError as error:
            bad.append(f"{UNREADABLE}: {error.got}")
    return good, bad
