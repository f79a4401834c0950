"""Small datasets written by hand, so that no test reads what our own writers wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from striate.core.images import save_image

YAML = "train: images/train\nnames: [cell, dot]\n"
Box = tuple[str, object, object, object, object]


def write_picture(path: Path, width: int = 100, height: int = 80) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return save_image(np.full((height, width, 3), 90, np.uint8), path)


def voc_xml(boxes: list[Box], filename: str = "a.png", size: tuple[int, int] = (100, 80)) -> str:
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        "</bndbox></object>"
        for name, x1, y1, x2, y2 in boxes
    )
    extent = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{filename}</filename>{extent}{objects}</annotation>"


@pytest.fixture
def voc(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a VOC folder with one picture a.png in split "train"."""

    def write(boxes: list[Box] | None = None, *, xml: str | bytes | None = None, stem: str = "a") -> Path:
        root = tmp_path / "voc"
        write_picture(root / "JPEGImages" / f"{stem}.png")
        for folder in ("Annotations", "ImageSets/Main"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        text = voc_xml([("cell", 10, 20, 30, 60)] if boxes is None else boxes, f"{stem}.png") if xml is None else xml
        (root / "Annotations" / f"{stem}.xml").write_bytes(text if isinstance(text, bytes) else text.encode())
        (root / "ImageSets" / "Main" / "train.txt").write_text(f"{stem}\n")
        return root

    return write


@pytest.fixture
def yolo(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a YOLO folder with one picture a.png, its labels and, if given, a data.yaml."""

    def write(
        labels: str = "0 0.2 0.5 0.2 0.5\n", yaml: str | None = "train: images/train\nnames: [cell, dot]\n"
    ) -> Path:
        root = tmp_path / "yolo"
        write_picture(root / "images" / "train" / "a.png")
        (root / "labels" / "train").mkdir(parents=True, exist_ok=True)
        (root / "labels" / "train" / "a.txt").write_text(labels)
        if yaml is not None:
            (root / "data.yaml").write_text(yaml)
        return root

    return write


@pytest.fixture
def coco(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a COCO folder with one picture a.png and annotations changed by keywords."""

    def write(text: str | None = None, **changes: object) -> Path:
        root = tmp_path / "coco"
        write_picture(root / "images" / "train" / "a.png")
        (root / "annotations").mkdir(exist_ok=True)
        content = {
            "images": [{"id": 7, "file_name": "a.png", "width": 100, "height": 80}],
            "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 20, 20, 40], "iscrowd": 0}],
            "categories": [{"id": 90, "name": "dot"}, {"id": 3, "name": "cell"}],
        } | changes
        path = root / "annotations" / "instances_train.json"
        path.write_text(json.dumps(content) if text is None else text)
        return root

    return write
