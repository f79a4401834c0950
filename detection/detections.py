"""The result of detection on one picture: indexes like an array, draws itself, goes to JSON, CSV and COCO."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.checks import UsageError
from ..core.draw import draw_boxes

SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes found on one picture, best first.

    Attributes:
        boxes: float32 (N, 4), xyxy pixels of the original picture, half-open.
        scores: float32 (N,), 0 to 1.
        class_ids: int64 (N,), indices into `names`.
        names: Names of all classes the model knows.
        size: (height, width) of the picture.
        source: Where the picture came from, if it had a name.
        speed: Milliseconds by step: "load", "network", "decode".

    Raises:
        UsageError: Arrays whose lengths do not agree.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    names: tuple[str, ...]
    size: tuple[int, int]
    source: str | None = None
    speed: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shapes = (np.shape(self.boxes), np.shape(self.scores), np.shape(self.class_ids))
        count = shapes[1][0] if shapes[1] else -1
        if shapes != ((count, 4), (count,), (count,)):
            raise UsageError("boxes (N, 4), scores (N,) and class_ids (N,)", f"shapes {shapes}", "pass one row each")

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: int | slice | NDArray[Any] | list[int]) -> Detections:
        """Select by number, slice, list of numbers or boolean mask; always a `Detections`."""
        rows = [index] if isinstance(index, (int, np.integer)) else index
        return replace(self, boxes=self.boxes[rows], scores=self.scores[rows], class_ids=self.class_ids[rows])

    def __iter__(self) -> Iterator[Detections]:
        return (self[i] for i in range(len(self)))

    @property
    def labels(self) -> list[str]:
        """The class name of each box."""
        return [self.names[i] for i in self.class_ids]

    def counts(self) -> dict[str, int]:
        """Count the boxes of every class the model knows, zeros included."""
        found = np.bincount(self.class_ids, minlength=len(self.names))
        return {name: int(n) for name, n in zip(self.names, found, strict=True)}

    def summary(self) -> str:
        """Say in one line what was found: "12 RBC, 1 WBC"."""
        parts = [f"{n} {name}" for name, n in self.counts().items() if n]
        return ", ".join(parts) if parts else "nothing found"

    def draw_on(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a copy of the picture, uint8 RGB (H, W, 3), with boxes and labels."""
        labels = [f"{label} {score:.2f}" for label, score in zip(self.labels, self.scores, strict=True)]
        return draw_boxes(image, self.boxes, self.class_ids, labels)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: source, size, names, detections (box, score, class id, label), counts, speed."""
        height, width = self.size
        return {
            "schema_version": SCHEMA_VERSION,
            "source": self.source,
            "height": height,
            "width": width,
            "names": list(self.names),
            "detections": [
                {
                    "box": [round(float(v), 2) for v in box],
                    "score": round(float(score), 4),
                    "class_id": int(c),
                    "label": n,
                }
                for box, score, c, n in zip(self.boxes, self.scores, self.class_ids, self.labels, strict=True)
            ],
            "counts": self.counts(),
            "speed_ms": {step: round(ms, 2) for step, ms in self.speed.items()},
        }

    def to_json(self, indent: int | None = 2) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    def to_csv(self) -> str:
        """Return one line a box under a header: label, class_id, score, x1, y1, x2, y2."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("label", "class_id", "score", "x1", "y1", "x2", "y2"))
        for row in self.to_dict()["detections"]:
            writer.writerow((row["label"], row["class_id"], row["score"], *row["box"]))
        return text.getvalue()

    def to_coco(self, image_id: int = 0) -> list[dict[str, Any]]:
        """Return COCO results: image_id, category_id (our class id), bbox as x, y, width, height, score."""
        return [
            {"image_id": image_id, "category_id": int(c), "bbox": [x1, y1, x2 - x1, y2 - y1], "score": float(score)}
            for (x1, y1, x2, y2), score, c in zip(self.boxes.tolist(), self.scores, self.class_ids, strict=True)
        ]
