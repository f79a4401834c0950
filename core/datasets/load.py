"""One call for every format of boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..checks import DataError, unknown
from . import coco, voc, yolo_layout
from .boxes import BoxDataset
from .coco import read_coco
from .voc import read_voc
from .yolo import read_yolo
from .yolo_layout import find_yaml, split_folders

READERS: dict[str, Callable[..., BoxDataset]] = {"voc": read_voc, "yolo": read_yolo, "coco": read_coco}
SPLITS: dict[str, Callable[[Path], list[str]]] = {"voc": voc.splits, "yolo": yolo_layout.splits, "coco": coco.splits}


def load_boxes(
    root: str | Path,
    split: str,
    *,
    format: str | None = None,
    names: Sequence[str] | None = None,
    on_bad_label: str = "drop_box",
) -> BoxDataset:
    """Read one split of a dataset with boxes; nothing is ever written into its folder.

    Args:
        root: Folder of the dataset, or the YAML file of a YOLO dataset.
        split: Such as "train" or "val".
        format: "voc", "yolo" or "coco"; None recognises it by the layout, see `recognise`.
        names: Class names in the order of the class ids; boxes of other classes are bad labels. None takes the
            format's own: COCO's categories by id, YOLO's names, for VOC the sorted names of the train split.
        on_bad_label: "error", "drop_box" or "drop_image", see `labels.assemble`.

    Raises:
        DataError: Folder, split, picture or annotation missing or damaged.
        UsageError: A format or policy that does not exist.
    """
    root, format = _format(root, format)
    return READERS[format](root, split, names=names, on_bad_label=on_bad_label)


def list_splits(root: str | Path, *, format: str | None = None) -> list[str]:
    """Name the splits that a dataset has; arguments and errors as `load_boxes`."""
    root, format = _format(root, format)
    return SPLITS[format](root)


def _format(root: str | Path, format: str | None) -> tuple[Path, str]:
    root = Path(root)
    if not root.exists():
        raise DataError("a folder with a dataset", f"nothing at {root}", "check the path")
    if format is not None and format not in READERS:
        raise unknown("format", format, READERS)
    return root, format or recognise(root)


def recognise(root: Path) -> str:
    """Name the format of a folder by its layout.

    Raises:
        DataError: It fits none, or more than one.
    """
    if root.is_file():
        if root.suffix in (".yaml", ".yml"):
            return "yolo"
        raise DataError("a folder, or the YAML file of a YOLO dataset", f"{root}", "pass the folder of the dataset")
    fits = {
        "voc": (root / "Annotations").is_dir() and (root / "ImageSets").is_dir(),
        "yolo": find_yaml(root) is not None or bool(split_folders(root)),
        "coco": any((root / "annotations").glob("*.json")) or any(root.glob("*.json")),
    }
    found = [name for name, fit in fits.items() if fit]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError("a folder of one format", f"{' and '.join(found)} in {root}", f"pass format={found[0]!r}")
    raise DataError(
        "Annotations + ImageSets + JPEGImages (VOC), images + labels (YOLO) or annotations/*.json (COCO)",
        f"none of them in {root}",
        "pass the folder that holds them",
    )
