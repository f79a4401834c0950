"""What a set of pictures with one class each is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..checks import DataError, UsageError
from ..images import load_image
from .labels import check_names


@dataclass(frozen=True)
class ClassDataset:
    """Pictures with one class each.

    Attributes:
        pictures: Paths, or the pictures themselves: uint8 (N, H, W) grey or (N, H, W, 3) RGB.
        labels: int64 (N,), indices into `names`.
        names: Class names in the order of the class ids.
        root: Folder of the dataset.
        split: Such as "train" or "test".
        format: "folders", "idx", "cifar", "jpeg_npz" or "arrays".
        report: One sentence for every file that was left out or looks wrong; the files stay as they are.
    """

    pictures: Sequence[Path] | NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    root: Path = Path()
    split: str = "train"
    format: str = "arrays"
    report: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_names(self.names)
        if len(self.pictures) != len(self.labels):
            raise DataError("a label for every picture", f"{len(self.pictures)} and {len(self.labels)}", "match them")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.names):
            got = f"labels from {self.labels.min()} to {self.labels.max()}"
            raise DataError(f"labels from 0 to {len(self.names) - 1}", got, "give all classes a name")

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return one picture, uint8 RGB (H, W, 3)."""
        return load_image(self.pictures[index])

    def source(self, index: int) -> str:
        """Name one picture: its path, or its place in the file."""
        picture = self.pictures[index]
        return str(picture) if isinstance(picture, Path) else f"{self.split} picture {index}"

    def counts(self) -> dict[str, int]:
        """Number of pictures of each class, zeros included."""
        totals = np.bincount(self.labels, minlength=len(self.names))
        return dict(zip(self.names, totals.tolist(), strict=True))

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> ClassDataset:
        """Return the pictures at `indices`, in that order."""
        chosen = np.asarray(indices, np.int64)
        pictures = self.pictures
        some = pictures[chosen] if isinstance(pictures, np.ndarray) else [pictures[i] for i in chosen]
        return replace(self, pictures=some, labels=self.labels[chosen])

    def split_off(self, share: float, seed: int = 0) -> tuple[ClassDataset, ClassDataset]:
        """Return the rest and a part of `share` of every class, at least one picture of each with two or more."""
        if not 0 < share < 1:
            raise UsageError("a share between 0 and 1", repr(share), "pass 0.1, say")
        rng = np.random.default_rng(seed)
        part: list[int] = []
        for class_id in range(len(self.names)):
            mine = rng.permutation(np.flatnonzero(self.labels == class_id))
            part += mine[: min(max(1, round(share * len(mine))), len(mine) - 1)].tolist() if len(mine) > 1 else []
        rest = np.setdiff1d(np.arange(len(self)), part)
        return self.subset(rest), replace(self.subset(sorted(part)), split="val")

    def fingerprint(self) -> str:
        """Digest of names, labels and pictures (file names and sizes, or pixels)."""
        digest = hashlib.sha256(repr(self.names).encode())
        digest.update(self.labels.tobytes())
        if isinstance(self.pictures, np.ndarray):
            digest.update(repr(self.pictures.shape).encode())
            digest.update(np.ascontiguousarray(self.pictures).data)
        else:
            for path in self.pictures:
                digest.update(f"{path.parent.name}/{path.name} {path.stat().st_size}".encode())
        return digest.hexdigest()


def from_arrays(pictures: NDArray[np.uint8], labels: Sequence[int], names: Sequence[str] = ()) -> ClassDataset:
    """Make a dataset of arrays.

    Args:
        pictures: uint8 (N, H, W) grey or (N, H, W, 3) RGB.
        labels: Whole numbers from 0, one a picture.
        names: Class names; empty gives "0", "1", ...

    Raises:
        DataError: Another shape or dtype, or labels that are no class ids (NaN among them).
    """
    if (
        not isinstance(pictures, np.ndarray)
        or pictures.dtype != np.uint8
        or pictures.ndim not in (3, 4)
        or (pictures.ndim == 4 and pictures.shape[3] != 3)
    ):
        got = f"{getattr(pictures, 'dtype', type(pictures).__name__)} {np.shape(pictures)[:4]}"
        raise DataError("pictures as uint8 (N, H, W) or (N, H, W, 3)", got, "convert and transpose them")
    given = np.asarray(labels)
    if given.ndim != 1 or not np.issubdtype(given.dtype, np.number) or not np.array_equal(given, np.floor(given)):
        got = f"{given.dtype} {given.shape}" + (
            ", some NaN" if given.dtype.kind == "f" and np.isnan(given).any() else ""
        )
        raise DataError("one whole number from 0 for every picture", got, "number the classes from 0")
    ids = given.astype(np.int64)
    if not names and len(ids) and ids.max() >= max(len(ids), 2):
        raise DataError(f"labels below {len(ids)}, the number of pictures", f"{ids.max()}", "number the classes from 0")
    return ClassDataset(pictures, ids, tuple(names) or tuple(str(i) for i in range(int(ids.max(initial=0)) + 1)))
