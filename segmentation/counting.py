"""Objects counted on whole datasets: what a segmenter finds beside what instance maps say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..core.checks import UsageError, unknown
from ..core.datasets.masks import MaskDataset
from .inference import check_classes
from .instance_metrics import count_agreement, match_instances, numbered
from .instances import DEPTH, Instances, find_instances
from .label_map import LabelMap
from .metrics import BACKGROUND, SegmentationMetric
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


class ObjectCounts:
    """Objects found beside those that instance maps number, picture by picture.

    Args:
        name: Their class.
        method: See `find_instances`.
        depth: Likewise.
        least_area: Likewise.
    """

    def __init__(self, name: str, *, method: str = "watershed", depth: float = DEPTH, least_area: int = 1) -> None:
        self.name = name
        self.options: dict[str, Any] = {"method": method, "depth": depth, "least_area": least_area}
        self.true: list[int] = []
        self.found: list[int] = []
        self.hits = 0

    def update(self, there: Instances, label_map: LabelMap) -> None:
        """Count one picture."""
        found = objects_of(label_map, self.name, **self.options)
        self.hits += int(match_instances(there.labels, found.labels, iou_threshold=IOU_THRESHOLD)["hits"])
        self.true.append(len(there))
        self.found.append(len(found))

    def result(self) -> dict[str, Any]:
        """Return what `count_agreement` does, "pictures", their number, and "f1" = 2 hits / (true + found).

        An object is hit by one that overlaps it by an IoU above 0.5.
        """
        objects = sum(self.true) + sum(self.found)
        f1 = 2 * self.hits / objects if objects else 1.0
        return {**count_agreement(self.true, self.found), "pictures": len(self.true), "f1": f1}


def measure(
    segmenter: Segmenter,
    dataset: MaskDataset,
    *,
    boundary: bool = False,
    flip: bool = False,
    scales: Iterable[float] = (1.0,),
    method: str = "watershed",
    depth: float = DEPTH,
    least_area: int = 1,
) -> dict[str, Any]:
    """Measure labels, and count the objects of masks that are instance maps; every picture and mask is read once.

    Args:
        segmenter: With weights, of the dataset's classes.
        dataset: Pictures and masks.
        boundary: See `Segmenter.evaluate`.
        flip: Likewise.
        scales: Likewise.
        method: See `find_instances`.
        depth: Likewise.
        least_area: Likewise.

    Returns:
        What `Segmenter.evaluate` does, and "counts", `ObjectCounts.result`, None where no mask is an instance map.

    Raises:
        DataError: A dataset of other classes, or without pictures.
        ModelError: A segmenter without weights.
    """
    check_classes(dataset, segmenter.names)
    metric, scales = SegmentationMetric(dataset.names, boundary=boundary), tuple(scales)
    other = dataset.code.other if dataset.code is not None else None
    name = dataset.names[other] if other is not None and other < len(dataset.names) else ""
    counts = ObjectCounts(name, method=method, depth=depth, least_area=least_area)
    for index in range(len(dataset)):
        image, mask, raw = dataset.read(index)
        label_map = segmenter.predict(image, flip=flip, scales=scales)
        metric.update(mask, label_map.labels)
        there = numbered(raw, dataset.code) if name else None
        if there is not None:
            counts.update(there, label_map)
    return {**metric.result(), "counts": counts.result() if counts.true else None}
