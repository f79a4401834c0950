"""Writers for the three formats: copies of the pictures and new annotations, never into the folder that was read.

Several splits may go into one folder, one after another; a split that is there already is refused, not replaced.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np
import yaml

from ..atomic import atomic_write
from ..checks import DataError, SaveError, unknown
from .boxes import BoxDataset, BoxSample
from .yolo_layout import load_yaml


def write_voc(dataset: BoxDataset, folder: str | Path) -> Path:
    """Write Annotations/*.xml, ImageSets/Main/<split>.txt and JPEGImages/*; crowds become <crowd>1</crowd>.

    Raises:
        DataError: The folder is the dataset's own, has the split already, or two pictures share a name.
        SaveError: Disk full, or the folder cannot be written.
    """
    folder = Path(folder)
    listing = folder / "ImageSets" / "Main" / f"{dataset.split}.txt"
    _prepare(dataset, folder, listing)
    with _saving(folder):
        _copy(dataset, folder / "JPEGImages", listing.parent, folder / "Annotations")
        for sample in dataset:
            xml = tostring(_voc_tree(sample, dataset.names), encoding="utf-8")
            _write_new(folder / "Annotations" / f"{sample.image.stem}.xml", xml)
        _finish(listing, "".join(f"{sample.image.stem}\n" for sample in dataset))
    return folder


def write_yolo(dataset: BoxDataset, folder: str | Path) -> Path:
    """Write images/<split>, labels/<split> and data.yaml.

    Raises:
        DataError: As for `write_voc`; also crowds, which the format cannot say, and other names in data.yaml.
    """
    folder = Path(folder)
    crowds = sum(int(sample.crowd.sum()) for sample in dataset)
    if crowds:
        raise DataError("boxes that are no crowds", f"{crowds} crowds", "write COCO, which can mark them, or drop them")
    settings = {"path": ".", "names": dict(enumerate(dataset.names))}
    if (folder / "data.yaml").is_file():
        settings = load_yaml(folder / "data.yaml")
        if settings.get("names") != dict(enumerate(dataset.names)):
            raise DataError("the same names in every split", f"others in {folder}", "write to another folder")
    images, labels = folder / "images" / dataset.split, folder / "labels" / dataset.split
    _prepare(dataset, folder, images)
    settings[dataset.split] = f"images/{dataset.split}"
    with _saving(folder):
        _copy(dataset, images, labels)
        for sample in dataset:
            _write_new(labels / f"{sample.image.stem}.txt", _yolo_lines(sample).encode())
        _finish(folder / "data.yaml", yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    return folder


def write_coco(dataset: BoxDataset, folder: str | Path) -> Path:
    """Write annotations/instances_<split>.json and images/<split>; ids start at 1, as COCO's own do.

    Raises:
        DataError: As for `write_voc`.
    """
    folder = Path(folder)
    listing = folder / "annotations" / f"instances_{dataset.split}.json"
    _prepare(dataset, folder, listing)
    with _saving(folder):
        _copy(dataset, folder / "images" / dataset.split, listing.parent)
        _finish(listing, json.dumps(coco_dict(dataset)))
    return folder


def write_boxes(dataset: BoxDataset, folder: str | Path, format: str) -> Path:
    """Write in the format of that name: "voc", "yolo" or "coco"."""
    if format not in WRITERS:
        raise unknown("format", format, WRITERS)
    return WRITERS[format](dataset, folder)


def coco_dict(dataset: BoxDataset) -> dict:
    """Return a split as COCO's dictionary: images, annotations, categories."""
    annotations: list[dict] = []
    for image_id, sample in enumerate(dataset, 1):
        sides = np.concatenate([sample.boxes[:, :2], sample.boxes[:, 2:].astype(float) - sample.boxes[:, :2]], axis=1)
        for box, class_id, crowd in zip(sides.tolist(), sample.class_ids.tolist(), sample.crowd.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": class_id + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(crowd),
                }
            )
    images = [
        {"id": i, "file_name": sample.image.name, "width": sample.width, "height": sample.height}
        for i, sample in enumerate(dataset, 1)
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(dataset.names, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _voc_tree(sample: BoxSample, names: tuple[str, ...]) -> Element:
    tree = Element("annotation")
    SubElement(tree, "filename").text = sample.image.name
    size = SubElement(tree, "size")
    for tag, value in (("width", sample.width), ("height", sample.height), ("depth", 3)):
        SubElement(size, tag).text = str(value)
    for box, class_id, crowd in zip(sample.boxes, sample.class_ids, sample.crowd, strict=True):
        item = SubElement(tree, "object")
        SubElement(item, "name").text = names[class_id]
        SubElement(item, "difficult").text = "0"
        if crowd:
            SubElement(item, "crowd").text = "1"
        corners = SubElement(item, "bndbox")
        for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True):
            SubElement(corners, tag).text = f"{value:.9g}"  # nine digits give any float32 back exactly
    indent(tree)
    return tree


def _yolo_lines(sample: BoxSample) -> str:
    sides = np.array([sample.width, sample.height], dtype=np.float64)
    boxes = sample.boxes.astype(np.float64)
    centres, lengths = (boxes[:, :2] + boxes[:, 2:]) / 2 / sides, (boxes[:, 2:] - boxes[:, :2]) / sides
    rows = zip(sample.class_ids.tolist(), np.concatenate([centres, lengths], axis=1).tolist(), strict=True)
    return "".join(f"{class_id} {' '.join(f'{value:.12g}' for value in row)}\n" for class_id, row in rows)


def _prepare(dataset: BoxDataset, folder: Path, marker: Path) -> None:
    """Refuse what would overwrite something, before anything is written."""
    target, source = folder.resolve(), dataset.root.resolve()
    if target == source or source in target.parents:
        raise DataError("a folder outside the dataset", f"{folder}, inside {dataset.root}", "choose another folder")
    if not re.fullmatch(r"[\w.-]+", dataset.split) or dataset.split in (".", ".."):
        raise DataError("a split's name of letters and digits", repr(dataset.split), "name it train or val")
    if marker.exists():
        raise DataError(f"a folder without split {dataset.split!r}", f"{marker}", "choose another folder")
    stems = [sample.image.stem for sample in dataset]
    if len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise DataError("pictures with different names", f"{twice!r} twice", "rename one of them")
    for sample in dataset:
        if not sample.image.is_file():
            raise DataError("pictures that are still there", f"no file at {sample.image}", "put it back")


@contextlib.contextmanager
def _saving(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        got = f"{type(error).__name__}: {error.strerror or error}"
        fix = "free some space or choose another folder, and delete this one: the split in it is not complete"
        raise SaveError(f"to write a dataset into {folder}", got, fix) from error


def _copy(dataset: BoxDataset, images: Path, *others: Path) -> None:
    taken = [images / sample.image.name for sample in dataset if (images / sample.image.name).exists()]
    if taken:
        raise DataError("pictures with names that are still free", f"{taken[0]} exists", "choose another folder")
    for path in (images, *others):
        path.mkdir(parents=True, exist_ok=True)
    for sample in dataset:
        shutil.copyfile(sample.image, images / sample.image.name)


def _write_new(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)


def _finish(path: Path, text: str) -> None:
    """Write the file that makes the split visible, last and whole: an interrupted writer leaves no half split."""
    atomic_write(path, lambda file: file.write(text.encode()))


WRITERS = {"voc": write_voc, "yolo": write_yolo, "coco": write_coco}
