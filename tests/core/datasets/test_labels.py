"""What happens to labels that are wrong, under each policy; the same for every format, tried through VOC."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from striate.core.checks import DataError, UsageError
from striate.core.datasets import load_boxes
from striate.core.datasets.labels import check_names, inside

GOOD = ("cell", 10, 20, 30, 60)
BAD = {
    "inverted in x": (("cell", 30, 20, 10, 60), r"a.png: cell box \(30, 20, 10, 60\) is inverted"),
    "inverted in y": (("cell", 10, 60, 30, 20), "is inverted"),
    "no width": (("cell", 10, 20, 10, 60), "has no area"),
    "no height": (("cell", 10, 20, 30, 20), "has no area"),
    "below float32": (("cell", 10, 20, 10 + 1e-9, 60), "has no area"),
    "NaN": (("cell", "nan", 20, 30, 60), "is not finite"),
    "infinity": (("cell", 10, 20, "inf", 60), "is not finite"),
    "outside right": (("cell", 100, 20, 120, 60), "lies outside 100x80"),
    "outside below": (("cell", 10, 80, 30, 90), "lies outside 100x80"),
    "outside left": (("cell", -9, 20, 0, 60), "lies outside 100x80"),
    "unknown class": (("blob", 10, 20, 30, 60), "class 'blob' is unknown"),
    "not a number": (("cell", "ten", 20, 30, 60), "cell without a readable bndbox"),
    "empty number": (("cell", "", 20, 30, 60), "cell without a readable bndbox"),
}


@pytest.mark.parametrize(("box", "words"), BAD.values(), ids=BAD)
def test_bad_boxes_under_each_policy(box: tuple, words: str, voc: Callable[..., Path]) -> None:
    root = voc([GOOD, box])
    kept = load_boxes(root, "train", names=("cell",))
    assert kept[0].boxes.tolist() == [[10, 20, 30, 60]]
    assert len(kept.report) == 1
    assert kept.report[0].endswith(": box dropped")
    with pytest.raises(DataError, match=words):
        load_boxes(root, "train", names=("cell",), on_bad_label="error")
    with pytest.raises(DataError, match=r"at least one picture in split 'train'; got none in .*picture dropped"):
        load_boxes(root, "train", names=("cell",), on_bad_label="drop_image")


def test_a_box_partly_outside_is_clipped_and_said(voc: Callable[..., Path]) -> None:
    root = voc([("cell", -5, 70, 30, 95.5)])
    dataset = load_boxes(root, "train")
    assert dataset[0].boxes.tolist() == [[0, 70, 30, 80]]
    assert dataset.report == ["a.png: cell box (-5, 70, 30, 95.5) reaches outside 100x80: clipped"]
    with pytest.raises(DataError, match=r"boxes inside their picture; got a\.png: cell box"):
        load_boxes(root, "train", on_bad_label="error")


def test_rounding_at_the_border_is_no_fault(voc: Callable[..., Path]) -> None:
    dataset = load_boxes(voc([("cell", -0.005, 0, 100.005, 80)]), "train", on_bad_label="error")
    assert dataset.report == []
    assert dataset[0].boxes.tolist() == [[0, 0, 100, 80]]


def test_duplicates_are_reported_and_kept(voc: Callable[..., Path]) -> None:
    dataset = load_boxes(voc([GOOD, GOOD, ("dot", *GOOD[1:])]), "train")
    assert dataset[0].class_ids.tolist() == [0, 0, 1]
    assert dataset.report == ["a.png: cell box (10, 20, 30, 60) is there twice: kept"]


def test_types_and_shapes_without_boxes(voc: Callable[..., Path]) -> None:
    sample = load_boxes(voc([]), "train", names=("cell",))[0]
    assert sample.boxes.shape == (0, 4)
    assert (sample.boxes.dtype, sample.class_ids.dtype, sample.crowd.dtype) == (np.float32, np.int64, np.bool_)
    assert (sample.width, sample.height) == (100, 80)


def test_a_stated_size_that_is_wrong_is_said(voc: Callable[..., Path]) -> None:
    root = voc(
        xml="<annotation><filename>a.png</filename><size><width>80</width><height>100</height></size></annotation>"
    )
    dataset = load_boxes(root, "train", names=("cell",))
    assert (dataset[0].width, dataset[0].height) == (100, 80)
    assert dataset.report == ["a.png: stated as 80x100, is 100x80: the latter holds"]


def test_damaged_and_missing_pictures(voc: Callable[..., Path]) -> None:
    root = voc()
    picture = root / "JPEGImages" / "a.png"
    picture.write_bytes(b"no picture")
    with pytest.raises(
        DataError, match=r"got none in .* \(a\.png: unreadable, left out: a file that starts with b'no pictu'"
    ):
        load_boxes(root, "train")
    with pytest.raises(DataError, match=r"pictures that can be read; got a\.png: a file that starts"):
        load_boxes(root, "train", on_bad_label="error")
    picture.unlink()
    with pytest.raises(DataError, match=r"a picture for every annotation; got no file at .*a\.png; add it"):
        load_boxes(root, "train")


def test_unknown_policy(voc: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="on_bad_label out of error, drop_box, drop_image; got 'ignore'"):
        load_boxes(voc(), "train", on_bad_label="ignore")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "at least one class name; got none"),
        (("cell", "cell"), "every class name once; got twice: cell"),
        (("cell", 3), "class names that are text; got int '3'"),
        (("cell", " "), "class names that are text"),
        ("cell", "a list of class names; got one text: 'cell'"),
    ],
)
def test_refused_names(names: tuple, words: str) -> None:
    with pytest.raises(DataError, match=words):
        check_names(names)


@pytest.mark.parametrize("name", ["../a.png", "x/../../a.png", "/etc/passwd", "..\\a.png", "C:\\a.png", "C:a", "a\0b"])
def test_names_that_lead_outside(name: str) -> None:
    with pytest.raises(DataError, match="file names inside data"):
        inside(Path("data"), name)


def test_names_that_stay_inside() -> None:
    assert inside(Path("data"), "x", "./a..b.png") == Path("data/x/a..b.png")


def test_counts_and_access(voc: Callable[..., Path]) -> None:
    dataset = load_boxes(voc([GOOD, ("dot", 1, 2, 3, 4)]), "train", names=("void", "dot", "cell"))
    assert dataset.counts() == {"void": 0, "dot": 1, "cell": 1}
    assert len(dataset) == len(list(dataset)) == 1
    assert dataset[0].class_ids.tolist() == [2, 1]
