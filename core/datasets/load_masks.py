"""One call for every format of pictures with a class for every pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..checks import DataError, ImageError, unknown
from ..images import image_size
from . import coco
from .class_list import ClassList, find_class_list, read_class_list, with_names
from .labels import check_names
from .mask_code import MaskCode, one_channel
from .mask_files import IGNORE, read_mask
from .mask_layouts import (
    CAMVID_NAMES,
    VOC_NAMES,
    Fault,
    Pairs,
    camvid_splits,
    folder_splits,
    match_folders,
    match_voc,
    voc_splits,
)
from .mask_polygons import read_polygons, refuse
from .masks import MaskDataset, size_error
from .splits import validation_split

POLICIES = ("error", "leave_out")
LOOKED_AT = 8
"""Masks that are read to see what kind their values are."""
FOREGROUND = ("background", "foreground")
INSTANCES = (
    "masks of 16 bits are taken for instance maps, every value above 0 for an object of one class; if the values are "
    "class ids, write classes.txt into the folder, one line 'VALUE NAME' for each"
)
SPLITS: dict[str, Callable[[Path], Sequence[str]]] = {
    "camvid": lambda root: list(camvid_splits(root)),
    "voc": lambda root: list(voc_splits(root)),
    "folders": lambda root: list(folder_splits(root)),
    "coco": coco.splits,
}
PAIRS: dict[str, Callable[[Path, str], Pairs]] = {
    "camvid": lambda root, split: match_folders(root, split, camvid_splits),
    "voc": match_voc,
    "folders": lambda root, split: match_folders(root, split, folder_splits),
}


def load_masks(
    root: str | Path,
    split: str,
    *,
    names: Sequence[str] | None = None,
    format: str | None = None,
    on_fault: str = "error",
) -> MaskDataset:
    """Read one split of pictures and masks; nothing is ever written into its folder.

    A class list beside the folders says what the values mean (see `class_list`). Without one, 16-bit and 1-bit masks
    are background and foreground (instance maps), VOC and CamVid have their own names, and `names` names the values
    from 0; 255 is ignored, and in CamVid the value behind its eleven classes.

    Args:
        root: Folder of the dataset.
        split: Such as "train" or "val".
        names: Classes in the order of their ids; with a class list it chooses among its classes, and pixels of the
            others are ignored.
        format: A key of `SPLITS`; None recognises it by the layout.
        on_fault: "error" raises on a picture without a mask, a mask without a picture, a file that cannot be read and a
            mask of another size; "leave_out" leaves these out, and names them in `report`.

    Raises:
        DataError: Folder, split or names missing, or a fault as above.
        UsageError: A format or policy that does not exist.
    """
    if on_fault not in POLICIES:
        raise unknown("on_fault", on_fault, POLICIES)
    root, format = _format(root, format)
    names = None if names is None else check_names(names)
    if format == "coco":
        return read_polygons(root, split, names=names, on_fault=on_fault)
    pairs = readable_pairs(root, split, format)
    refuse(pairs.faults, on_fault)
    if not pairs.pictures:
        first = f" ({pairs.faults[0].error})" if pairs.faults else ""
        raise DataError(f"at least one picture with its mask in split {split!r}", f"none in {root}{first}", "add some")
    meaning = meaning_of(root, pairs.masks, format=format, names=names)
    report = [str(fault) for fault in pairs.faults] + ([meaning.remark] if meaning.remark else [])
    return MaskDataset(
        pairs.pictures, pairs.masks, meaning.names, meaning.colours, root, split, format, report, meaning.code
    )


def list_mask_splits(root: str | Path, *, format: str | None = None) -> list[str]:
    """Name the splits that a dataset has; arguments and errors as `load_masks`."""
    root, format = _format(root, format)
    return list(SPLITS[format](root))


def training_mask_splits(
    data: MaskDataset | str | Path, val: MaskDataset | None = None, *, names: Sequence[str] | None = None
) -> tuple[MaskDataset, MaskDataset | None]:
    """Read the training pictures and, where the dataset has them, the validation pictures.

    Args:
        data: A dataset, or the folder of one.
        val: Validation pictures, if not the folder's own.
        names: Classes that the masks must have; None takes the dataset's own.

    Raises:
        DataError: No pictures, other classes than `names`, or validation pictures of other classes, or none.
    """
    if isinstance(data, MaskDataset):
        train = data
    else:
        train = load_masks(data, "train", names=names)
        judge = validation_split(list_mask_splits(data)) if val is None else None
        val = val if judge is None else load_masks(data, judge, names=train.names)
    if not len(train):
        raise DataError("pictures to train on", f"none in {train.root}", "add some")
    if names is not None and train.names != tuple(names):
        raise DataError(f"masks of the classes {tuple(names)}", f"{train.names}", "read them with these names")
    if val is not None and len(val) == 0:
        raise DataError("validation pictures", f"none in {val.root}", "add some, or leave val out")
    if val is not None and val.names != train.names:
        fix = "read both splits with the same names"
        raise DataError(f"validation masks of the classes {train.names}", f"{val.names}", fix)
    return train, val


def readable_pairs(root: Path, split: str, format: str) -> Pairs:
    """Match pictures and masks and look at their headers; files without partner, of two sizes or damaged are faults."""
    found = PAIRS[format](root, split)
    kept = Pairs(faults=found.faults)
    for picture, mask in zip(found.pictures, found.masks, strict=True):
        try:
            size, mask_size = image_size(picture), image_size(mask)
        except ImageError as error:
            kept.faults.append(Fault("unreadable", str(picture), error))
            continue
        if size != mask_size:
            kept.faults.append(Fault("size mismatch", str(mask), size_error(str(mask), mask_size, size)))
            continue
        kept.pictures.append(picture)
        kept.masks.append(mask)
    return kept


def meaning_of(root: Path, masks: list[Path], *, format: str, names: tuple[str, ...] | None = None) -> ClassList:
    """Find out what the values mean: class list, then names, then what the masks themselves leave no doubt about."""
    path = find_class_list(root)
    if path is not None:
        found = read_class_list(path)
        return found if names is None else with_names(found, names)
    bits, values = _values_in(masks)
    if bits != 8 and (names is None or len(names) == 2):
        return ClassList(names or FOREGROUND, MaskCode.foreground(), remark=INSTANCES if bits == 16 else "")
    if names is None:
        names = {"voc": VOC_NAMES, "camvid": CAMVID_NAMES}.get(format)
    if values in ([0, 255], [255]):
        got = f"only {' and '.join(map(str, values))} in masks of {root}"
        fix = "write classes.txt into that folder with the lines '0 background' and '255 foreground'"
        raise DataError("class ids from 0, and 255 for pixels that count for nothing", got, fix)
    if names is None:
        lines = ", ".join(f"'{value} NAME'" for value in values[:4]) + (", ..." if len(values) > 4 else "")
        fix = (
            f"write classes.txt into that folder with the lines {lines} ('* NAME' stands for all others), or pass names"
        )
        raise DataError("names of the classes", f"no class list in {root}", fix)
    code = MaskCode.identity(len(names))
    if format == "camvid" and len(names) == len(CAMVID_NAMES):
        code = MaskCode((*code.values, (len(names), IGNORE)))
    return ClassList(names, code)


def _values_in(masks: list[Path]) -> tuple[int, list[int]]:
    """Look at a few masks, evenly spread: the bits of a pixel (1, 8 or 16), and the values, sorted."""
    bits, values = 1, set[int]()
    for path in masks[:: -(-len(masks) // LOOKED_AT)]:
        raw = read_mask(path)
        bits = max(bits, raw.bits)
        values |= set(np.unique(one_channel(raw.values, str(path))).tolist())
    return bits, sorted(values)


def mask_format(root: Path) -> str | None:
    """Name the format of a folder whose masks are files; None where there are none, or no such folder."""
    return next((name for name in PAIRS if root.is_dir() and SPLITS[name](root)), None)


def _format(root: str | Path, format: str | None) -> tuple[Path, str]:
    root = Path(root)
    if not root.is_dir():
        raise DataError("a folder with a dataset", f"nothing at {root}", "check the path")
    if format is not None and format not in SPLITS:
        raise unknown("format", format, SPLITS)
    files = [name for name in PAIRS if SPLITS[name](root)]
    # JSON files lie beside masks in many folders; alone they are COCO's.
    found = [format] if format else files or (["coco"] if coco.splits(root) else [])
    if len(found) > 1:
        raise DataError("a folder of one format", f"{' and '.join(found)} in {root}", f"pass format={found[0]!r}")
    if not found:
        raise DataError(
            "images/ + masks/ (or labels/), train/ + trainannot/ (CamVid), JPEGImages/ + SegmentationClass/ (VOC) or "
            "annotations/*.json (COCO)",
            f"none of them in {root}",
            "pass the folder that holds them",
        )
    return root, found[0]
