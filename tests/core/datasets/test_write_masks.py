"""What is written is read back the same, from every layout; nothing is overwritten."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.core.checks import DataError, SaveError
from striate.core.datasets.load_masks import list_mask_splits, load_masks
from striate.core.datasets.masks import MaskDataset
from striate.core.datasets.write_masks import write_masks
from striate.tests.core.datasets.mask_sets import squares, write_pair

COLOURS = ((9, 8, 7), (1, 2, 3))


def arrays(**changes: object) -> MaskDataset:
    mask = squares()
    mask[0] = 255
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (20, 30, 3), dtype=np.uint8) for _ in range(2)]
    return replace(MaskDataset(pictures, [mask, squares()], ("the ground", "square"), COLOURS), **changes)


def test_two_splits_there_and_back(tmp_path: Path) -> None:
    dataset = arrays()
    folder = write_masks(dataset, tmp_path / "set")
    write_masks(arrays(split="val"), folder)
    assert list_mask_splits(folder) == ["train", "val"]
    read = load_masks(folder, "train")
    assert read.names == dataset.names
    for i in range(2):
        for ours, theirs in zip(read.pair(i), dataset.pair(i), strict=True):
            assert np.array_equal(ours, theirs)
    with Image.open(folder / "masks" / "train" / "000000.png") as picture:
        assert picture.mode == "P"
        assert np.asarray(picture.convert("RGB"))[5, 6].tolist() == [1, 2, 3]


def test_files_are_copied_and_instance_maps_become_classes(tmp_path: Path) -> None:
    write_pair(tmp_path / "from", "labels", "a", squares(700, dtype=np.uint16))
    read = load_masks(write_masks(load_masks(tmp_path / "from", "train"), tmp_path / "to"), "train")
    assert np.array_equal(read.mask(0), squares())
    assert Path(read.source(0)).read_bytes() == (tmp_path / "from" / "images" / "a.png").read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "a/b"}, "a split's name of letters and digits; got 'a/b'"),
        ({"names": ("a", "void")}, "class names for a class list; got 'void'"),
        ({"names": ("a", "b  c")}, "class names for a class list"),
        ({"pictures": [Path("x/a.png"), Path("y/a.jpg")]}, "different names; got 'a' twice"),
        ({"masks": [squares(9), squares()]}, "values out of 0-1"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_masks(arrays(**changes), tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    folder = write_masks(arrays(), tmp_path / "set")
    with pytest.raises(DataError, match="a folder without split 'train'"):
        write_masks(arrays(), folder)
    with pytest.raises(DataError, match=r"the classes that .*classes\.txt lists; got a, b"):
        write_masks(arrays(split="val", names=("a", "b")), folder)
    with pytest.raises(DataError, match="outside the dataset"):
        write_masks(load_masks(folder, "train"), folder / "copy")
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="to write a dataset into"):
        write_masks(arrays(), tmp_path / "file" / "set")
