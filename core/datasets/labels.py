"""The one place where labels are checked: from what a file says to a `BoxDataset`, or to an error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np

from ..checks import DataError, ImageError, UsageError
from ..images import image_size
from .boxes import BoxDataset, BoxSample

UNREADABLE = "unreadable, left out"
"""What the report says of a picture that cannot be read; a doctor takes it for an error, and the rest for notes."""
BAD_LABEL_POLICIES = ("error", "drop_box", "drop_image")
# Pixels by which a box may reach outside without a word: six decimals of a normalised coordinate lose 0.005 pixel on a
# side of 10,000.
SILENT_CLIP = 0.01


@dataclass(frozen=True)
class Label:
    """One box as a file has it, before any check: xyxy in pixels or fractions of the sides, and its class."""

    box: tuple[float, float, float, float]
    name: str
    crowd: bool = False


@dataclass(frozen=True)
class Record:
    """One picture as a file describes it.

    Attributes:
        image: Path of the picture.
        labels: What could be read as a box.
        size: (height, width) as stated, None where the file states none.
        problems: What could not be read as a box, one sentence each.
        notes: Sentences for the report alone.
        normalised: Boxes are fractions of width and height.
    """

    image: Path
    labels: list[Label]
    size: tuple[int, int] | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    normalised: bool = False


def assemble(
    records: Iterable[Record], names: Sequence[str], *, root: Path, split: str, format: str, on_bad_label: str
) -> BoxDataset:
    """Check every label and build the dataset.

    A box partly outside its picture is clipped; a box with NaN, without area, inverted, wholly outside or of an unknown
    class is bad. `on_bad_label` says what then: "error" raises (for a clipped box too), "drop_box" drops the box,
    "drop_image" drops the picture that has it. An exact duplicate is reported and kept. All of it goes to `report`.

    Raises:
        DataError: No picture, a picture that is missing, duplicate names, or a bad label under "error".
        UsageError: An `on_bad_label` that does not exist.
    """
    if on_bad_label not in BAD_LABEL_POLICIES:
        raise UsageError(f"on_bad_label out of {', '.join(BAD_LABEL_POLICIES)}", repr(on_bad_label), "choose one")
    names = check_names(names)
    checker = _Checker({name: i for i, name in enumerate(names)}, on_bad_label)
    samples = [sample for record in records if (sample := checker.sample(record)) is not None]
    if not samples:
        first = f" ({checker.report[0]})" if checker.report else ""
        raise DataError(
            f"at least one picture in split {split!r}",
            f"none in {root}{first}",
            "check the folder and the list of the split",
        )
    return BoxDataset(samples, names, root, split, format, checker.report)


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return class names as a tuple; raises DataError when there are none, or one is there twice or is not text."""
    if isinstance(names, str):
        raise DataError("a list of class names", f"one text: {names!r}", "put the names into a list")
    result = tuple(names)
    if not result:
        raise DataError("at least one class name", "none", "check that the annotations have boxes, or pass names")
    wrong = [name for name in result if not isinstance(name, str) or not name.strip()]
    if wrong:
        raise DataError("class names that are text", f"{type(wrong[0]).__name__} {str(wrong[0])[:40]!r}", "correct it")
    twice = sorted({name for name in result if result.count(name) > 1})
    if twice:
        raise DataError("every class name once", f"twice: {', '.join(twice)}", "give the classes different names")
    return result


def inside(root: Path, *parts: str) -> Path:
    """Join a path named by a file of the dataset to its root; raises DataError when it would lead outside."""
    path, text = Path(*parts), str(Path(*parts))
    if path.is_absolute() or ".." in path.parts or "\0" in text or "\\" in text or PureWindowsPath(path).drive:
        raise DataError(f"file names inside {root}", repr(text), "correct the name in the dataset's file")
    return root / path


@dataclass
class _Checker:
    ids: dict[str, int]
    policy: str

    def __post_init__(self) -> None:
        self.report: list[str] = []

    def sample(self, record: Record) -> BoxSample | None:
        """Return the picture with its good boxes, None when the policy drops it."""
        name = record.image.name
        self.report.extend(f"{name}: {note}" for note in record.notes)
        size = self._size(record)
        if size is None:
            return None
        kept: dict[str, list] = {"boxes": [], "class_ids": [], "crowd": []}
        problems = list(record.problems)
        seen: set[tuple] = set()
        for label in record.labels:
            box = _pixels(label.box, size) if record.normalised else label.box
            fault = _fault(box, label.name, self.ids, size)
            if fault:
                problems.append(fault)
                continue
            clipped = self._clip(box, size, f"{name}: {label.name} box {_text(box)}")
            if (clipped, label.name, label.crowd) in seen:
                self.report.append(f"{name}: {label.name} box {_text(box)} is there twice: kept")
            seen.add((clipped, label.name, label.crowd))
            kept["boxes"].append(clipped)
            kept["class_ids"].append(self.ids[label.name])
            kept["crowd"].append(label.crowd)
        if problems and not self._forgive(name, problems):
            return None
        return BoxSample(
            record.image,
            np.array(kept["boxes"], dtype=np.float32).reshape(-1, 4),
            np.array(kept["class_ids"], dtype=np.int64),
            np.array(kept["crowd"], dtype=np.bool_),
            width=size[1],
            height=size[0],
        )

    def _size(self, record: Record) -> tuple[int, int] | None:
        """Read the picture's true size; a header that cannot be read is a bad label like any other."""
        name = record.image.name
        if not record.image.is_file():
            raise DataError(
                "a picture for every annotation", f"no file at {record.image}", "add it, or take it off the list"
            )
        try:
            height, width = image_size(record.image)
        except ImageError as error:
            if self.policy == "error":
                raise DataError("pictures that can be read", f"{name}: {error.got}", error.fix) from error
            self.report.append(f"{name}: {UNREADABLE}: {error.got}")
            return None
        if record.size is not None and min(record.size) > 0 and record.size != (height, width):
            stated = f"{record.size[1]}x{record.size[0]}"
            self.report.append(f"{name}: stated as {stated}, is {width}x{height}: the latter holds")
        return height, width

    def _clip(self, box: Sequence[float], size: tuple[int, int], what: str) -> tuple[float, float, float, float]:
        height, width = size
        x1, y1, x2, y2 = box
        clipped = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
        if max(abs(a - b) for a, b in zip(clipped, box, strict=True)) > SILENT_CLIP:
            if self.policy == "error":
                raise DataError(
                    "boxes inside their picture",
                    f"{what} reaches outside {width}x{height}",
                    "correct it, or use on_bad_label='drop_box', which clips it",
                )
            self.report.append(f"{what} reaches outside {width}x{height}: clipped")
        return clipped

    def _forgive(self, name: str, problems: list[str]) -> bool:
        """Report bad labels; returns whether the picture stays."""
        if self.policy == "error":
            fix = "correct it, or use on_bad_label='drop_box'"
            raise DataError("labels without fault", f"{name}: {problems[0]}", fix)
        what = "picture dropped" if self.policy == "drop_image" else "box dropped"
        self.report.extend(f"{name}: {problem}: {what}" for problem in problems)
        return self.policy != "drop_image"


def _pixels(box: Sequence[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    height, width = size
    return box[0] * width, box[1] * height, box[2] * width, box[3] * height


def _fault(box: Sequence[float], name: str, ids: dict[str, int], size: tuple[int, int]) -> str | None:
    """Say what is wrong with a box beyond repair, None when nothing is."""
    height, width = size
    x1, y1, x2, y2 = box
    if not all(math.isfinite(value) for value in box):
        return f"{name} box {_text(box)} is not finite"
    if x2 < x1 or y2 < y1:
        return f"{name} box {_text(box)} is inverted"
    # In float32, in which the boxes are kept: a side of 1e-9 pixel would vanish there.
    left, top, right, bottom = (np.float32(min(max(v, 0.0), m)) for v, m in zip(box, (width, height) * 2, strict=True))
    if right <= left or bottom <= top:
        outside = x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0
        return f"{name} box {_text(box)} " + (f"lies outside {width}x{height}" if outside else "has no area")
    if name not in ids:
        return f"class {name[:60]!r} is unknown"
    return None


def _text(box: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in box) + ")"
