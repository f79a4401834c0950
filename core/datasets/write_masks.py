"""Writes pictures and masks as folders: images/SPLIT/ beside masks/SPLIT/, PNG with a palette, and classes.txt."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ..atomic import atomic_write
from ..checks import DataError, SaveError
from ..images import SUFFIXES, save_image
from .class_list import find_class_list, is_readable
from .mask_files import save_mask
from .mask_layouts import MASK_FOLDERS
from .masks import MaskDataset


def write_masks(dataset: MaskDataset, folder: str | Path) -> Path:
    """Write one split so that `load_masks` gives it back; classes.txt, which makes it readable, comes last.

    Pictures that are files are copied as they are, others become PNG. A second split goes into the same folder.

    Args:
        dataset: What to write; all of it is read, and so checked, before the first file is written.
        folder: New, or one that this function made from a dataset with the same names.

    Returns:
        The folder.

    Raises:
        DataError: A folder inside the dataset, a split that is there already or has no name for a folder, other classes
            than in the folder, class names that a class list would read as something else, two pictures of one name,
            one whose name no reader takes for a picture's.
        SaveError: The disk is full or read-only.
    """
    folder = Path(folder)
    _check(dataset, folder)
    stems = [f"{i:06d}" if not isinstance(p, Path) else p.stem for i, p in enumerate(dataset.pictures)]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise DataError("pictures with different names", f"{twice!r} twice", "rename one of them")
    for i in range(len(dataset)):
        dataset.pair(i)
    images, masks = folder / "images" / dataset.split, folder / "masks" / dataset.split
    try:
        for path in (images, masks):
            path.mkdir(parents=True)
        for i, (picture, stem) in enumerate(zip(dataset.pictures, stems, strict=True)):
            if isinstance(picture, Path):
                shutil.copyfile(picture, images / picture.name)
            else:
                save_image(dataset.image(i), images / f"{stem}.png")
            save_mask(dataset.mask(i), masks / f"{stem}.png", dataset.colours)
    except OSError as error:
        got = f"{type(error).__name__}: {error.strerror or error}"
        fix = "free some space or choose another folder, and delete this one: the split in it is not complete"
        raise SaveError(f"to write a dataset into {folder}", got, fix) from error
    atomic_write(folder / "classes.txt", lambda file: file.write(_class_list(dataset).encode()))
    return folder


def _class_list(dataset: MaskDataset) -> str:
    return "".join(f"{i} {name}\n" for i, name in enumerate(dataset.names)) + "255 void\n"


def _check(dataset: MaskDataset, folder: Path) -> None:
    target, source = folder.resolve(), dataset.root.resolve()
    if dataset.format != "arrays" and (target == source or source in target.parents):
        raise DataError("a folder outside the dataset", f"{folder}, inside {dataset.root}", "choose another folder")
    if not re.fullmatch(r"[\w-]+", dataset.split) or dataset.split in ("images", *MASK_FOLDERS):
        raise DataError("a split's name of letters and digits", repr(dataset.split), "name it train or val")
    if (folder / "images" / dataset.split).exists() or (folder / "masks" / dataset.split).exists():
        raise DataError(f"a folder without split {dataset.split!r}", f"{folder}", "choose another folder")
    for picture in dataset.pictures:
        if isinstance(picture, Path) and (picture.name.startswith(".") or picture.suffix.lower() not in SUFFIXES):
            raise DataError("names of picture files, such as a.png", f"{picture}", "rename the file")
    unclear = [name for i, name in enumerate(dataset.names) if not is_readable(i, name)]
    if unclear:
        fix = "rename the class: this name would be read as ignored, or differently"
        raise DataError("class names for a class list", repr(unclear[0]), fix)
    path = find_class_list(folder)
    if path is not None and path.read_text(encoding="utf-8") != _class_list(dataset):
        raise DataError(f"the classes that {path} lists", f"{', '.join(dataset.names)}", "choose another folder")
