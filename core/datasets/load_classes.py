"""One call for every format of pictures with one class each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..checks import DataError, unknown
from . import cifar, class_folders, idx
from .classes import ClassDataset

READERS: dict[str, Callable[..., ClassDataset]] = {
    "folders": class_folders.read_class_folders,
    "idx": idx.read_idx_split,
    "cifar": cifar.read_cifar,
    "jpeg_npz": cifar.read_jpeg_npz,
}
SPLITS: dict[str, Callable[[Path], dict[str, Path]]] = {
    "idx": idx.splits,
    "cifar": cifar.splits,
    "jpeg_npz": cifar.npz_splits,
    "folders": class_folders.splits,
}


def load_classes(
    root: str | Path, split: str, *, format: str | None = None, names: Sequence[str] | None = None
) -> ClassDataset:
    """Read one split of pictures with one class each; nothing is ever written into its folder.

    Args:
        root: Folder of the dataset.
        split: "train", "val" or "test".
        format: A key of `READERS`; None recognises it by the files.
        names: Class names in the order of the class ids; None takes the format's own.

    Raises:
        DataError: Folder, split or file missing or damaged, or other classes than `names`.
        UsageError: A format that does not exist.
    """
    root, format = _format(root, format)
    return READERS[format](root, split, names=names)


def list_class_splits(root: str | Path, *, format: str | None = None) -> list[str]:
    """Name the splits that a dataset has; arguments and errors as `load_classes`."""
    root, format = _format(root, format)
    return list(SPLITS[format](root))


def training_class_splits(
    data: ClassDataset | str | Path, val: ClassDataset | None, names: tuple[str, ...], *, fixed: bool
) -> tuple[ClassDataset, ClassDataset | None]:
    """Read the training pictures and, where the dataset has them, the validation pictures.

    Args:
        data: A dataset, or the folder of one.
        val: Validation pictures, if not the folder's own.
        names: Classes of the classifier; empty where it has none yet.
        fixed: Other classes than `names` are an error, rather than the reason to learn those.

    Raises:
        DataError: Fewer than two classes to train on, or validation pictures of other classes.
    """
    if isinstance(data, ClassDataset):
        train = data
    else:
        train = load_classes(data, "train", names=names if fixed and names else None)
        if val is None and "val" in list_class_splits(data):
            val = load_classes(data, "val", names=train.names)
    seen = len(set(train.labels.tolist()))
    if seen < 2:
        got = f"{seen} in {len(train)} pictures"
        raise DataError("pictures of at least two classes to train on", got, "add pictures of another class")
    if fixed and names and train.names != names:
        raise DataError(f"pictures of the classes {names}", f"{train.names}", "read them with these names")
    if val is not None and len(val) == 0:
        raise DataError("validation pictures", f"none in {val.root}", "add some, or leave val out")
    if val is not None and val.names != train.names:
        fix = "read both splits with the same names"
        raise DataError(f"validation pictures of the classes {train.names}", f"{val.names}", fix)
    return train, val


def _format(root: str | Path, format: str | None) -> tuple[Path, str]:
    root = Path(root)
    if not root.is_dir():
        raise DataError("a folder with a dataset", f"nothing at {root}", "check the path")
    if format is not None and format not in READERS:
        raise unknown("format", format, READERS)
    found = format or next((name for name, splits in SPLITS.items() if splits(root)), None)
    if found is None:
        raise DataError(
            "class folders (train/CLASS/picture.jpg), idx files, CIFAR's .bin files or SPLIT.npz",
            f"none of them in {root}",
            "pass the folder that holds them",
        )
    return root, found
