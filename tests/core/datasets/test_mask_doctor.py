"""The doctor's findings on masks, each with the line that mends it; following the line makes the finding go."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.apps.cli import main
from striate.core.datasets.doctor import examine
from striate.core.datasets.findings import Finding
from striate.tests.core.datasets.mask_sets import classes, squares, write_pair


def found(root: Path) -> dict[str, Finding]:
    return {finding.kind: finding for finding in examine(root)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for stem in ("a", "b", "c"):
        write_pair(tmp_path / "set", "masks", stem, squares())
    classes(tmp_path / "set", "0 ground", "1 square")
    return tmp_path / "set"


def test_healthy_masks(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[int, int]] = []
    assert examine(root, on_progress=lambda done, total: seen.append((done, total))) == []
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert main(["doctor", str(root)]) == 0
    assert "nothing to complain about" in capsys.readouterr().err


def test_masks_of_0_and_255_and_the_cure(root: Path) -> None:
    for stem in ("a", "b", "c"):
        write_pair(root, "masks", stem, squares(255))
    finding = found(root)["0 and 255 only"]
    assert finding.level == "error"
    assert "'0 background' and '255 foreground' into classes.txt" in finding.text
    assert "a.png: 0 (90.0%), 255 (10.0%)" in finding.sources[0]
    (root / "classes.txt").unlink()
    assert "'0 background' and '255 foreground'" in found(root)["what values mean"].text
    classes(root, "0 background", "255 foreground")
    assert found(root) == {}


def test_one_mask_of_0_and_255_among_others(root: Path) -> None:
    write_pair(root, "masks", "a", squares(255))
    finding = found(root)["0 and 255 only"]
    assert finding.level == "note"
    assert "1 of 3 masks" in finding.text
    assert "write its class id into these files" in finding.text


def test_values_without_a_class_and_the_cure(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pair(root, "masks", "b", squares(7))
    finding = found(root)["values without a class"]
    assert "add lines such as '7 NAME' to classes.txt" in finding.text
    assert "b.png: 0 (90.0%), 7 (10.0%)" in finding.sources[0]
    assert main(["doctor", str(root), "--json"]) == 3
    assert "values without a class" in capsys.readouterr().out
    classes(root, "0 ground", "1 square", "7 circle")
    assert found(root) == {}


def test_names_that_are_missing(root: Path) -> None:
    (root / "classes.txt").unlink()
    assert "the lines '0 NAME', '1 NAME'" in found(root)["what values mean"].text


def test_partners_sizes_and_damaged_files(root: Path) -> None:
    (root / "masks" / "a.png").unlink()
    (root / "images" / "b.png").unlink()
    write_pair(root, "masks", "d", squares(), size=(5, 6))
    write_pair(root, "masks", "e", squares())
    data = (root / "masks" / "e.png").read_bytes()
    (root / "masks" / "e.png").write_bytes(data[:-30])
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    findings = found(root)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert f"add {root / 'masks' / 'a'}.png" in findings["picture without mask"].text
    assert findings["mask without picture"].sources == (str(root / "masks" / "b.png"),)
    assert "got 30x20 for a picture of 6x5" in findings["size mismatch"].text
    assert findings["unreadable"].sources == (str(root / "masks" / "e.png"),)
    assert all(finding.level == "error" for finding in findings.values())


def test_a_damaged_picture_is_named_and_counted(root: Path) -> None:
    picture = root / "images" / "b.png"
    picture.write_bytes(picture.read_bytes()[:-200])
    seen: list[tuple[int, int]] = []
    finding = {f.kind: f for f in examine(root, on_progress=lambda *s: seen.append(s))}["unreadable"]
    assert finding.sources == (str(picture),)
    assert str(picture) in finding.text
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_class_ids_of_16_bits_that_pass_for_objects_and_the_cure(tmp_path: Path) -> None:
    write_pair(tmp_path, "masks", "a", squares(2, dtype=np.uint16))
    finding = found(tmp_path)["instance maps"]
    assert finding.level == "note"
    assert "if the values are class ids, write classes.txt" in finding.text
    classes(tmp_path, "0 ground", "2 square")
    assert found(tmp_path) == {}


def test_palettes_that_number_the_classes_differently_and_the_cure(root: Path) -> None:
    for stem, palette, value in (("a", [0, 0, 0, 9, 9, 9, 1, 2, 3], 1), ("b", [0, 0, 0, 1, 2, 3, 9, 9, 9], 2)):
        picture = Image.fromarray(squares(value))
        picture.putpalette(palette)
        picture.save(root / "masks" / f"{stem}.png")
    picture.save(root / "masks" / "c.png")
    classes(root, "0 ground", "1 square", "2 circle")
    write_pair(root, "masks", "d", squares())
    other = Image.fromarray(squares())
    other.putpalette([0, 0, 0, 1, 2, 3])
    other.save(root / "masks" / "d.png")
    finding = found(root)["palettes differ"]
    assert "value 1 is (9, 9, 9) and (1, 2, 3)" in finding.text
    assert "'NAME:R,G,B'" in finding.text
    (root / "classes.txt").unlink()
    classes(root, "ground:0,0,0", "square:9,9,9", "circle:1,2,3", name="labelmap.txt")
    assert found(root) == {}


def test_single_classes_absent_ones_and_ignored_masks(root: Path) -> None:
    write_pair(root, "masks", "a", squares(0))
    write_pair(root, "masks", "b", np.full((20, 30), 255, np.uint8))
    classes(root, "0 ground", "1 square", "2 circle")
    findings = found(root)
    assert "no pixel of circle" in findings["absent classes"].text
    assert "1 of 3 masks have one class only" in findings["masks of one class"].text
    assert "1 masks in which every pixel is ignored" in findings["nothing but ignored"].text
    write_pair(root, "masks", "c", squares(0))
    assert "every pixel is 'ground'" in found(root)["a single class"].text


def test_rare_classes(root: Path) -> None:
    for stem in ("a", "b", "c"):
        mask = np.zeros((100, 100), np.uint8)
        mask[0, :2] = 1
        write_pair(root, "masks", stem, mask)
    assert "few pixels of square (0.02%)" in found(root)["rare classes"].text


def test_pictures_that_two_splits_share(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_pair(tmp_path, f"{split}annot", split, squares(), images=split)
    classes(tmp_path, "0 ground", "1 square")
    assert "shared between splits" not in found(tmp_path)
    shutil.copy(tmp_path / "train" / "train.png", tmp_path / "val" / "val.png")
    assert found(tmp_path)["shared between splits"].level == "error"


def test_a_split_that_cannot_be_read_and_colour_masks(root: Path) -> None:
    Image.fromarray(squares()).save(root / "masks" / "a.tif")
    assert "one file of each name" in found(root)["cannot be read"].text
    (root / "masks" / "a.tif").unlink()
    colours = np.zeros((20, 30, 3), np.uint8)
    colours[3:9] = (1, 2, 3)
    write_pair(root, "masks", "a", colours)
    assert "one line 'NAME:R,G,B'" in found(root)["unreadable"].text
