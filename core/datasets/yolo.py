"""YOLO text: images/<split>/a.jpg beside labels/<split>/a.txt, one line a box: class x y width height, all fractions.

The splits and the class names come from a YAML file (path, train, val, names); without one, from the folders, the
names then from a *.names or classes.txt file. Longer lines are polygons, of which the bounding box is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..checks import DataError
from .boxes import BoxDataset
from .labels import Label, Record, assemble, check_names
from .yolo_layout import find_yaml, names_beside, names_from_yaml, pictures_from_folders, pictures_from_yaml

MAX_TEXT_BYTES = 16 * 2**20


def read_yolo(
    root: Path, split: str, *, names: Sequence[str] | None = None, on_bad_label: str = "drop_box"
) -> BoxDataset:
    """Read one split of a folder or of a YAML file.

    `names`, where given, choose and order the classes; where the files have no names of their own, they name the ids.

    Raises:
        DataError: Split, labels or names missing, a file that is no YAML, a path that leads outside the dataset.
    """
    root = Path(root)
    settings, folder, own = find_yaml(root), root, None
    if settings is not None:
        folder, pictures = pictures_from_yaml(settings, split)
        own = names_from_yaml(settings)
    else:
        pictures = pictures_from_folders(root, split)
        own = names_beside(root)
    if own is None and names is None:
        raise DataError(
            "class names in a YAML or *.names file", f"none in {root}", "add data.yaml with names, or pass names"
        )
    known = check_names(own if own is not None else names or ())
    records = [_record(folder, picture, known) for picture in pictures]
    return assemble(records, names or known, root=folder, split=split, format="yolo", on_bad_label=on_bad_label)


def label_path(root: Path, picture: Path) -> Path:
    """Return where the labels of a picture are: the last folder called images becomes labels, the suffix .txt."""
    parts = list(picture.relative_to(root).parts)
    at = [i for i, part in enumerate(parts[:-1]) if part == "images"]
    if at:
        parts[at[-1]] = "labels"
    return (root / Path(*parts)).with_suffix(".txt")


def _record(root: Path, picture: Path, names: Sequence[str]) -> Record:
    path = label_path(root, picture)
    if not path.is_file():
        return Record(picture, [], notes=("no label file: taken as a picture without boxes",), normalised=True)
    try:
        with path.open("rb") as file:
            lines = file.read(MAX_TEXT_BYTES).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("a text file of labels", f"{error}: {path}", "write the labels again") from error
    labels, problems = [], []
    for number, line in enumerate(lines, 1):
        if line.strip():
            label = _label(line.split(), names)
            labels.append(label) if isinstance(label, Label) else problems.append(f"line {number} {label}")
    return Record(picture, labels, problems=tuple(problems), normalised=True)


def _label(words: list[str], names: Sequence[str]) -> Label | str:
    """Read one line; returns what is wrong with it as text."""
    if len(words) != 5 and not (len(words) >= 7 and len(words) % 2 == 1):
        return f"has {len(words)} numbers instead of 5"
    try:
        class_id, *values = (float(word) for word in words)
    except ValueError:
        return f"is not made of numbers: {' '.join(words)[:60]!r}"
    if not class_id.is_integer():
        return f"has a class that is no whole number: {words[0][:20]!r}"
    # A class beyond the names keeps its number, so that the report can say which it was.
    name = names[int(class_id)] if 0 <= class_id < len(names) else str(int(class_id))
    if len(values) == 4:
        x, y, width, height = values
        return Label((x - width / 2, y - height / 2, x + width / 2, y + height / 2), name)
    xs, ys = values[0::2], values[1::2]
    return Label((min(xs), min(ys), max(xs), max(ys)), name)
