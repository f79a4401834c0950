"""The doctor finds what would make a training or its figures wrong, and touches nothing."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.apps.cli import main
from striate.core.checks import DataError
from striate.core.datasets.doctor import examine
from striate.core.datasets.synthetic import write_synthetic


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 10)):
        for name in ("cat", "dog"):
            folder = tmp_path / "pets" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
                Image.fromarray(coarse).resize((40, 40), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return tmp_path / "pets"


def kinds(root: Path) -> dict[str, str]:
    return {finding.kind: finding.level for finding in examine(root)}


def test_a_healthy_dataset(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert examine(folders) == []
    assert main(["doctor", str(folders)]) == 0
    assert "nothing to complain about" in capsys.readouterr().err


def test_every_fault_is_named(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, val = folders / "train", folders / "val"
    shutil.copy(train / "cat" / "3.png", val / "cat" / "renamed.png")
    shutil.copy(train / "dog" / "1.png", train / "cat" / "two-labels.png")
    shutil.copy(train / "dog" / "2.png", train / "dog" / "copy.png")
    Image.open(train / "dog" / "5.png").resize((64, 64)).save(val / "dog" / "larger.jpg")
    Image.new("L", (9, 30), 128).save(train / "dog" / "tiny.png")
    before = {path: path.read_bytes() for path in folders.rglob("*") if path.is_file()}
    found = {finding.kind: finding for finding in examine(folders)}
    assert found["shared between splits"].level == "error"
    assert "renamed.png" in found["shared between splits"].sources[0]
    assert "two-labels.png" in found["one picture, two labels"].sources[0]
    assert any("copy.png" in source for source in found["duplicates"].sources)
    assert "larger.jpg" in found["alike between splits"].sources[0]
    assert "tiny.png" in found["tiny"].sources[0]
    assert "3 sizes, sides from 9 to 64" in found["mixed sizes"].text
    assert "1 of 49 pictures are grey" in found["mixed modes"].text
    assert {path: path.read_bytes() for path in folders.rglob("*") if path.is_file()} == before
    assert main(["doctor", str(folders), "--json"]) == 3
    assert '"task": "doctor"' in capsys.readouterr().out


def test_few_and_uneven(folders: Path) -> None:
    for i in range(3, 10):
        (folders / "val" / "dog" / f"{i}.png").unlink()
    found = {finding.kind: finding for finding in examine(folders)}
    assert found["few pictures"].text == "val: fewer than 10 pictures of dog (3)"
    assert found["few pictures"].level == "note"


def test_splits_that_cannot_be_read(folders: Path) -> None:
    shutil.rmtree(folders / "val" / "dog")
    (folders / "val" / "wolf").mkdir()
    shutil.copy(folders / "train" / "cat" / "1.png", folders / "val" / "wolf" / "1.png")
    found = {finding.kind: finding for finding in examine(folders)}
    assert "wolf" in found["cannot be read"].text
    assert found["cannot be read"].level == "error"


def test_an_empty_class_folder(folders: Path) -> None:
    (folders / "train" / "bird").mkdir()
    found = {finding.kind: finding for finding in examine(folders)}
    assert "pictures of class 'bird'" in found["cannot be read"].text


def test_boxes(tmp_path: Path) -> None:
    root = write_synthetic(tmp_path / "shapes", 3, 2, scene="shapes", size=(48, 64), seed=0)
    assert "shared between splits" not in kinds(root)
    seen: list[tuple[int, int]] = []
    examine(root, on_progress=lambda *s: seen.append(s))
    assert seen == [(i, 5) for i in range(1, 6)]
    pictures = sorted((root / "JPEGImages").iterdir())
    names = {split: (root / "ImageSets" / "Main" / f"{split}.txt").read_text().split() for split in ("train", "val")}
    first, second = (next(p for p in pictures if p.stem == names[split][0]) for split in ("train", "val"))
    second.write_bytes(first.read_bytes())
    assert kinds(root)["shared between splits"] == "error"


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        examine(tmp_path)


def test_an_unreadable_picture_is_an_error(folders: Path, tmp_path: Path) -> None:
    """Few enough for the readers, which leave them out; whether the header or the body is damaged."""
    (folders / "train" / "cat" / "0.png").write_bytes(b"")
    body = (folders / "val" / "dog" / "0.png").read_bytes()
    (folders / "val" / "dog" / "0.png").write_bytes(body[: len(body) // 2])
    found = {finding.kind: finding.level for finding in examine(folders)}
    assert found == {"unreadable": "error"}
    assert len(examine(folders)) == 2
    assert main(["doctor", str(folders)]) == 3
    boxes = write_synthetic(tmp_path / "shapes", 3, 2, scene="shapes", size=(48, 64), seed=0)
    picture = sorted((boxes / "JPEGImages").iterdir())[0]
    picture.write_bytes(b"nothing")
    (finding,) = [one for one in examine(boxes) if one.kind == "unreadable"]
    assert (finding.level, picture.name in finding.text) == ("error", True)
    assert "label" not in kinds(boxes)
