"""Masks from COCO's annotations: polygons and run lengths, drawn when they are asked for.

Class 0 is the background, the categories follow in the order of their ids. Where two objects overlap, the smaller one
lies on top. Coordinates count from the corners of pixels: a pixel belongs to a polygon when its middle does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import DataError, ImageError, unknown
from ..images import image_size
from . import coco
from .mask_files import IGNORE
from .mask_layouts import Fault
from .masks import MaskDataset
from .run_lengths import decode_runs

BACKGROUND = "background"
WITHOUT = "no segmentation"
"""Kind of the faults of annotations that have none, as those of boxes only."""


@dataclass(frozen=True)
class Region:
    """One object: its class, and either polygons (each float64 (K, 2), x and y) or a mask bool (H, W)."""

    class_id: int
    polygons: tuple[NDArray[np.float64], ...] = ()
    runs: dict[str, Any] | None = None

    def cut(self, size: tuple[int, int]) -> tuple[slice, slice, NDArray[np.bool_]]:
        """Return rows and columns of a box around it in a picture of `size`, and which pixels in there are its own."""
        if self.runs is not None:
            return slice(0, size[0]), slice(0, size[1]), decode_runs(self.runs)
        from skimage.draw import polygon  # 0.2 s to import

        drawn = [polygon(points[:, 1] - 0.5, points[:, 0] - 0.5, size) for points in self.polygons]
        rows, columns = (np.concatenate(places) for places in zip(*drawn, strict=True))
        if not len(rows):
            return slice(0, 0), slice(0, 0), np.zeros((0, 0), bool)
        (top, bottom), (left, right) = ((int(places.min()), int(places.max()) + 1) for places in (rows, columns))
        inside = np.zeros((bottom - top, right - left), bool)
        inside[rows - top, columns - left] = True
        return slice(top, bottom), slice(left, right), inside

    def is_empty(self, size: tuple[int, int]) -> bool:
        """Whether no pixel of a picture belongs to it; run lengths that cannot be read count as not empty."""
        try:
            return not self.cut(size)[2].any()
        except DataError:
            return False


@dataclass(frozen=True)
class Regions:
    """All objects of a picture of `size` (height, width), and the class of what lies outside them."""

    size: tuple[int, int]
    regions: list[Region] = field(default_factory=list)
    outside: int = 0

    def ids(self) -> NDArray[np.uint8]:
        """Draw them, one after the other: class ids, uint8 (H, W). Of two of one size the later one lies on top."""
        mask = np.full(self.size, self.outside, np.uint8)
        smallest = np.full(self.size, mask.size, np.int32)  # pixels of the object that a pixel shows
        for region in self.regions:
            rows, columns, inside = region.cut(self.size)
            area = np.count_nonzero(inside)
            shown = inside & (smallest[rows, columns] >= area)
            mask[rows, columns][shown] = region.class_id
            smallest[rows, columns][shown] = area
        return mask

    def digest(self) -> bytes:
        """Return bytes that tell it from other masks."""
        parts = [
            (r.class_id, [points.tolist() for points in r.polygons], json.dumps(r.runs, default=str))
            for r in self.regions
        ]
        return repr((self.size, self.outside, parts)).encode()


def read_polygons(
    root: Path, split: str, *, names: Sequence[str] | None = None, on_fault: str = "error"
) -> MaskDataset:
    """Read one split of a COCO folder; see `load_masks` for the arguments.

    Raises:
        DataError: Split, file or picture missing, not of COCO's shape, a segmentation that cannot be drawn.
    """
    found, faults = find_polygons(root, split, names=names)
    refuse(faults, on_fault)
    if not len(found):
        raise DataError(f"at least one picture in split {split!r}", f"none in {root}", "check the annotations")
    return replace(found, report=[str(fault) for fault in faults])


def find_polygons(root: Path, split: str, *, names: Sequence[str] | None = None) -> tuple[MaskDataset, list[Fault]]:
    """Read what can be used of one split of a COCO folder, perhaps nothing, and name the rest.

    Raises:
        DataError: Split or file missing, not of COCO's shape, or names that it does not have.
    """
    path = coco.annotation_file(root, split)
    content = coco.load(path)
    try:
        categories = sorted((int(entry["id"]), str(entry["name"])) for entry in content["categories"])
        own = [name for _, name in categories if name != BACKGROUND]
        known = tuple(names) if names is not None else (BACKGROUND, *own)
        for name in names or ():
            if name not in (BACKGROUND, *own):
                raise unknown("class", name, (BACKGROUND, *own), DataError)
        class_ids = {key: _class_id(name, known) for key, name in categories}
        entries = {int(entry["id"]): entry for entry in content["images"]}
        faults: list[Fault] = []
        objects = _objects(content, entries, class_ids, path, faults)
        outside = _class_id(BACKGROUND, known)
        pictures, masks = _pictures(coco.picture_folders(root, path, split), entries, objects, outside, faults)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            "images (id, file_name), annotations (image_id, category_id, segmentation) and categories (id, name)",
            f"{type(error).__name__} {error} in {path.name}",
            "export the annotations again",
        ) from error
    return MaskDataset(pictures, masks, known, (), root, split, "coco"), faults


def refuse(faults: list[Fault], on_fault: str) -> None:
    """Raise the first fault, and how many others there are, where the policy is "error"."""
    if faults and on_fault == "error":
        first = faults[0].error
        more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
        raise DataError(first.expected, first.got + more, f"{first.fix}, or pass on_fault='leave_out'")


def _class_id(name: str, known: tuple[str, ...]) -> int:
    """Return the number of a class; one that is not asked for is ignored, the background too."""
    if name in known:
        return known.index(name)
    return IGNORE


def _objects(
    content: dict[str, Any], entries: dict[int, Any], class_ids: dict[int, int], path: Path, faults: list[Fault]
) -> dict[int, list[Region]]:
    """Return the regions of every picture; what cannot be drawn goes to `faults`."""
    found: dict[int, list[Region]] = {key: [] for key in entries}
    for number, entry in enumerate(content.get("annotations", ())):
        image_id, category = int(entry["image_id"]), int(entry["category_id"])
        where = f"annotation {entry.get('id', number)} in {path.name}"
        if image_id not in found or category not in class_ids:
            what = f"image {image_id}" if image_id not in found else f"category {category}"
            error = DataError("annotations of listed images and categories", f"{what} of {where}", "correct it")
            faults.append(Fault("annotation", where, error))
            continue
        region = _region(entry.get("segmentation"), class_ids[category])
        if region is None:
            fix = "export the annotations with their segmentation, or take this one out"
            error = DataError("polygons or run lengths as segmentation", f"neither in {where}", fix)
            faults.append(Fault("annotation" if entry.get("segmentation") else WITHOUT, where, error))
        else:
            found[image_id].append(region)
    return found


def _region(value: object, class_id: int) -> Region | None:
    if isinstance(value, dict):
        size = value.get("size")
        good = "counts" in value and isinstance(size, list) and len(size) == 2
        return Region(class_id, runs=value) if good else None
    if not isinstance(value, list) or not value:
        return None
    parts = []
    for flat in value:
        if not isinstance(flat, list) or len(flat) < 6 or len(flat) % 2:
            return None
        numbers = [float(number) for number in flat]
        if not all(math.isfinite(number) and abs(number) < 1e6 for number in numbers):
            return None
        parts.append(np.array(numbers).reshape(-1, 2))
    return Region(class_id, tuple(parts))


def _pictures(
    folders: list[Path],
    entries: dict[int, Any],
    objects: dict[int, list[Region]],
    outside: int,
    faults: list[Fault],
) -> tuple[list[Path], list[Regions]]:
    """Find the pictures; those that are missing, unreadable or of another size than stated go to `faults`."""
    pictures, masks = [], []
    for image_id, entry in entries.items():
        path = coco.picture(folders, str(entry["file_name"]))
        try:
            size = image_size(path)
        except ImageError as error:
            faults.append(Fault("unreadable", str(path), error))
            continue
        stated = (int(entry.get("height") or size[0]), int(entry.get("width") or size[1]))
        runs = [region.runs["size"] for region in objects[image_id] if region.runs is not None]
        other = [tuple(found) for found in (stated, *runs) if tuple(found) != size]
        if other:
            got = f"{other[0][1]}x{other[0][0]} for a picture of {size[1]}x{size[0]}: {path}"
            wrong = DataError("annotations of the picture's size", got, "export them from this picture")
            faults.append(Fault("size mismatch", str(path), wrong))
            continue
        pictures.append(path)
        masks.append(Regions(size, objects[image_id], outside))
    return pictures, masks
