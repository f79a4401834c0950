"""Fooling images as they can be handed on: judged again from their PNGs, with settings, confidences and lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..core.atomic import atomic_write
from ..core.images import encode_image, load_image
from .archive import Archive
from .contact_sheet import contact_sheet, percent
from .jury import Jury
from .lineage import Ancestor, switches
from .png import PngWithText

COLUMNS = ("class", "confidence", "fooled", "labels", "born", "switches", "lineage")


@dataclass(frozen=True)
class FoolingImage(PngWithText):
    """One picture that was made to be taken for a class.

    Attributes:
        image: uint8 (H, W, 3), as decoded from its PNG.
        name: The class that it was made for.
        confidence: How sure all models are of it, asked about the decoded PNG.
        each: How sure each model is.
        labels: What each model calls it.
        born: Generation in which it was found, or steps of the ascent.
        settings: What it was made with.
        ancestors: Its line, the oldest first, itself last; empty for an ascent.
    """

    image: NDArray[np.uint8] = field(repr=False)
    name: str
    confidence: float
    each: tuple[float, ...]
    labels: tuple[str, ...]
    born: int
    settings: Mapping[str, Any] = field(repr=False)
    ancestors: tuple[Ancestor, ...] = field(default=(), repr=False)

    @property
    def fooled(self) -> bool:
        """Whether every model calls it what it was made for."""
        return all(label == self.name for label in self.labels)

    @property
    def lineage(self) -> str:
        """The line as text, `generation:class` of each ancestor: "0:3 12:5 40:5"."""
        return " ".join(f"{one.generation}:{one.lived_as}" for one in self.ancestors)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: all but the picture."""
        return {
            "class": self.name,
            "confidence": self.confidence,
            "fooled": self.fooled,
            "each": list(self.each),
            "labels": list(self.labels),
            "born": self.born,
            "switches": switches(self.ancestors),
            "lineage": [[one.generation, one.lived_as] for one in self.ancestors],
            "settings": dict(self.settings),
        }

    def __str__(self) -> str:
        said = "" if self.fooled else f" (called {', '.join(self.labels)})"
        return f"{self.name} {percent(self.confidence)}{said}"


class FoolingImages(Sequence[FoolingImage]):
    """Pictures for several classes; a list with a table, a contact sheet and a way to save all."""

    def __init__(self, items: Sequence[FoolingImage]) -> None:
        self.items = list(items)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> FoolingImage: ...

    @overload
    def __getitem__(self, index: slice) -> FoolingImages: ...

    def __getitem__(self, index: int | slice) -> FoolingImage | FoolingImages:
        return FoolingImages(self.items[index]) if isinstance(index, slice) else self.items[index]

    def __iter__(self) -> Iterator[FoolingImage]:
        return iter(self.items)

    @property
    def confidences(self) -> NDArray[np.float32]:
        """Of each picture in its class, float32 (N,)."""
        return np.array([one.confidence for one in self.items], np.float32)

    def sheet(self, *, tile: int = 112, columns: int | None = None) -> NDArray[np.uint8]:
        """Draw all pictures with class and confidence, uint8 (H, W, 3)."""
        captions = [(one.name, ("" if one.fooled else "not: ") + percent(one.confidence)) for one in self.items]
        return contact_sheet([one.image for one in self.items], captions, tile=tile, columns=columns)

    def to_csv(self) -> str:
        """Return one line for each picture under a header: class, confidence, what it is called, its line."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in self.items:
            labels, moved = " ".join(one.labels), switches(one.ancestors)
            writer.writerow([one.name, repr(one.confidence), one.fooled, labels, one.born, moved, one.lineage])
        return text.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        found = self.confidences
        return {
            "pictures": len(self),
            "fooled": sum(one.fooled for one in self.items),
            "least": float(found.min()) if len(self) else None,
            "median": float(np.median(found)) if len(self) else None,
            "results": [one.to_dict() for one in self.items],
        }

    def save(self, folder: str | Path) -> list[Path]:
        """Write NUMBER-CLASS.png for each picture, sheet.png and fooling.csv; the folder is made if it is missing."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        digits = len(str(max(0, len(self) - 1)))
        paths = [
            one.save(folder / f"{number:0{digits}}-{file_name(one.name)}.png") for number, one in enumerate(self.items)
        ]
        stream = io.BytesIO()
        Image.fromarray(self.sheet()).save(stream, "PNG")
        table = self.to_csv().encode()
        sheet = atomic_write(folder / "sheet.png", lambda file: file.write(stream.getvalue()))
        return [*paths, sheet, atomic_write(folder / "fooling.csv", lambda file: file.write(table))]


def judge(
    models: Any,
    images: Sequence[NDArray[np.uint8]],
    names: Sequence[str],
    *,
    combine: str = "min",
    born: Sequence[int] = (),
    settings: Mapping[str, Any] | None = None,
    ancestors: Sequence[tuple[Ancestor, ...]] = (),
) -> FoolingImages:
    """Ask models about pictures as they come back from PNG.

    Args:
        models: See `Jury`.
        images: uint8 (H, W, 3) each.
        names: The class that each was made for.
        combine: See `Jury`.
        born: Generation or step of each; 0 where there is none.
        settings: Of all of them.
        ancestors: The line of each.

    Raises:
        UsageError: Unknown classes.
    """
    jury = models if isinstance(models, Jury) else Jury(models, combine=combine)
    ids = [int(jury.class_ids([name])[0]) for name in names]
    items: list[FoolingImage] = []
    decoded = [load_image(encode_image(image)) for image in images]
    each = jury.each(decoded)
    joined = jury.join(each)
    for row, (image, name, class_id) in enumerate(zip(decoded, names, ids, strict=True)):
        labels = tuple(jury.names[int(model[row].argmax())] for model in each)
        confidences = tuple(float(model[row, class_id]) for model in each)
        line, when = (ancestors[row] if ancestors else ()), (born[row] if len(born) else 0)
        sure = float(joined[row, class_id])
        items.append(FoolingImage(image, name, sure, confidences, labels, when, settings or {}, line))
    return FoolingImages(items)


def champions(models: Any, archive: Archive) -> FoolingImages:
    """Judge the champions of an evolution as they come back from PNG.

    Args:
        models: Those that were fooled, or others of the same classes, to see whether these are fooled too.
        archive: What `Evolution.run` returned.
    """
    cells = range(len(archive))
    names = [archive.names[archive.class_ids[cell]] for cell in cells]
    return judge(
        models, archive.pictures(), names, combine=archive.settings["combine"],
        born=[archive.born(cell) for cell in cells], settings={**archive.settings, "generation": archive.generation},
        ancestors=[archive.ancestors(cell) for cell in cells],
    )  # fmt: skip


def file_name(name: str) -> str:
    """Return a class name as part of a file name: letters, digits and dashes."""
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name).strip("-") or "class"
