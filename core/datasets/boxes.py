"""What a set of pictures with boxes is.

Boxes are float32 xyxy pixels of the original picture, half-open: x from x1 up to, but not including, x2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class BoxSample:
    """One picture and its boxes.

    Attributes:
        image: Path of the picture.
        boxes: float32 (N, 4) xyxy pixels of the original picture, inside it, with x1 < x2 and y1 < y2.
        class_ids: int64 (N,), indices into the dataset's names.
        crowd: bool (N,), COCO's iscrowd: a region with many objects, matched by nobody and counted against nobody.
        width: Width of the picture, EXIF orientation applied.
        height: Height of the picture, likewise.
    """

    image: Path
    boxes: np.ndarray
    class_ids: np.ndarray
    crowd: np.ndarray
    width: int
    height: int


@dataclass(frozen=True)
class BoxDataset:
    """Pictures with boxes, class names and a report of what was wrong with the labels.

    Attributes:
        samples: One `BoxSample` a picture, pictures without boxes included.
        names: Class names in the order of the class ids.
        root: Folder of the dataset.
        split: Such as "train" or "val".
        format: "voc", "yolo", "coco" or "synthetic".
        report: One sentence for every label that was clipped, dropped or looks wrong; the files stay as they are.
    """

    samples: list[BoxSample]
    names: tuple[str, ...]
    root: Path
    split: str
    format: str
    report: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> BoxSample:
        return self.samples[index]

    def __iter__(self) -> Iterator[BoxSample]:
        return iter(self.samples)

    def counts(self) -> dict[str, int]:
        """Number of boxes of each class, zeros and crowds included."""
        totals = np.zeros(len(self.names), dtype=np.int64)
        for sample in self.samples:
            totals += np.bincount(sample.class_ids, minlength=len(self.names))
        return dict(zip(self.names, totals.tolist(), strict=True))

    def fingerprint(self) -> str:
        """Digest of names, pictures' file names and boxes: the same data in another place has the same one."""
        digest = hashlib.sha256(repr(self.names).encode())
        for sample in self.samples:
            digest.update(f"{sample.image.name} {sample.width} {sample.height}".encode())
            for part in (sample.boxes, sample.class_ids, sample.crowd):
                digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()
