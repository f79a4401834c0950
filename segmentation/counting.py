"""Objects counted on whole datasets: what a segmenter finds beside what instance maps say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..core.checks import DataError, UsageError, unknown
from ..core.datasets.mask_files import read_mask
from ..core.datasets.masks import MaskDataset
from .instance_metrics import count_agreement, match_instances, true_instances
from .instances import DEPTH, Instances, find_instances
from .label_map import LabelMap
from .metrics import BACKGROUND
from .segmenter import Segmenter

IOU_THRESHOLD = 0.5


def counted_class(names: Iterable[str], name: str | None = None) -> str:
    """Return the class whose objects are to be counted: `name`, or the only one beside the background.

    Raises:
        UsageError: A class that is not known, or None where there is a choice.
    """
    names = tuple(names)
    if name is not None and name not in names:
        raise unknown("class", name, names)
    if name is not None:
        return name
    objects = [entry for entry in names if entry != BACKGROUND]
    if len(objects) != 1:
        raise UsageError("the class whose objects to count", f"none, of {', '.join(objects)}", "name one of them")
    return objects[0]


def objects_of(
    found: LabelMap, name: str | None = None, *, method: str = "watershed", depth: float = DEPTH, least_area: int = 1
) -> Instances:
    """Find the single objects of one class on a segmented picture.

    Args:
        found: What `Segmenter.predict` returned.
        name: Of the class; None takes the only one beside the background.
        method: See `find_instances`.
        depth: Likewise.
        least_area: Likewise.

    Raises:
        UsageError: As `counted_class` and `find_instances`.
    """
    inside = found.mask(counted_class(found.names, name))
    return find_instances(inside, method=method, depth=depth, least_area=least_area)


def pictures_with_instances(dataset: MaskDataset) -> list[int]:
    """Return the places of the pictures whose masks are instance maps of 16 bits; see `true_instances`."""
    if dataset.code is None or dataset.code.other is None:
        return []
    return [i for i, mask in enumerate(dataset.masks) if isinstance(mask, Path) and _is_map(mask)]


def count_figures(
    segmenter: Segmenter,
    dataset: MaskDataset,
    *,
    flip: bool = False,
    scales: Iterable[float] = (1.0,),
    method: str = "watershed",
    depth: float = DEPTH,
    least_area: int = 1,
) -> dict[str, Any]:
    """Count objects on every picture whose mask is an instance map, and compare.

    Args:
        segmenter: With weights, of the dataset's classes.
        dataset: Pictures and masks.
        flip: See `Segmenter.predict`.
        scales: Likewise.
        method: See `find_instances`.
        depth: Likewise.
        least_area: Likewise.

    Returns:
        What `count_agreement` does, "pictures", their number, and "f1" = 2 hits / (true + found) over all objects,
        where an object is hit by one that overlaps it by an IoU above 0.5.

    Raises:
        DataError: No picture has an instance map.
        ModelError: A segmenter without weights.
    """
    chosen = pictures_with_instances(dataset)
    if not chosen or dataset.code is None or dataset.code.other is None:
        raise DataError("instance maps of 16 bits", f"none in {dataset.root}", "measure with evaluate instead")
    name, scales = dataset.names[dataset.code.other], tuple(scales)
    true, told, hits = [], [], 0
    for index in chosen:
        there = true_instances(dataset, index)
        label_map = segmenter.predict(dataset.image(index), flip=flip, scales=scales)
        found = objects_of(label_map, name, method=method, depth=depth, least_area=least_area)
        hits += int(match_instances(there.labels, found.labels, iou_threshold=IOU_THRESHOLD)["hits"])
        true.append(len(there))
        told.append(len(found))
    objects = sum(true) + sum(told)
    return {**count_agreement(true, told), "pictures": len(chosen), "f1": 2 * hits / objects if objects else 1.0}


def _is_map(mask: Path) -> bool:
    raw = read_mask(mask)
    return raw.bits == 16 and raw.values.ndim == 2
