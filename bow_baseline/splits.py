"""Which pictures a comparison trains on and measures on: the same for all contenders."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.checks import DataError, ImageError, UsageError
from ..core.datasets.class_folders import check_unreadable
from ..core.datasets.classes import ClassDataset
from ..core.datasets.findings import Looked
from ..core.datasets.load_classes import list_class_splits, load_classes
from ..core.images import load_image
from .overlap import look, shared_pictures

TEST_SHARE = 0.3


def train_and_test(
    data: str | Path, *, split: str | None = None, test_share: float = TEST_SHARE, seed: int = 0
) -> tuple[ClassDataset, ClassDataset]:
    """Read a dataset's pictures to train on and to measure on.

    Args:
        data: Folder of the dataset.
        split: To measure on; None takes "test", else "val", and where there is neither `test_share` of every class.
        test_share: See `split`.
        seed: Of that division.

    Raises:
        DataError: No such split, or other faults of the dataset.
        UsageError: A share outside (0, 1).
    """
    if split == "train":
        raise UsageError("a split to measure on", "'train', which is trained on", "choose another, or leave it out")
    train, splits = load_classes(data, "train"), list_class_splits(data)
    chosen = split or next((name for name in ("test", "val") if name in splits), None)
    if chosen is not None:
        return train, load_classes(data, chosen, names=train.names)
    rest, part = train.split_off(test_share, seed)
    return rest, replace(part, split="test")


class Readable(NamedTuple):
    """What was read of a set.

    Attributes:
        data: The pictures that can be read.
        digest: Of their content, names and labels.
        seen: What tells each from others.
    """

    data: ClassDataset
    digest: str
    seen: list[Looked]


def readable(data: ClassDataset, part: str = "train") -> Readable:
    """Read every picture once; files that cannot be read are left out, and the result's report names them.

    Args:
        data: The set.
        part: "train" or "test".

    Raises:
        DataError: Too many of them.
    """
    digest, good, bad = hashlib.sha256(repr(data.names).encode()), [], []
    seen = []
    for i in range(len(data)):
        picture = data.pictures[i]
        try:
            content = picture.read_bytes() if isinstance(picture, Path) else np.ascontiguousarray(picture).tobytes()
            image = load_image(content if isinstance(picture, Path) else picture)
        except (ImageError, OSError) as error:
            bad.append(f"unreadable, left out: {data.source(i)}: {getattr(error, 'got', error)}")
            continue
        good.append(i)
        seen.append(look(data, i, image, part))
        digest.update(f"{image.shape} {data.labels[i]} {len(content)} ".encode() + content)
    if bad:
        check_unreadable(len(bad), len(data), bad)
        data = replace(data.subset(good), report=[*data.report, *bad])
    return Readable(data, digest.hexdigest(), seen)


def prepared(
    train: ClassDataset, test: ClassDataset, per_class: tuple[int, ...], shared: str
) -> tuple[Readable, Readable, list[str]]:
    """Read both sets of a comparison and check that they go together; see `overlap.shared_pictures` for `shared`.

    Returns:
        Both, and sentences about pictures that are in both.

    Raises:
        DataError: See `readable`, `check_classes` and `overlap.shared_pictures`.
        UsageError: Likewise.
    """
    learned, asked = readable(train), readable(test, "test")
    drop, notices = shared_pictures(learned.seen, asked.seen, shared)
    if drop:
        rest = np.setdiff1d(np.arange(len(learned.data)), drop)
        learned = readable(learned.data.subset(rest))
    check_classes(learned.data, asked.data, per_class)
    return learned, asked, notices


def check_classes(train: ClassDataset, test: ClassDataset, per_class: tuple[int, ...]) -> None:
    """Raise unless contenders can be trained on the one set and measured on the other.

    Raises:
        DataError: Other classes in the test set, fewer than two classes, a class with fewer than two pictures to train
            on, nothing to measure on, or fewer pictures of a class than a learning curve asks for.
        UsageError: A learning curve at fewer than two pictures a class.
    """
    if train.names != test.names:
        fix = "read both with the same names"
        raise DataError(f"test pictures of the classes {train.names}", f"{test.names}", fix)
    counts = train.counts()
    if len(counts) < 2:
        raise DataError("at least two classes", f"{len(counts)}", "add pictures of another class")
    name, least = min(counts.items(), key=lambda item: item[1])
    if least < 2:
        fix = "add pictures of it, or leave the class out"
        raise DataError("at least two pictures of each class to train on", f"{least} of {name!r}", fix)
    if len(test) == 0:
        raise DataError("pictures to measure on", f"none in {test.root}", "choose another split")
    for count in per_class:
        if count < 2:
            raise UsageError("learning curves from two pictures a class", repr(count), "pass larger numbers")
        if count > least:
            fix = f"ask for at most {least}; the whole set is measured anyway"
            raise DataError(f"{count} pictures of each class", f"{least} of {name!r}", fix)


def some_per_class(data: ClassDataset, count: int | None, seed: int) -> ClassDataset:
    """Return `count` pictures of each class, None for all; those of a smaller count are among those of a larger one."""
    return data if count is None else data.subset(np.sort(_chosen(data, count, seed)))


def stratified(data: ClassDataset, most: int | None, seed: int = 0) -> ClassDataset:
    """Return at most `most` pictures a class on average, None for all: each class keeps its share, and at least two."""
    share = 1.0 if most is None else most * len(data.names) / max(len(data), 1)
    if share >= 1:
        return data
    rng = np.random.default_rng(seed)
    kept = []
    for class_id in range(len(data.names)):
        mine = rng.permutation(np.flatnonzero(data.labels == class_id))
        kept.append(mine[: max(2, round(share * len(mine)))])
    return data.subset(np.sort(np.concatenate(kept)))


def _chosen(data: ClassDataset, count: int, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(np.flatnonzero(data.labels == class_id)) for class_id in range(len(data.names))]
    return np.concatenate([order[:count] for order in orders])
