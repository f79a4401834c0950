"""How well single objects are found: whether their numbers agree, and whether each is the right one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.checks import DataError, UsageError
from ..core.datasets.mask_code import MaskCode
from ..core.datasets.mask_files import RawMask
from ..core.datasets.masks import MaskDataset
from .instances import Instances, renumber


def true_instances(dataset: MaskDataset, index: int) -> Instances:
    """Return the objects of an instance map, as a 16-bit mask numbers them.

    Raises:
        DataError: The mask is no instance map but holds class ids.
    """
    found = numbered(dataset.read(index).raw, dataset.code)
    if found is None:
        got = f"class ids: {dataset.mask_source(index)}"
        raise DataError("an instance map of 16 bits", got, "count with find_instances instead")
    return found


def numbered(raw: RawMask | None, code: MaskCode | None) -> Instances | None:
    """Return the objects that a mask's file numbers, None where it holds class ids.

    Args:
        raw: What the file holds; None for a mask that is no file.
        code: What its values mean.
    """
    if raw is None or raw.bits != 16 or raw.values.ndim != 2 or code is None or code.other is None:
        return None
    return Instances(renumber(raw.values.astype(np.int32)))


def count_agreement(true: Sequence[int], found: Sequence[int]) -> dict[str, float]:
    """Compare the numbers of objects, picture by picture.

    Args:
        true: How many there are.
        found: How many were found.

    Returns:
        "true" and "found", sums; "relative_error", (found - true) / true of the sums, in which pictures make up for
        each other; "mean_relative_error", mean of |found - true| / max(true, 1) over the pictures, in which they do
        not; "within_tenth", share of the pictures off by at most 10 %.

    Raises:
        DataError: Of different lengths, or empty.
    """
    if len(true) != len(found) or not len(true):
        raise DataError("two counts for every picture", f"{len(true)} and {len(found)}", "match them")
    there, told = np.asarray(true, np.float64), np.asarray(found, np.float64)
    errors = np.abs(told - there) / np.maximum(there, 1)
    return {
        "true": int(there.sum()),
        "found": int(told.sum()),
        "relative_error": float((told.sum() - there.sum()) / max(there.sum(), 1)),
        "mean_relative_error": float(errors.mean()),
        "within_tenth": float((errors <= 0.1).mean()),
    }


def match_instances(
    true: NDArray[np.integer[Any]], found: NDArray[np.integer[Any]], *, iou_threshold: float = 0.5
) -> dict[str, float]:
    """Count the objects that are found: a true and a found one overlap by more than `iou_threshold`, or are the same.

    Args:
        true: (H, W), 0 is background, objects numbered from 1.
        found: Likewise, same shape.
        iou_threshold: From 0.5, where no object can have two partners (Kirillov et al. 2019, panoptic quality), to 1,
            which asks for the same pixels.

    Returns:
        "hits", "true", "found", "f1" = 2 hits / (true + found) (1 where there is nothing and nothing was found), and
        "iou", the mean over the hits (0 without any).

    Raises:
        DataError: Shapes that differ. UsageError: Another threshold.
    """
    if not 0.5 <= iou_threshold <= 1:
        fix = "pass 0.5, say: below it partners are not clear"
        raise UsageError("an iou_threshold from 0.5 to 1", repr(iou_threshold), fix)
    if true.shape != found.shape:
        raise DataError("two maps of one size", f"{true.shape} and {found.shape}", "scale the found one back")
    there, told = int(true.max(initial=0)), int(found.max(initial=0))
    pairs = true.astype(np.int64).ravel() * (told + 1) + found.ravel()
    keys, both = np.unique(pairs, return_counts=True)
    first, second = keys // (told + 1), keys % (told + 1)
    area = np.bincount(true.ravel(), minlength=there + 1)
    other = np.bincount(found.ravel(), minlength=told + 1)
    iou = both / (area[first] + other[second] - both)
    hit = (first > 0) & (second > 0) & ((iou > iou_threshold) | (iou == 1))
    counts = int((area[1:] > 0).sum()), int((other[1:] > 0).sum())
    f1 = 2 * int(hit.sum()) / sum(counts) if sum(counts) else 1.0
    return {
        "hits": int(hit.sum()),
        "true": counts[0],
        "found": counts[1],
        "f1": f1,
        "iou": float(iou[hit].mean()) if hit.any() else 0.0,
    }
