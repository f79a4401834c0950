"""Where datasets keep their masks: folders of pictures and masks, CamVid, Pascal VOC. COCO has polygons."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..checks import DataError, StriateError, closest
from ..images import SUFFIXES
from .labels import inside

MASK_FOLDERS = ("masks", "labels", "annotations")
ENDINGS = ("", "_mask", "_label", "_labels", "_seg", "_gt", "_L", "_P")
"""What may stand between a picture's name and the suffix of its mask: CamVid's own end in _L, the horses in _P."""

VOC_NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
CAMVID_NAMES = (
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist",
)  # fmt: skip
"""The eleven classes of SegNet's masks (Badrinarayanan et al. 2017), in the order of their values."""


@dataclass(frozen=True)
class Fault:
    """A file that cannot be used: what kind of fault (for the doctor's list), which file, and the error in full."""

    kind: str
    source: str
    error: StriateError

    def __str__(self) -> str:
        return f"left out: {self.error}"


@dataclass
class Pairs:
    """Pictures and masks that belong together, and what is wrong with the other files."""

    pictures: list[Path] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def folder_splits(root: Path) -> dict[str, tuple[Path, Path]]:
    """Return (pictures, masks) by split: images/ beside masks/, split inside, outside or not at all ("train")."""
    found: dict[str, tuple[Path, Path]] = {}
    images = root / "images"
    for masks in (root / name for name in MASK_FOLDERS if images.is_dir() and (root / name).is_dir()):
        inner = {
            entry.name: (entry, masks / entry.name)
            for entry in sorted(images.iterdir())
            if entry.is_dir() and _has_pictures(masks / entry.name)
        }
        found |= inner or ({"train": (images, masks)} if _has_pictures(masks) else {})
    for folder in sorted(root.iterdir()):
        for masks in (folder / name for name in MASK_FOLDERS):
            if (folder / "images").is_dir() and _has_pictures(masks):
                found[folder.name] = (folder / "images", masks)
    return found


def camvid_splits(root: Path) -> dict[str, tuple[Path, Path]]:
    """Return (pictures, masks) by split: train/ beside trainannot/, as SegNet's CamVid."""
    folders = {entry.name: entry for entry in sorted(root.iterdir()) if entry.is_dir()}
    return {name: (entry, folders[f"{name}annot"]) for name, entry in folders.items() if f"{name}annot" in folders}


def voc_splits(root: Path) -> dict[str, tuple[Path, Path]]:
    """Return (pictures, masks) by split, the lists in ImageSets/Segmentation."""
    if not (root / "SegmentationClass").is_dir():
        return {}
    lists = sorted((root / "ImageSets" / "Segmentation").glob("*.txt"))
    return {path.stem: (root / "JPEGImages", root / "SegmentationClass") for path in lists}


def match_folders(root: Path, split: str, splits: Callable[[Path], dict[str, tuple[Path, Path]]]) -> Pairs:
    """Match the pictures and masks of a split by their names.

    Raises:
        DataError: No such split, or two pictures or masks of one name.
    """
    pictures_folder, masks_folder = splits(root)[known_split(root, split, splits(root))]
    pictures, masks = _by_key(pictures_folder), _by_key(masks_folder)
    chosen = _partners(pictures, masks)
    used = set(chosen.values())
    found = Pairs()
    for key, picture in pictures.items():
        if key not in chosen:
            fix = f"add {masks_folder / key}.png, or take the picture out"
            error = DataError("a mask for every picture", f"none for {picture}", fix)
            found.faults.append(Fault("picture without mask", str(picture), error))
            continue
        found.pictures.append(picture)
        found.masks.append(masks[chosen[key]])
    for mask in (path for key, path in masks.items() if key not in used):
        fix = f"add its picture to {pictures_folder}, or take the mask out"
        error = DataError("a picture for every mask", f"none for {mask}", fix)
        found.faults.append(Fault("mask without picture", str(mask), error))
    return found


def _partners(pictures: Iterable[str], masks: Iterable[str]) -> dict[str, str]:
    """Return the mask of each picture that has one, by their names.

    The ending that fits most pictures goes first: beside a.png and a_L.png, a_L.png alone is the second one's mask, but
    with a_L_L.png the first one's.
    """
    fits = {ending: [key for key in pictures if key + ending in masks] for ending in ENDINGS}
    chosen: dict[str, str] = {}
    taken: set[str] = set()
    for ending in sorted(ENDINGS, key=lambda ending: -len(fits[ending])):
        for key in fits[ending]:
            if key not in chosen and key + ending not in taken:
                chosen[key] = key + ending
                taken.add(key + ending)
    return chosen


def match_voc(root: Path, split: str) -> Pairs:
    """Find the pictures and masks of a list in ImageSets/Segmentation.

    Raises:
        DataError: No such list, one that is no text, or a name in it that leads outside `root`.
    """
    split = known_split(root, split, voc_splits(root))
    path = root / "ImageSets" / "Segmentation" / f"{split}.txt"
    try:
        stems = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("a text file with one name a line", f"{error}: {path}", "write the list again") from error
    for stem in stems:
        inside(root, stem)
    pictures, masks = _by_key(root / "JPEGImages"), _by_key(root / "SegmentationClass")
    found = Pairs()
    for stem in stems:
        missing = [folder for folder, there in (("JPEGImages", pictures), ("SegmentationClass", masks))
                   if stem not in there]  # fmt: skip
        if missing:
            fix = f"add it to {root / missing[0]}, or take the name off the list"
            got = f"no {missing[0]}/{stem} in {root}"
            kind = "picture without mask" if missing[0] == "SegmentationClass" else "mask without picture"
            found.faults.append(Fault(kind, stem, DataError("a picture and a mask for every name", got, fix)))
        else:
            found.pictures.append(pictures[stem])
            found.masks.append(masks[stem])
    return found


def known_split(root: Path, split: str, known: Iterable[str]) -> str:
    """Return the split's name as it stands there; raises DataError with the known ones."""
    known = list(known)
    if split in known:
        return split
    near = closest(split, known)
    fix = f"did you mean {near!r}?" if near else f"look into {root}"
    raise DataError(f"a split out of {', '.join(known) or '(none)'}", repr(split), fix)


def _has_pictures(folder: Path) -> bool:
    return folder.is_dir() and any(path.suffix.lower() in SUFFIXES for path in folder.rglob("*"))


def _by_key(folder: Path) -> dict[str, Path]:
    """Return pictures, sorted, by their path in the folder without suffix."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        key = path.relative_to(folder).with_suffix("").as_posix()
        if key in found:
            got = f"{found[key].name} and {path.name} in {path.parent}"
            raise DataError("one file of each name", got, "remove or rename one of them")
        found[key] = path
    return found
