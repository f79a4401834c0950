"""COCO: one JSON file a split, with `images`, `annotations` and `categories`.

Boxes are x, y, width, height in pixels, which is the half-open convention already. `iscrowd` is kept. Category ids may
be any integers (COCO's own run from 1 to 90 with holes): class ids are their ranks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..checks import DataError, closest
from .boxes import BoxDataset
from .labels import Label, Record, assemble, inside

MAX_JSON_BYTES = 2 * 2**30  # instances_train2017.json has 448 MB


def read_coco(
    root: Path, split: str, *, names: Sequence[str] | None = None, on_bad_label: str = "drop_box"
) -> BoxDataset:
    """Read one split; class names, where not given, are the categories in the order of their ids.

    The file is annotations/instances_<split>.json, annotations/<split>.json or <split>.json; a year behind the split's
    name ("train2017") is left out where only one file fits. Pictures are looked for in <split>/, images/<split>/,
    images/ and the root.

    Raises:
        DataError: Split, file or picture missing, not JSON or not of COCO's shape, a name that leads outside `root`.
    """
    root = Path(root)
    path = annotation_file(root, split)
    content = load(path)
    try:
        categories = sorted((int(entry["id"]), str(entry["name"])) for entry in content["categories"])
        records = _records(root, path, split, content, dict(categories), on_bad_label)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            "images (id, file_name), annotations (image_id, category_id, bbox) and categories (id, name)",
            f"{type(error).__name__} {error} in {path.name}",
            "export the annotations again",
        ) from error
    names = [name for _, name in categories] if names is None else names
    return assemble(records, names, root=root, split=split, format="coco", on_bad_label=on_bad_label)


def splits(root: Path) -> list[str]:
    """Names of the splits that a COCO folder has."""
    return sorted(_split_files(Path(root)))


def annotation_file(root: Path, split: str) -> Path:
    """Return the JSON file of a split; raises DataError with the known splits."""
    known = _split_files(root)
    if split in known:
        return known[split]
    dated = [path for name, path in known.items() if name[:-4] == split and name[-4:].isdigit()]
    if len(dated) == 1:
        return dated[0]
    near = closest(split, known)
    fix = f"did you mean {near!r}?" if near else f"write annotations/instances_{split}.json"
    raise DataError(f"a split out of {', '.join(sorted(known)) or '(none)'}", repr(split), fix)


def _split_files(root: Path) -> dict[str, Path]:
    found = {path.stem: path for path in sorted(root.glob("*.json"))}
    for path in sorted((root / "annotations").glob("*.json")):
        # captions_ and person_keypoints_ lie beside instances_ in COCO's own folder and hold no boxes to detect.
        if not path.stem.startswith(("captions_", "person_keypoints_", "stuff_", "panoptic_", "image_info_")):
            found[path.stem.removeprefix("instances_")] = path
    return found


def load(path: Path) -> dict:
    """Read an annotation file; raises DataError when it is no JSON object, or too large."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise DataError(f"a file of at most {MAX_JSON_BYTES:,} bytes", f"more: {path}", "split the set")
        content = json.loads(path.read_bytes())
    except DataError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise DataError("an annotation file in JSON", f"{error}: {path}", "export the annotations again") from error
    if not isinstance(content, dict):
        raise DataError("a JSON object with images", f"{type(content).__name__} in {path}", "export it again")
    return content


def _records(
    root: Path, path: Path, split: str, content: dict, names: dict[int, str], on_bad_label: str
) -> list[Record]:
    labels: dict[int, list[Label]] = {}
    problems: dict[int, list[str]] = {}
    for entry in content["images"]:
        if int(entry["id"]) in labels:
            raise DataError("every image id once", f"{entry['id']} twice in {path.name}", "export it again")
        labels[int(entry["id"])], problems[int(entry["id"])] = [], []
    strays = 0
    for entry in content.get("annotations", ()):
        image_id = int(entry["image_id"])
        if image_id not in labels:
            strays += 1
            continue
        name = names.get(int(entry["category_id"]), f"category {entry['category_id']}")
        box = _box(entry.get("bbox"))
        if box is None:
            problems[image_id].append(f"{name} without a readable bbox")
        else:
            labels[image_id].append(Label(box, name, crowd=bool(entry.get("iscrowd", 0))))
    if strays and on_bad_label == "error":
        raise DataError("annotations of listed images", f"{strays} others in {path.name}", "take them out")
    folders = picture_folders(root, path, split)
    notes = (f"{strays} annotations in {path.name} belong to no listed image: left out",) if strays else ()
    records: list[Record] = []
    for entry in content["images"]:
        image_id, size = int(entry["id"]), None
        if entry.get("height") and entry.get("width"):
            size = (int(entry["height"]), int(entry["width"]))
        image = picture(folders, str(entry["file_name"]))
        records.append(Record(image, labels[image_id], size, tuple(problems[image_id]), notes if not records else ()))
    return records


def _box(value: object) -> tuple[float, float, float, float] | None:
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    try:
        x, y, width, height = (float(number) for number in value)
    except (TypeError, ValueError, OverflowError):
        return None
    return x, y, x + width, y + height


def picture_folders(root: Path, path: Path, split: str) -> list[Path]:
    """Return where the pictures of an annotation file are looked for, in this order."""
    folders = [root / path.stem.removeprefix("instances_"), root / split]
    return folders + [root / "images" / folder.name for folder in folders] + [root / "images", root]


def picture(folders: list[Path], file_name: str) -> Path:
    """Return a picture in the first folder that has it, else where it was looked for first."""
    candidates = [inside(folder, file_name) for folder in folders]
    return next((path for path in candidates if path.is_file()), candidates[0])
