"""Recognising a format by its layout, and never touching what is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from striate.core.checks import DataError, UsageError
from striate.core.datasets import load_boxes


def fingerprint(root: Path) -> dict[str, tuple[int, str]]:
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("format", ["voc", "yolo", "coco"])
@pytest.mark.parametrize("stated", [True, False], ids=["stated", "recognised"])
def test_formats(format: str, stated: bool, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(format)()
    before = fingerprint(root)
    dataset = load_boxes(str(root), "train", format=format if stated else None, names=("cell", "dot"))
    assert dataset.format == format
    assert dataset.counts() == {"cell": 1, "dot": 0}
    assert fingerprint(root) == before


def test_unrecognised_folders(tmp_path: Path, voc: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="a folder with a dataset; got nothing at"):
        load_boxes(tmp_path / "none", "train")
    with pytest.raises(DataError, match=r"Annotations \+ ImageSets.*; got none of them in"):
        load_boxes(tmp_path, "train")
    root = voc()
    with pytest.raises(UsageError, match="format to be one of voc, yolo, coco; got 'cocoo'; did you mean 'coco'"):
        load_boxes(root, "train", format="cocoo")
    with pytest.raises(DataError, match="a folder, or the YAML file of a YOLO dataset"):
        load_boxes(root / "Annotations" / "a.xml", "train")
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / "train.json").write_text("{}")
    with pytest.raises(DataError, match=r"a folder of one format; got voc and coco in .*; pass format='voc'"):
        load_boxes(root, "train")
    assert load_boxes(root, "train", format="voc").counts() == {"cell": 1}
