"""What is written is read back: VOC -> COCO -> YOLO -> VOC, for any boxes, names and picture sizes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.core.checks import DataError, SaveError, UsageError
from striate.core.datasets import BoxDataset, BoxSample, load_boxes, write_boxes, write_coco, write_voc, write_yolo
from striate.core.images import encode_image, save_image

# Text that XML, YAML and JSON must carry alike. XML itself has no control characters and joins blanks at the ends.
letters = st.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=" &<>\"':#-,[]{}")
class_names = st.text(letters, min_size=1, max_size=12).map(str.strip).filter(bool)


@st.composite
def datasets(draw: st.DrawFn, folder: Path) -> BoxDataset:
    names = tuple(draw(st.lists(class_names, min_size=1, max_size=4, unique=True)))
    samples = []
    for i in range(draw(st.integers(1, 3))):
        height, width = draw(st.integers(1, 300)), draw(st.integers(1, 300))
        image = folder / f"picture {i}.png"
        image.write_bytes(encode_image(np.zeros((height, width, 3), np.uint8)))
        boxes = []
        for _ in range(draw(st.integers(0, 4))):
            x1, y1 = draw(st.floats(0, width - 0.5)), draw(st.floats(0, height - 0.5))
            boxes.append((x1, y1, draw(st.floats(x1 + 0.25, width)), draw(st.floats(y1 + 0.25, height))))
        class_ids = np.array([draw(st.integers(0, len(names) - 1)) for _ in boxes], dtype=np.int64)
        array = np.array(boxes, dtype=np.float32).reshape(-1, 4)
        samples.append(BoxSample(image, array, class_ids, np.zeros(len(boxes), np.bool_), width, height))
    return BoxDataset(samples, names, folder, draw(st.sampled_from(["train", "val"])), "synthetic")


def same(a: BoxDataset, b: BoxDataset, tolerance: float) -> None:
    assert a.names == b.names
    assert len(a) == len(b)
    for left, right in zip(a, sorted(b, key=lambda sample: sample.image.name), strict=True):
        assert left.image.read_bytes() == right.image.read_bytes()
        assert (left.width, left.height) == (right.width, right.height)
        np.testing.assert_array_equal(left.class_ids, right.class_ids)
        np.testing.assert_array_equal(left.crowd, right.crowd)
        np.testing.assert_allclose(left.boxes, right.boxes, rtol=0, atol=tolerance)


@settings(max_examples=25)
@given(st.data())
def test_voc_coco_yolo_voc(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "own").mkdir()
        first = data.draw(datasets(root / "own"))
        step = first
        for i, format in enumerate(["voc", "coco", "yolo", "voc"]):
            written = write_boxes(step, root / str(i), format)
            step = load_boxes(written, first.split, names=first.names, on_bad_label="error")
            assert step.format == format
            # VOC writes float32 exactly; the others add and halve in float64 and round to float32 (2^-24 of 300) once.
            same(first, step, 0 if i == 0 else 300 * 2**-22)


@pytest.fixture
def dataset(voc: Callable[..., Path]) -> BoxDataset:
    return load_boxes(voc([("cell", 10, 20, 30, 60)]), "train")


def crowded(dataset: BoxDataset) -> BoxDataset:
    s = dataset[0]
    sample = BoxSample(s.image, s.boxes, s.class_ids, np.ones(len(s.boxes), np.bool_), s.width, s.height)
    return BoxDataset([sample], dataset.names, dataset.root, "train", "voc")


def test_crowds(dataset: BoxDataset, tmp_path: Path) -> None:
    for write in (write_coco, write_voc):
        assert load_boxes(write(crowded(dataset), tmp_path / write.__name__), "train")[0].crowd.tolist() == [True]
    with pytest.raises(DataError, match="boxes that are no crowds; got 1 crowds; write COCO"):
        write_yolo(crowded(dataset), tmp_path / "yolo")
    assert not (tmp_path / "yolo").exists()


def test_coco_ids_and_areas(dataset: BoxDataset, tmp_path: Path) -> None:
    content = json.loads((write_coco(dataset, tmp_path / "c") / "annotations" / "instances_train.json").read_text())
    assert content["annotations"] == [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 20, 40], "area": 800, "iscrowd": 0}
    ]
    assert content["categories"] == [{"id": 1, "name": "cell"}]


@pytest.mark.parametrize("format", ["voc", "yolo", "coco"])
def test_two_splits_in_one_folder_and_none_twice(format: str, dataset: BoxDataset, tmp_path: Path) -> None:
    image = save_image(np.zeros((80, 100, 3), np.uint8), tmp_path / "b.png")
    s = dataset[0]
    other = BoxDataset(
        [BoxSample(image, s.boxes, s.class_ids, s.crowd, 100, 80)], dataset.names, tmp_path / "o", "val", "x"
    )
    folder = tmp_path / "out"
    for split in (dataset, other):
        write_boxes(split, folder, format)
    assert load_boxes(folder, "train")[0].image.name == "a.png"
    assert load_boxes(folder, "val")[0].image.name == "b.png"
    with pytest.raises(DataError, match="a folder without split 'train'"):
        write_boxes(dataset, folder, format)


@pytest.mark.parametrize("format", ["voc", "yolo", "coco"])
def test_nothing_is_written_into_the_dataset_itself(format: str, dataset: BoxDataset) -> None:
    before = sorted(dataset.root.rglob("*"))
    for folder in (dataset.root, dataset.root / "copy", dataset.root / "x" / ".."):
        with pytest.raises(DataError, match="a folder outside the dataset"):
            write_boxes(dataset, folder, format)
    assert sorted(dataset.root.rglob("*")) == before


def test_refusals(dataset: BoxDataset, tmp_path: Path) -> None:
    twice = BoxDataset([dataset[0], dataset[0]], dataset.names, dataset.root, "train", "voc")
    with pytest.raises(DataError, match="pictures with different names; got 'a' twice"):
        write_voc(twice, tmp_path / "out")
    odd = BoxDataset(dataset.samples, dataset.names, dataset.root, "../x", "voc")
    with pytest.raises(DataError, match=r"a split's name of letters and digits; got '\.\./x'"):
        write_voc(odd, tmp_path / "out")
    with pytest.raises(UsageError, match="format to be one of voc, yolo, coco; got 'voy'"):
        write_boxes(dataset, tmp_path / "out", "voy")
    write_yolo(dataset, tmp_path / "yolo")
    renamed = BoxDataset(dataset.samples, ("other",), dataset.root, "val", "voc")
    with pytest.raises(DataError, match="the same names in every split"):
        write_yolo(renamed, tmp_path / "yolo")
    dataset[0].image.unlink()
    with pytest.raises(DataError, match="pictures that are still there"):
        write_voc(dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written(dataset: BoxDataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SaveError, match="to write a dataset into"):
        write_voc(dataset, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "in the way"
