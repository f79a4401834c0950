"""What is wrong with COCO's polygons and run lengths before anyone trains on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np

from ..checks import DataError, StriateError
from .findings import Finding, finding
from .mask_doctor import MaskLooked, class_findings, fault_findings
from .mask_files import IGNORE
from .mask_layouts import Fault
from .mask_polygons import WITHOUT, Regions, find_polygons
from .masks import MaskDataset


def examine_polygons(
    root: Path, splits: list[str], *, on_progress: Callable[[int, int], None] | None = None
) -> list[Finding]:
    """Draw the masks of all splits of a COCO folder; one whose annotations are boxes only has no findings.

    Args:
        root: Folder of the dataset.
        splits: Names of its splits.
        on_progress: Called with (masks drawn, masks in all).
    """
    findings: list[Finding] = []
    found: dict[str, tuple[MaskDataset, list[Fault]]] = {}
    for split in splits:
        try:
            dataset, faults = find_polygons(root, split)
        except StriateError as error:  # a note: it may be there for its boxes only
            findings.append(Finding("note", "no masks", f"split {split!r} cannot be read as masks: {error}"))
            continue
        if not _boxes_only(dataset, faults):
            found[split] = dataset, faults
    total, done = sum(len(dataset) for dataset, _ in found.values()), 0
    for split, (dataset, faults) in found.items():
        looked: list[MaskLooked] = []
        for index in range(len(dataset)):
            try:
                looked.append(_look(dataset, index))
            except DataError as error:
                faults.append(Fault("annotation", dataset.source(index), error))
            done += 1
            if on_progress is not None:
                on_progress(done, total)
        findings += fault_findings(split, faults) + _without_pixels(split, dataset)
        findings += class_findings(split, looked, dataset.names)
    return findings


def _boxes_only(dataset: MaskDataset, faults: list[Fault]) -> bool:
    """Whether no annotation has a segmentation, not even a damaged one, or one of a picture of another size."""
    kinds = {fault.kind for fault in faults}
    if "annotation" in kinds or any(cast(Regions, mask).regions for mask in dataset.masks):
        return False
    return WITHOUT in kinds or "size mismatch" not in kinds


def _look(dataset: MaskDataset, index: int) -> MaskLooked:
    pixels = np.bincount(dataset.mask(index).ravel(), minlength=IGNORE + 1)
    shares = {value: float(pixels[value] / pixels.sum()) for value in np.flatnonzero(pixels).tolist()}
    classes = np.append(pixels[: len(dataset.names)], pixels[IGNORE])
    return MaskLooked(dataset.source(index), shares, {}, classes)


def _without_pixels(split: str, dataset: MaskDataset) -> list[Finding]:
    """Find objects that lie outside their picture, or are too thin to hold the middle of a pixel."""
    lost = []
    for index, mask in enumerate(dataset.masks):
        regions = cast(Regions, mask)
        count = sum(region.is_empty(regions.size) for region in regions.regions)
        if count:
            lost.append(f"{dataset.source(index)}: {count} of {len(regions.regions)}")
    if not lost:
        return []
    text = f"{split}: objects without a pixel in {len(lost)} pictures: outside of them, or too thin"
    return [finding("note", "objects without pixels", text, lost)]
