"""From foreground to single objects: connected components, or a watershed that parts those that touch.

Watershed as it is common for nuclei (Malpica et al. 1997): seeds are the maxima of the distance to the background that
rise at least `depth` pixels above the pass to a higher one, and every foreground pixel goes to the seed whose basin
it lies in.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..core.atomic import atomic_write
from ..core.checks import UsageError, unknown

METHODS = ("watershed", "components")
DEPTH = 0.75
"""Pixels. Tuned between 0.4 and 1.0 on the true foreground of 266 pictures of the 2018 Data Science Bowl: the best F1
of objects (0.96 at IoU 0.5; components 0.89) and nearly the least error of counts. On the other 266 pictures F1 is
0.956, counts are 2.6 % too low in all and 4.2 % off in the mean (components 0.872, 17 % and 13 %)."""
COLUMNS = ("id", "area", "centroid_x", "centroid_y", "left", "top", "right", "bottom")


@dataclass(frozen=True)
class Instances:
    """Single objects.

    Attributes:
        labels: int32 (H, W), 0 is background, objects are numbered from 1 in the order of their first pixel.
    """

    labels: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.areas)

    @cached_property
    def _statistics(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        count = int(self.labels.max(initial=0))
        areas = np.bincount(self.labels.ravel(), minlength=count + 1)[1:]
        rows, columns = np.nonzero(self.labels)
        ids = self.labels[rows, columns] - 1
        boxes = np.tile(np.array([self.labels.shape[1], self.labels.shape[0], 0, 0]), (count, 1))
        centroids = np.zeros((count, 2))
        for axis, place in enumerate((columns, rows)):
            centroids[:, axis] = np.bincount(ids, place + 0.5, minlength=count) / np.maximum(areas, 1)
            np.minimum.at(boxes[:, axis], ids, place)
            np.maximum.at(boxes[:, axis + 2], ids, place + 1)
        return areas.astype(np.int64), centroids, boxes.astype(np.int64)

    @property
    def areas(self) -> NDArray[np.int64]:
        """Pixels of each object, (N,)."""
        return self._statistics[0]

    @property
    def centroids(self) -> NDArray[np.float64]:
        """Middle of each object, x and y, (N, 2); the middle of the first pixel is (0.5, 0.5)."""
        return self._statistics[1]

    @property
    def boxes(self) -> NDArray[np.int64]:
        """Box around each object, xyxy pixels, half-open, (N, 4)."""
        return self._statistics[2]

    def to_rows(self) -> list[dict[str, float]]:
        """Return a row for each object: id, area in pixels, centroid and box."""
        table = zip(self.areas.tolist(), self.centroids.round(2).tolist(), self.boxes.tolist(), strict=True)
        return [
            dict(zip(COLUMNS, (i, area, *centroid, *box), strict=True))
            for i, (area, centroid, box) in enumerate(table, 1)
        ]

    def to_csv(self) -> str:
        """Return the rows as CSV with a line of headings."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.to_rows())
        return text.getvalue()

    def save_csv(self, path: str | Path) -> Path:
        """Write the rows as CSV, all or nothing; raises SaveError."""
        return atomic_write(path, lambda file: file.write(self.to_csv().encode()))

    def summary(self) -> dict[str, Any]:
        """Return count, total area, and median, smallest and largest area (None without objects)."""
        areas = self.areas.tolist()
        middle = float(np.median(areas)) if areas else None
        figures = {"median": middle, "smallest": min(areas, default=None), "largest": max(areas, default=None)}
        return {"count": len(areas), "area": sum(areas), **figures}


def find_instances(
    foreground: NDArray[Any], *, method: str = "watershed", depth: float = DEPTH, least_area: int = 1
) -> Instances:
    """Find single objects.

    Unlike `Segmenter.predict`, which cuts into tiles, this looks at the whole picture at once: 35 bytes a pixel with
    "watershed", 23 with "components", which is 14 and 9 GB for 20,000 x 20,000 pixels.

    Args:
        foreground: bool (H, W), or uint8 (H, W) that is 0 outside.
        method: "watershed" parts objects that touch; "components" takes each connected piece (corners do not connect)
            for one object.
        depth: Pixels by which the distance to the background must sink between two objects; more parts less.
        least_area: Objects of fewer pixels are left out.

    Raises:
        UsageError: Another shape or type, an unknown method, a depth that is not positive, a least_area below 1.
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    if not isinstance(foreground, np.ndarray) or foreground.dtype not in (bool, np.uint8) or foreground.ndim != 2:
        got = f"{getattr(foreground, 'dtype', type(foreground).__name__)} {np.shape(foreground)}"
        raise UsageError("foreground as bool or uint8 (H, W)", got, "pass labels == class_id")
    if not 0 < depth < np.inf or least_area < 1:
        got = f"depth {depth}, least_area {least_area}"
        raise UsageError("depth above 0 and least_area of 1 or more", got, f"pass depth={DEPTH}, least_area=1")
    inside = (foreground != 0).astype(np.uint8)
    if not inside.any():
        return Instances(np.zeros(inside.shape, np.int32))
    labels = _watershed(inside, depth) if method == "watershed" else _components(inside, 4)
    return Instances(renumber(labels, least_area))


def _components(inside: NDArray[np.uint8], connectivity: int) -> NDArray[np.int32]:
    return np.asarray(cv2.connectedComponents(inside, connectivity=connectivity, ltype=cv2.CV_32S)[1], np.int32)


def _watershed(inside: NDArray[np.uint8], depth: float) -> NDArray[np.int32]:
    from skimage.morphology import local_maxima  # 0.5 s to import
    from skimage.segmentation import watershed

    distance = _distance(inside)
    # A piece that is nowhere `depth` deep still is one object: its seed is its own maximum.
    lowered = _reconstruct(np.maximum(distance - np.float32(depth), 0), distance)
    seeds = _components((local_maxima(lowered) & (lowered > 0)).astype(np.uint8), 8)
    labels = np.asarray(watershed(-distance, seeds, mask=inside != 0), np.int32)
    shallow = ((labels == 0) & (inside != 0)).astype(np.uint8)
    rest = _components(shallow, 4)
    return np.where(rest > 0, rest + labels.max(), labels).astype(np.int32)


def _distance(inside: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Distance of each pixel to the nearest one outside; the picture's rim is not outside: objects are cut there."""
    return np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


def _reconstruct(seed: NDArray[np.float32], limit: NDArray[np.float32]) -> NDArray[np.float32]:
    """Dilate `seed` below `limit` until nothing changes (Vincent 1993).

    Step by step, because objects are small: 100 steps for a megapixel of nuclei are 0.1 s, scikit-image's takes 1.5 s.
    """
    square = np.ones((3, 3), np.uint8)
    while True:
        before = seed
        for _ in range(8):
            seed = np.asarray(cv2.min(cv2.dilate(seed, square), limit), np.float32)
        if np.array_equal(before, seed):
            return seed


def renumber(labels: NDArray[np.int32], least_area: int = 1) -> NDArray[np.int32]:
    """Number the objects of at least `least_area` pixels from 1, in the order of their first pixels; int32 (H, W)."""
    areas = np.bincount(labels.ravel())
    ids, first = np.unique(labels, return_index=True)
    kept = [i for i in ids[np.argsort(first)].tolist() if i and areas[i] >= least_area]
    table = np.zeros(len(areas), np.int32)
    table[kept] = np.arange(1, len(kept) + 1)
    return table[labels]
