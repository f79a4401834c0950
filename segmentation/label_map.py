"""The result of segmentation on one picture: measures, draws, saves itself; goes to JSON, CSV, polygons and COCO."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.checks import UsageError, unknown
from ..core.datasets.mask_files import Colour, save_mask
from ..core.datasets.run_lengths import encode_runs
from .class_colours import class_colours
from .metrics import BACKGROUND
from .outlines import Outline, outlines
from .overlay import class_counts, overlay

SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A class for every pixel of one picture.

    Attributes:
        labels: uint8 (H, W), class ids.
        names: Names of all classes the model knows.
        colours: RGB of the classes; empty takes `class_colours.class_colours`.
        probabilities: (classes, H, W), float32, or float16 where the picture was cut into tiles; None unless asked for.
        source: Where the picture came from, if it had a name.
        speed: Milliseconds by step: "load", "network".

    Raises:
        UsageError: Labels that are not uint8 (H, W) below the number of names, or not one colour for each name.
    """

    labels: NDArray[np.uint8]
    names: tuple[str, ...]
    colours: tuple[Colour, ...] = ()
    probabilities: NDArray[np.float32] | NDArray[np.float16] | None = None
    source: str | None = None
    speed: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        labels, count = self.labels, len(self.names)
        if not isinstance(labels, np.ndarray) or labels.dtype != np.uint8 or labels.ndim != 2 or not labels.size:
            got = f"{getattr(labels, 'dtype', type(labels).__name__)} {np.shape(labels)}"
            raise UsageError("labels as uint8 (H, W)", got, "pass class ids, one for every pixel")
        if int(labels.max()) >= count:
            raise UsageError(f"class ids from 0 to {count - 1}", f"{labels.max()}", "pass all names, in order")
        if not self.colours:
            object.__setattr__(self, "colours", class_colours(self.names))
        if len(self.colours) != count:
            got = f"{len(self.colours)} colours and {count} names"
            raise UsageError("a colour for every class", got, "give each one, or none at all")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return (self.labels.shape[0], self.labels.shape[1])

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Return where a class is, bool (H, W); raises UsageError for a class that is not known."""
        return np.asarray(self.labels == self._class_id(name))

    def counts(self) -> dict[str, int]:
        """Count the pixels of every class the model knows, zeros included."""
        found = class_counts(self.labels, len(self.names))
        return {name: int(n) for name, n in zip(self.names, found, strict=True)}

    def areas(self) -> dict[str, dict[str, float]]:
        """Return "pixels" and "share" (of the picture, 0 to 1) of every class, zeros included."""
        return {name: {"pixels": n, "share": n / self.labels.size} for name, n in self.counts().items()}

    def summary(self) -> str:
        """Say in one line what there is, the largest first: "road 31.2 %, sky 25.0 %"."""
        found = sorted(self.counts().items(), key=lambda pair: -pair[1])
        return ", ".join(f"{name} {100 * n / self.labels.size:.1f} %" for name, n in found if n)

    def draw_on(
        self,
        image: NDArray[np.uint8],
        *,
        opacity: float = 0.5,
        classes: Iterable[str] | None = None,
        legend: bool = True,
    ) -> NDArray[np.uint8]:
        """Return a copy of the picture with the classes laid over it in their colours.

        Args:
            image: uint8 RGB (H, W, 3), the picture that was segmented.
            opacity: Of the colours, 0 to 1.
            classes: Names of the classes to show; None shows all but "background".
            legend: Add a column with the colours, names and shares of the classes on the right; the picture itself
                stays free.

        Raises:
            UsageError: A picture of another size, an opacity out of range, or a class that is not known.
        """
        wanted = [name for name in self.names if name != BACKGROUND] if classes is None else list(classes)
        shown = [self._class_id(name) for name in wanted]
        return overlay(image, self.labels, self.names, self.colours, opacity=opacity, shown=shown, legend=legend)

    def polygons(self, *, least_area: float = 0.0, classes: Iterable[str] | None = None) -> list[Outline]:
        """Return the outlines of all connected parts, along the edges of pixels; see `outlines.outlines`.

        Args:
            least_area: Parts of fewer pixels are left out.
            classes: Names of the classes; None takes all but "background".

        Raises:
            UsageError: A class that is not known.
        """
        wanted = [name for name in self.names if name != BACKGROUND] if classes is None else list(classes)
        return [
            outline
            for name in wanted
            for outline in outlines(self.mask(name), name, self._class_id(name))
            if outline.area >= least_area
        ]

    def runs(self, name: str, *, compressed: bool = True) -> dict[str, Any]:
        """Return COCO's run lengths of a class, "size" and "counts"; raises UsageError for one that is not known."""
        return encode_runs(self.mask(name), compressed=compressed)

    def to_coco(self, image_id: int = 0) -> list[dict[str, Any]]:
        """Return one COCO annotation for each class that is there, background left out: run lengths, area and box."""
        found = []
        for class_id, (name, pixels) in enumerate(self.counts().items()):
            if not pixels or name == BACKGROUND:
                continue
            rows, columns = (np.flatnonzero(self.mask(name).any(axis)) for axis in (1, 0))
            box = [columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]
            found.append(
                {
                    "image_id": image_id,
                    "category_id": class_id,
                    "segmentation": self.runs(name),
                    "area": pixels,
                    "bbox": [int(side) for side in box],
                    "iscrowd": 0,
                }
            )
        return found

    def save(self, path: str | Path) -> Path:
        """Write the labels as a PNG with palette, class ids as values; see `core.datasets.mask_files.save_mask`."""
        return save_mask(self.labels, path, self.colours)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: source, size, names, areas by class, speed; the labels are `save`'s and `to_coco`'s."""
        height, width = self.size
        return {
            "schema_version": SCHEMA_VERSION,
            "source": self.source,
            "height": height,
            "width": width,
            "names": list(self.names),
            "colours": [list(colour) for colour in self.colours],
            "areas": {n: {"pixels": a["pixels"], "share": round(a["share"], 6)} for n, a in self.areas().items()},
            "speed_ms": {step: round(ms, 2) for step, ms in self.speed.items()},
        }

    def to_json(self, indent: int | None = 2) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    def to_csv(self) -> str:
        """Return one line a class under a header: label, class_id, pixels, share."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("label", "class_id", "pixels", "share"))
        for class_id, (name, area) in enumerate(self.areas().items()):
            writer.writerow((name, class_id, int(area["pixels"]), f"{area['share']:.6f}"))
        return text.getvalue()

    def __str__(self) -> str:
        return self.summary()

    def _class_id(self, name: str) -> int:
        if name not in self.names:
            raise unknown("class", name, self.names)
        return self.names.index(name)
