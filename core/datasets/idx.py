"""idx files, as MNIST and Fashion-MNIST come in: plain, .gz or .xz.

A file is `00 00 TYPE DIMENSIONS`, each dimension as a big-endian uint32, then the data (LeCun's page of MNIST).
"""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import DataError
from .classes import ClassDataset

PREFIXES = {"train": "train", "test": "t10k"}
OPENERS: dict[str, Callable[..., Any]] = {"": Path.open, ".gz": gzip.open, ".xz": lzma.open}
MAX_BYTES = 2**31
FASHION = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def splits(root: Path) -> dict[str, Path]:
    """Return the folder for each split whose pictures are there."""
    return {split: root for split, prefix in PREFIXES.items() if _find(root, f"{prefix}-images-idx3-ubyte")}


def read_idx_split(root: Path, split: str, *, names: Sequence[str] | None = None) -> ClassDataset:
    """Read one split of MNIST or of a set in its format.

    Args:
        root: Folder with {train,t10k}-{images-idx3,labels-idx1}-ubyte, each also as .gz or .xz.
        split: "train" or "test".
        names: Class names; None gives "0", "1", ..., and Fashion-MNIST's own for a folder whose name has "fashion".

    Raises:
        DataError: A file that is missing, truncated, too large or of another format.
    """
    if split not in splits(root):
        got = f"{', '.join(splits(root)) or 'none'} in {root}"
        raise DataError(f"idx files of a split {split!r}", got, "choose another split")
    pictures = read_idx(root, f"{PREFIXES[split]}-images-idx3-ubyte", 3)
    labels = read_idx(root, f"{PREFIXES[split]}-labels-idx1-ubyte", 1).astype(np.int64)
    if names is None:
        count = max(10, int(labels.max(initial=0)) + 1)
        fashion = "fashion" in root.resolve().name.lower() and count == 10
        names = FASHION if fashion else [str(i) for i in range(count)]
    return ClassDataset(pictures, labels, tuple(names), root, split, "idx")


def read_idx(root: Path, name: str, dimensions: int) -> NDArray[np.uint8]:
    """Read one file of bytes; returns uint8 of the shape that the file states."""
    path = _find(root, name)
    if path is None:
        raise DataError(f"{name}, plain or as .gz or .xz", f"none in {root}", "put it there")
    try:
        with OPENERS[path.suffix if path.suffix in OPENERS else ""](path, "rb") as file:
            head = file.read(4 + 4 * dimensions)
            shape = tuple(int.from_bytes(head[i : i + 4], "big") for i in range(4, len(head), 4))
            size = int(np.prod(shape, dtype=object)) if shape else 0
            if head[:4] != bytes((0, 0, 8, dimensions)) or size > MAX_BYTES:
                raise _wrong(path, f"a header of {head.hex(' ')}")
            data = file.read(size + 1)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise _wrong(path, str(error) or type(error).__name__) from error
    if len(data) != size:
        raise _wrong(path, f"{'more than ' if len(data) > size else ''}{min(len(data), size)} bytes for {shape}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _find(root: Path, name: str) -> Path | None:
    return next((path for suffix in OPENERS if (path := root / f"{name}{suffix}").is_file()), None)


def _wrong(path: Path, got: Any) -> DataError:
    return DataError("an undamaged idx file of bytes", f"{got} in {path}", "fetch the file again")
