"""CIFAR-10 and CIFAR-100 in the binary version, and sets of JPEG streams in one npz file."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arrays import read_npz
from ..checks import DataError, ImageError
from ..images import load_image
from .classes import ClassDataset

SIDE = 32
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MAX_PICTURES = 10_000_000
MOST_BYTES = 8 * 2**30


def _binary_files(root: Path, split: str) -> list[Path]:
    """CIFAR-10's data_batch_1..5.bin and test_batch.bin, or CIFAR-100's train.bin and test.bin."""
    ten = sorted(root.glob("data_batch_*.bin")) if split == "train" else [root / "test_batch.bin"]
    return [path for path in ten if path.is_file()] or [path for path in [root / f"{split}.bin"] if path.is_file()]


def splits(root: Path) -> dict[str, Path]:
    """Return the folder for each split that is there in the binary version."""
    return {split: root for split in ("train", "test") if _binary_files(root, split)}


def npz_splits(root: Path) -> dict[str, Path]:
    """Return the npz file of each split."""
    names = ("train", "val", "test")
    return {split: root / f"{split}.npz" for split in names if (root / f"{split}.npz").is_file()}


def read_cifar(root: Path, split: str, *, names: Sequence[str] | None = None) -> ClassDataset:
    """Read the binary version: a label byte (CIFAR-100: coarse, then fine), then 3 x 32 x 32 bytes, plane by plane.

    The Python version is pickled, and unpickling can execute anything: it is not read.

    Args:
        root: Folder of the .bin files.
        split: "train" or "test".
        names: Class names; None reads batches.meta.txt or fine_label_names.txt beside the files.

    Raises:
        DataError: A file that is missing or of another length.
    """
    files = _binary_files(root, split)
    if not files:
        raise DataError(f"CIFAR's binary files of a split {split!r}", f"none in {root}", "fetch the binary version")
    label_bytes = 1 if "batch" in files[0].name else 2
    record = label_bytes + 3 * SIDE * SIDE
    rows = []
    for path in files:
        data = np.fromfile(path, np.uint8)
        if len(data) == 0 or len(data) % record:
            raise DataError(f"a multiple of {record} bytes", f"{len(data)} in {path}", "fetch the file again")
        rows.append(data.reshape(-1, record))
    table = np.concatenate(rows)
    pictures = table[:, label_bytes:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    labels = table[:, label_bytes - 1].astype(np.int64)
    if names is None:
        listed = root / ("batches.meta.txt" if label_bytes == 1 else "fine_label_names.txt")
        text = listed.read_text(encoding="utf-8").split() if listed.is_file() else []
        names = text or (CIFAR10 if label_bytes == 1 else [str(i) for i in range(100)])
    return ClassDataset(np.ascontiguousarray(pictures), labels, tuple(names), root, split, "cifar")


def read_jpeg_npz(root: Path, split: str, *, names: Sequence[str] | None = None) -> ClassDataset:
    """Read SPLIT.npz: `jpeg` all streams end to end, `offset` (N + 1), `label` (N), `classes`; pictures of one size.

    Raises:
        DataError: A file that is damaged or lacks an array, a stream that is no picture, or pictures of several sizes.
    """
    path = root / f"{split}.npz"
    try:
        file = read_npz(path, MOST_BYTES)
        jpeg, offset, label = file["jpeg"], file["offset"], file["label"].astype(np.int64)
        classes = tuple(str(name) for name in file["classes"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        fix = "write it with these arrays"
        raise DataError("an npz file of jpeg, offset, label and classes", f"{path}: {error}", fix) from error
    good = (
        0 < len(label) <= MAX_PICTURES and len(offset) == len(label) + 1 and offset[0] == 0 and offset[-1] == len(jpeg)
    )
    if not good or (np.diff(offset) <= 0).any():
        raise DataError("rising offsets, one more than labels", f"others in {path}", "write the file again")
    pictures = decode_streams(jpeg, offset, path)
    return ClassDataset(pictures, label, tuple(names or classes), root, split, "jpeg_npz")


def decode_streams(data: NDArray[np.uint8], offset: NDArray[np.int64], path: Path) -> NDArray[np.uint8]:
    """Decode picture i from data[offset[i]:offset[i + 1]]; returns uint8 (N, H, W, 3)."""
    first = load_image(data[: offset[1]].tobytes())
    if first.nbytes * (len(offset) - 1) > MOST_BYTES:
        got = f"{len(offset) - 1} of {first.shape} in {path}"
        raise DataError(f"pictures that fit into {MOST_BYTES} bytes", got, "split the file")
    pictures = np.empty((len(offset) - 1, *first.shape), np.uint8)
    for i in range(len(pictures)):
        try:
            picture = load_image(data[offset[i] : offset[i + 1]].tobytes())
        except ImageError as error:
            raise DataError(f"a picture at {i}", f"{error.got} in {path}", "write the file again") from error
        if picture.shape != first.shape:
            raise DataError(f"pictures of {first.shape}", f"{picture.shape} at {i} in {path}", "write them in one size")
        pictures[i] = picture
    return pictures
