"""COCO JSON: categories with holes, crowds, strays, damaged files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from striate.core.checks import DataError
from striate.core.datasets import load_boxes


def annotation(**changes: object) -> dict:
    return {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 20, 20, 40], "iscrowd": 0} | changes


def test_read(coco: Callable[..., Path]) -> None:
    root = coco(annotations=[annotation(), annotation(category_id=90, iscrowd=1)])
    dataset = load_boxes(root, "train")
    assert (dataset.format, dataset.names) == ("coco", ("cell", "dot"))
    assert dataset[0].image == root / "images" / "train" / "a.png"
    assert dataset[0].boxes.tolist() == [[10, 20, 30, 60]] * 2
    assert dataset[0].class_ids.tolist() == [0, 1]
    assert dataset[0].crowd.tolist() == [False, True]
    assert dataset.report == []


@pytest.mark.parametrize("place", ["train/a.png", "images/a.png", "a.png", "images/train/a.png"])
@pytest.mark.parametrize("name", ["annotations/instances_train.json", "annotations/train.json", "train.json"])
def test_places(place: str, name: str, coco: Callable[..., Path]) -> None:
    root = coco()
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / "images" / "train" / "a.png").rename(root / place)
    (root / "annotations" / "instances_train.json").rename(root / name)
    assert load_boxes(root, "train")[0].image == root / place


def test_a_year_behind_the_split(coco: Callable[..., Path]) -> None:
    root = coco()
    (root / "annotations" / "instances_train.json").rename(root / "annotations" / "instances_train2017.json")
    (root / "annotations" / "captions_train2017.json").write_text("{}")
    (root / "images" / "train").rename(root / "train2017")
    assert load_boxes(root, "train").counts() == {"cell": 1, "dot": 0}
    with pytest.raises(DataError, match="a split out of train2017; got 'val'"):
        load_boxes(root, "val")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bbox": [10, 20, 0, 40]}, "has no area"),
        ({"bbox": [10, 20, -5, 40]}, "is inverted"),
        ({"bbox": [float("nan"), 20, 5, 40]}, "is not finite"),
        ({"bbox": [200, 20, 5, 40]}, "lies outside"),
        ({"bbox": [1, 2, 3]}, "cell without a readable bbox"),
        ({"bbox": "1 2 3 4"}, "cell without a readable bbox"),
        ({"bbox": [1, 2, None, 4]}, "cell without a readable bbox"),
        ({"bbox": None}, "cell without a readable bbox"),
        ({"category_id": 4}, "class 'category 4' is unknown"),
        ({"image_id": 8}, "1 annotations in instances_train.json belong to no listed image: left out"),
    ],
)
def test_bad_annotations_are_reported(changes: dict, words: str, coco: Callable[..., Path]) -> None:
    root = coco(annotations=[annotation(**changes)])
    dataset = load_boxes(root, "train")
    assert len(dataset[0].boxes) == 0
    assert len(dataset.report) == 1
    assert words in dataset.report[0]
    with pytest.raises(DataError):
        load_boxes(root, "train", on_bad_label="error")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "an annotation file in JSON; got Expecting value"),
        ("[" * 100_000, "an annotation file in JSON"),
        ("[]", "a JSON object with images; got list"),
        ("{}", "categories .id, name.; got KeyError 'categories' in instances_train.json"),
        (json.dumps({"images": 3, "categories": []}), "got TypeError"),
        (json.dumps({"images": [{"id": "x"}], "categories": []}), "got ValueError"),
        (json.dumps({"images": [[]], "categories": []}), "got TypeError"),
        (json.dumps({"images": [], "categories": [{"id": float("inf"), "name": "a"}]}), "got OverflowError"),
        (json.dumps({"images": [], "categories": [{"id": 1, "name": "a"}]}), "at least one picture in split 'train'"),
        (json.dumps({"images": [], "categories": []}), "at least one class name"),
        (
            json.dumps({"images": [], "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}),
            "every class name once",
        ),
        (
            json.dumps({"images": [{"id": 1, "file_name": "../../x.png"}], "categories": [{"id": 1, "name": "a"}]}),
            "file names inside",
        ),
        (
            json.dumps({"images": [{"id": 1, "file_name": "b.png"}], "categories": [{"id": 1, "name": "a"}]}),
            r"a picture for every annotation; got no file at .*b\.png",
        ),
        (
            json.dumps({"images": [{"id": 1, "file_name": "a.png"}] * 2, "categories": [{"id": 1, "name": "a"}]}),
            "every image id once; got 1 twice",
        ),
    ],
)
def test_refused_files(text: str, words: str, coco: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=words):
        load_boxes(coco(text), "train")
