"""YOLO text: layouts, names, lines, hostile YAML."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from striate.core.checks import DataError
from striate.core.datasets import load_boxes


def test_read(yolo: Callable[..., Path]) -> None:
    root = yolo("1 0.2 0.5 0.2 0.5\n\n0 0.5 0.5 1 1\n")
    dataset = load_boxes(root, "train")
    assert (dataset.format, dataset.names) == ("yolo", ("cell", "dot"))
    assert dataset[0].image == root / "images" / "train" / "a.png"
    np.testing.assert_allclose(dataset[0].boxes, [[10, 20, 30, 60], [0, 0, 100, 80]], atol=1e-5)
    assert dataset[0].class_ids.tolist() == [1, 0]
    by_file = load_boxes(root / "data.yaml", "train")
    np.testing.assert_array_equal(by_file[0].boxes, dataset[0].boxes)


def test_polygons_give_their_bounding_box(yolo: Callable[..., Path]) -> None:
    dataset = load_boxes(yolo("0 0.1 0.25 0.3 0.5 0.2 0.75 0.15 0.3\n"), "train")
    np.testing.assert_allclose(dataset[0].boxes, [[10, 20, 30, 60]], atol=1e-5)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.2", "line 1 has 4 numbers instead of 5: box dropped"),
        ("0 0.5 0.5 0.2 0.2 0.9", "line 1 has 6 numbers instead of 5"),
        ("cell 0.5 0.5 0.2 0.2", "line 1 is not made of numbers: 'cell 0.5 0.5 0.2 0.2'"),
        ("0.5 0.5 0.5 0.2 0.2", "line 1 has a class that is no whole number: '0.5'"),
        ("2 0.5 0.5 0.2 0.2", "class '2' is unknown"),
        ("-1 0.5 0.5 0.2 0.2", "class '-1' is unknown"),
        ("nan 0.5 0.5 0.2 0.2", "no whole number"),
        ("0 nan 0.5 0.2 0.2", "is not finite"),
        ("0 0.5 0.5 -0.2 0.2", "is inverted"),
        ("0 0.5 0.5 0 0.2", "has no area"),
        ("0 1.5 0.5 0.2 0.2", "lies outside"),
    ],
)
def test_bad_lines_are_reported(line: str, words: str, yolo: Callable[..., Path]) -> None:
    dataset = load_boxes(yolo(line + "\n"), "train")
    assert len(dataset[0].boxes) == 0
    assert len(dataset.report) == 1
    assert words in dataset.report[0]


def test_a_picture_without_label_file_is_background_and_said(yolo: Callable[..., Path]) -> None:
    root = yolo()
    (root / "labels" / "train" / "a.txt").unlink()
    dataset = load_boxes(root, "train")
    assert dataset.report == ["a.png: no label file: taken as a picture without boxes"]


def test_names_as_mapping_list_file_and_argument(yolo: Callable[..., Path]) -> None:
    assert load_boxes(yolo(yaml="train: images/train\nnames: {0: cell, 1: dot}\n"), "train").names == ("cell", "dot")
    root = yolo("1 0.2 0.5 0.2 0.5\n", yaml=None)
    (root / "data.yaml").unlink()
    with pytest.raises(DataError, match=r"class names in a YAML or \*\.names file; got none"):
        load_boxes(root, "train")
    assert load_boxes(root, "train", names=("x", "y")).counts() == {"x": 0, "y": 1}
    (root / "classes.txt").write_text("cell\ndot\n")
    assert load_boxes(root, "train").names == ("cell", "dot")
    assert load_boxes(root, "train", names=("dot", "cell"))[0].class_ids.tolist() == [0]
    (root / "a.names").write_text("p\nq\n")
    assert load_boxes(root, "train").names == ("p", "q")
    (root / "b.names").write_text("p\nq\n")
    with pytest.raises(DataError, match=r"one file of class names; got a\.names, b\.names"):
        load_boxes(root, "train")


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("train: images/train\nnames: {0: a, 2: b}\n", "names numbered from 0 to 1; got 0, 2"),
        ("train: images/train\nnames: 5\n", r"names in data\.yaml; got int"),
        ("train: images/train\nnames: [a, a]\n", "every class name once"),
        ("train: ../other\nnames: [a]\n", "file names inside"),
        ("train: /etc\nnames: [a]\n", "file names inside"),
        ("train: images/none\nnames: [a]\n", "a folder of pictures or a text file that lists them"),
        ("test: images/train\nnames: [a]\n", "a split out of test; got 'train'"),
        ("names: [&a [x, x], *a]\ntrain: images/train\n", r"YAML without aliases; got an alias in data\.yaml"),
        ("train: !!python/object/apply:os.system [ls]\nnames: [a]\n", "a YAML file; got could not determine"),
        ("train: [\n", "a YAML file; got while parsing"),
        ("- 1\n", "a YAML file with train, val and names; got list"),
        ("#" * 300_000, "a file of at most 262,144 bytes"),
    ],
)
def test_refused_yaml(yaml: str, words: str, yolo: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=words):
        load_boxes(yolo(yaml=yaml) / "data.yaml", "train")


def test_path_key_lists_and_list_files(yolo: Callable[..., Path], tmp_path: Path) -> None:
    root = yolo()
    (root / "data.yaml").unlink()
    (root / "list.txt").write_text("./images/train/a.png\n\n")
    outside = tmp_path / "elsewhere.yaml"
    outside.write_text("path: yolo\ntrain: [list.txt, images/train]\nnames: [cell, dot]\n")
    dataset = load_boxes(outside, "train")
    assert [sample.image.name for sample in dataset] == ["a.png", "a.png"]
    assert dataset.counts() == {"cell": 2, "dot": 0}
    (root / "list.txt").write_text("../../a.png\n")
    with pytest.raises(DataError, match="file names inside"):
        load_boxes(outside, "train")


def test_layouts_without_yaml(yolo: Callable[..., Path]) -> None:
    root = yolo()
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_text("cell\ndot\n")
    with pytest.raises(DataError, match="a split out of train; got 'val'"):
        load_boxes(root, "val")
    for folder in ("images", "labels"):
        (root / folder / "train").rename(root / folder / "train2017")
    assert load_boxes(root, "train").counts() == load_boxes(root, "train2017").counts() == {"cell": 1, "dot": 0}
    for folder in ("images", "labels"):  # flat: everything is "train"
        for file in (root / folder / "train2017").iterdir():
            file.rename(root / folder / file.name)
        (root / folder / "train2017").rmdir()
    assert load_boxes(root, "train").counts() == {"cell": 1, "dot": 0}
    (root / "valid").mkdir()  # split first, as some exporters write
    shutil.move(root / "images", root / "valid" / "images")
    shutil.move(root / "labels", root / "valid" / "labels")
    assert load_boxes(root, "valid").counts() == {"cell": 1, "dot": 0}


def test_two_yaml_files(yolo: Callable[..., Path]) -> None:
    root = yolo()
    (root / "b.yaml").write_text("train: images/train\nnames: [other]\n")
    assert load_boxes(root, "train").names == ("cell", "dot")
    (root / "data.yaml").rename(root / "a.yaml")
    with pytest.raises(DataError, match=r"one called data\.yaml; got a\.yaml, b\.yaml"):
        load_boxes(root, "train")


def test_labels_that_are_no_text(yolo: Callable[..., Path]) -> None:
    root = yolo()
    (root / "labels" / "train" / "a.txt").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match="a text file of labels"):
        load_boxes(root, "train")


def test_coco128(shared_data: Path) -> None:
    dataset = load_boxes(shared_data / "coco128_train", "train")
    assert (len(dataset), len(dataset.names), dataset.format) == (128, 80, "yolo")
    assert len(dataset.report) == 2
    assert sum(dataset.counts().values()) == 929
