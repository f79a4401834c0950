"""Pictures that a comparison would train on and measure on as well."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..core.checks import DataError, unknown
from ..core.datasets.classes import ClassDataset
from ..core.datasets.findings import Looked, copies, digests

SHARED = ("refuse", "drop", "keep")
"""What becomes of a picture that is in both sets."""
TOLD = 5
"""Pictures that are named."""
BETWEEN_SPLITS = ("shared between splits", "alike between splits")


def look(data: ClassDataset, index: int, image: NDArray[np.uint8], part: str) -> Looked:
    """Return what tells a picture, uint8 (H, W, 3), from others, as `striate doctor` sees it."""
    label = data.names[data.labels[index]]
    return Looked(data.source(index), part, label, image.shape[:2], False, *digests(image))


def shared_pictures(train: Sequence[Looked], test: Sequence[Looked], shared: str) -> tuple[list[int], list[str]]:
    """Find the pictures to train on whose pixels are those of a test picture.

    Args:
        train: Of each picture to train on.
        test: Of each to measure on.
        shared: One of `SHARED`.

    Returns:
        The places of those to leave out of training, none unless `shared` is "drop"; and a sentence for the report
        about such pictures, and one about those that only look alike.

    Raises:
        DataError: There are some, and `shared` is "refuse".
        UsageError: An unknown `shared`.
    """
    if shared not in SHARED:
        raise unknown("shared", shared, SHARED)
    pixels = {seen.pixels for seen in test}
    both = [i for i, seen in enumerate(train) if seen.pixels in pixels]
    told = [finding for finding in copies([*train, *test]) if finding.kind in BETWEEN_SPLITS]
    names = {finding.kind: "; ".join(finding.sources[:TOLD]) for finding in told}
    if both and shared == "refuse":
        fix = "take them out, or pass shared='drop' (not trained on) or 'keep' (--shared)"
        got = f"{len(both)} of {len(train)} in both: {names[BETWEEN_SPLITS[0]]}"
        raise DataError("pictures to train on that are not measured on", got, fix)
    lines = []
    if both:
        done = "left out of training" if shared == "drop" else "trained on all the same"
        lines.append(f"{len(both)} pictures are in both sets and were {done}: {names[BETWEEN_SPLITS[0]]}")
    lines += [f"{one.text}: {names[one.kind]}" for one in told if one.kind == BETWEEN_SPLITS[1]]
    return (both if shared == "drop" else []), lines
