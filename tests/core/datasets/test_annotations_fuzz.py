"""Whatever an annotation holds, the readers give good boxes or a DataError: no other error, and no bad box."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from striate.core.checks import DataError
from striate.core.datasets import load_boxes
from striate.core.images import encode_image

PICTURE = encode_image(np.zeros((8, 9, 3), np.uint8))

numbers = st.one_of(
    st.floats(), st.integers(-(10**30), 10**30), st.sampled_from(["", "x", "1e400", "١٢", "0x1", "1_0", " 7 "])
)
text = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=8)
anything = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


def check(root: Path, split: str = "train") -> None:
    for policy in ("drop_box", "drop_image", "error"):
        try:
            dataset = load_boxes(root, split, names=("cell", "dot"), on_bad_label=policy)
        except DataError:
            continue
        for sample in dataset:
            boxes = sample.boxes
            assert np.isfinite(boxes).all()
            assert (boxes >= 0).all()
            assert (boxes[:, 2:] <= [sample.width, sample.height]).all()
            assert (boxes[:, :2] < boxes[:, 2:]).all()
            assert ((sample.class_ids >= 0) & (sample.class_ids < 2)).all()
            assert len(boxes) == len(sample.class_ids) == len(sample.crowd)


def write(root: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def voc_files(xml: str | bytes) -> dict[str, str | bytes]:
    return {"ImageSets/Main/train.txt": "a", "Annotations/a.xml": xml}


def run(picture: str, files: dict[str, str | bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / picture).parent.mkdir(parents=True)
        (root / picture).write_bytes(PICTURE)
        write(root, files)
        check(root)


def escaped(value: object) -> str:
    return str(value).replace("&", "&amp;").replace("<", "&lt;")


@given(st.lists(st.tuples(st.sampled_from(["cell", "dot", "x"]), numbers, numbers, numbers, numbers), max_size=4))
def test_voc_numbers(boxes: list[tuple]) -> None:
    tags = ("xmin", "ymin", "xmax", "ymax")
    objects = "".join(
        f"<object><name>{box[0]}</name><bndbox>"
        + "".join(f"<{tag}>{escaped(value)}</{tag}>" for tag, value in zip(tags, box[1:], strict=True))
        + "</bndbox></object>"
        for box in boxes
    )
    run("JPEGImages/a.png", voc_files(f"<annotation><filename>a.png</filename>{objects}</annotation>"))


@given(st.binary(max_size=200) | st.text(st.sampled_from("<>/&;!?[]'\"= annotationobjectDOCTYPE"), max_size=80))
def test_voc_bytes(xml: str | bytes) -> None:
    run("JPEGImages/a.png", voc_files(xml))


@given(text, text)
def test_voc_names(filename: str, size: str) -> None:
    xml = (
        f"<annotation><filename>{escaped(filename)}</filename><size><width>{escaped(size)}</width></size></annotation>"
    )
    run("JPEGImages/a.png", voc_files(xml))


@given(st.lists(st.lists(numbers, max_size=9), max_size=4) | st.binary(max_size=100))
def test_yolo_lines(rows: list | bytes) -> None:
    lines = rows if isinstance(rows, bytes) else "\n".join(" ".join(map(str, row)) for row in rows)
    run("images/train/a.png", {"labels/train/a.txt": lines})


@given(st.dictionaries(st.sampled_from(["path", "train", "val", "names", "x"]), anything))
def test_yolo_yaml_of_any_shape(settings: dict) -> None:
    yaml = json.dumps(settings)  # JSON is YAML
    run("images/train/a.png", {"labels/train/a.txt": "0 .5 .5 .5 .5", "data.yaml": yaml})


@given(st.binary(max_size=100) | st.text(st.sampled_from("train: names[]{}&*!|>-\n\t#'\"%@"), max_size=60))
def test_yolo_yaml_bytes(yaml: str | bytes) -> None:
    run("images/train/a.png", {"labels/train/a.txt": "0 .5 .5 .5 .5", "data.yaml": yaml})


@given(anything)
def test_coco_any_json(content: object) -> None:
    run("images/train/a.png", {"annotations/train.json": json.dumps(content)})


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["id", "image_id", "category_id", "bbox", "iscrowd"]), anything), max_size=3
    ),
    st.fixed_dictionaries({"file_name": anything, "id": anything}, optional={"width": anything, "height": anything}),
    st.lists(st.fixed_dictionaries({"id": anything, "name": anything}), max_size=2),
)
def test_coco_fields_of_any_type(annotations: list, image: dict, categories: list) -> None:
    true = [{"id": 1, "name": "cell"}]
    near = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]} | entry for entry in annotations]
    for images, kinds in (([image], true), ([{"id": 1, "file_name": "a.png"}], categories or true)):
        content = {"images": images, "annotations": near, "categories": kinds}
        run("images/train/a.png", {"annotations/train.json": json.dumps(content)})
