"""Pascal VOC: layout, names, hostile XML."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from striate.core.checks import DataError
from striate.core.datasets import load_boxes
from striate.core.datasets.voc import parse_xml


def test_read(voc: Callable[..., Path]) -> None:
    root = voc([("dot", 10.5, 20, 30, 60.25), ("cell", 0, 0, 100, 80)])
    dataset = load_boxes(root, "train")
    assert (dataset.format, dataset.split, dataset.names, dataset.root) == ("voc", "train", ("cell", "dot"), root)
    assert dataset[0].image == root / "JPEGImages" / "a.png"
    assert dataset[0].boxes.tolist() == [[10.5, 20, 30, 60.25], [0, 0, 100, 80]]
    assert dataset[0].class_ids.tolist() == [1, 0]
    assert not dataset[0].crowd.any()
    assert dataset.report == []


def test_names_come_from_the_train_split(voc: Callable[..., Path]) -> None:
    root = voc([("zebra", 1, 2, 3, 4)], stem="v")
    (root / "ImageSets" / "Main" / "train.txt").rename(root / "ImageSets" / "Main" / "val.txt")
    assert load_boxes(root, "val").names == ("zebra",)
    voc([("zebra", 1, 2, 3, 4), ("ape", 1, 2, 3, 4)])
    assert load_boxes(root, "val").names == ("ape", "zebra")


def test_split_lists_with_flags_spaces_and_blank_lines(voc: Callable[..., Path]) -> None:
    root = voc(stem="blood image 1")
    (root / "ImageSets" / "Main" / "train.txt").write_text("blood image 1  -1\n\n")
    assert load_boxes(root, "train")[0].image.name == "blood image 1.png"


def test_wrong_suffix_in_the_annotation(voc: Callable[..., Path]) -> None:
    root = voc(xml="<annotation><filename>a.jpg</filename></annotation>")
    assert load_boxes(root, "train", names=["cell"])[0].image.name == "a.png"


def test_parts_inside_objects_are_not_objects(voc: Callable[..., Path]) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    root = voc(
        xml=f"<annotation><object>{part}<name> cell </name><bndbox><ymax>60</ymax><xmin>10</xmin><ymin>20</ymin>"
        "<xmax>30</xmax></bndbox></object></annotation>"
    )
    dataset = load_boxes(root, "train")
    assert dataset.names == ("cell",)
    assert dataset[0].boxes.tolist() == [[10, 20, 30, 60]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_entity_bombs_are_refused_in_any_encoding(encoding: str, voc: Callable[..., Path]) -> None:
    levels = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    bomb = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE x [<!ENTITY e0 "aaaaaaaaaa">{levels}]><x>&e11;</x>'
    with pytest.raises(DataError, match=r"plain XML; got a DOCTYPE or entity in a\.xml; take it out"):
        load_boxes(voc(xml=bomb.encode(encoding)), "train")


def test_external_entities_are_refused(voc: Callable[..., Path]) -> None:
    xml = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation><filename>&e;</filename></annotation>'
    with pytest.raises(DataError, match="a DOCTYPE or entity"):
        load_boxes(voc(xml=xml), "train")


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        ("", "an annotation in XML; got no element found"),
        ("not xml", "an annotation in XML; got syntax error"),
        ("<annotation>", "got no element found"),
        (b"\xff\xd8\xff\xe0", "got not well-formed"),
        ('<?xml version="1.0" encoding="klingon"?><a/>', "got unknown encoding"),
        ("<a>" * 40 + "</a>" * 40, "more than 32 levels in a.xml"),
        ("<annotation><filename>../../a.png</filename></annotation>", "file names inside"),
        ("<annotation><filename>/etc/passwd</filename></annotation>", "file names inside"),
    ],
)
def test_refused_annotations(xml: str | bytes, words: str, voc: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=words):
        load_boxes(voc(xml=xml), "train", names=["cell"])


def test_an_annotation_above_the_limit_is_refused(voc: Callable[..., Path]) -> None:
    root = voc()
    with (root / "Annotations" / "a.xml").open("wb") as file:
        file.truncate(2**34)
    with pytest.raises(DataError, match="an annotation of at most 16,777,216 bytes"):
        load_boxes(root, "train")


def test_missing_split_annotation_and_list(voc: Callable[..., Path]) -> None:
    root = voc()
    with pytest.raises(DataError, match="a split out of train; got 'trian'; did you mean 'train'"):
        load_boxes(root, "trian")
    with pytest.raises(DataError, match="file names inside"):
        load_boxes(root, "../../x")
    (root / "Annotations" / "a.xml").unlink()
    with pytest.raises(DataError, match=r"an annotation for every picture; got No such file or directory: .*a\.xml"):
        load_boxes(root, "train")
    (root / "ImageSets" / "Main" / "train.txt").write_text("../../../etc/passwd\n")
    with pytest.raises(DataError, match="file names inside"):
        load_boxes(root, "train")
    (root / "ImageSets" / "Main" / "train.txt").write_text("\n")
    with pytest.raises(DataError, match="at least one"):
        load_boxes(root, "train", names=["cell"])
    (root / "ImageSets" / "Main" / "train.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match="one name a line"):
        load_boxes(root, "train")


def test_text_around_entities_of_the_language_is_kept() -> None:
    assert parse_xml(b"<a><b>x &amp; y</b></a>", "a.xml").findtext("b") == "x & y"


def test_blood_cells(shared_data: Path) -> None:
    train, val = (load_boxes(shared_data / "bccd", split) for split in ("train", "val"))
    assert (len(train), len(val)) == (205, 87)
    assert train.names == val.names == ("Platelets", "RBC", "WBC")
    assert train.report == ["BloodImage_00343.jpg: RBC box (181, 329, 181, 329) has no area: box dropped"]
    assert val.report == ["BloodImage_00338.jpg: RBC box (504, 337, 504, 337) has no area: box dropped"]
    assert val.counts() == {"Platelets": 83, "RBC": 967, "WBC": 87}
