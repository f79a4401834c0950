"""What is written is read back the same, from every layout; nothing is overwritten."""

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from striate.core.checks import DataError, SaveError
from striate.core.datasets.load_masks import list_mask_splits, load_masks
from striate.core.datasets.masks import MaskDataset
from striate.core.datasets.write_masks import write_masks
from striate.tests.core.datasets.mask_sets import classes, squares, write_pair

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
        ({"names": ("a", "1 2 3 b")}, "class names for a class list; got '1 2 3 b'"),
        ({"names": ("a:1,2,3", "b")}, "class names for a class list; got 'a:1,2,3'"),
        ({"names": ("a", "b,1,2,3")}, "class names for a class list; got 'b,1,2,3'"),
        ({"names": ("a", "b\udc80")}, "class names for a class list"),
        ({"split": "labels"}, "a split's name of letters and digits; got 'labels'"),
        ({"pictures": [Path("x/.a.png"), Path("x/b.png")]}, r"names of picture files, such as a\.png; got x/\.a\.png"),
        ({"pictures": [Path("x/a.dat"), Path("x/b.png")]}, r"names of picture files, such as a\.png; got x/a\.dat"),
        ({"pictures": [Path("x/a.png"), Path("y/a.jpg")]}, "different names; got 'a' twice"),
        ({"masks": [squares(9), squares()]}, "values out of 0-1"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_masks(arrays(**changes), tmp_path / "set")
    assert not (tmp_path / "set").exists()


@given(st.lists(st.text(st.sampled_from("a1 ,:#*_é\u0663\t\x85"), min_size=1, max_size=9), min_size=2, max_size=2))
def test_class_names_come_back_or_are_refused(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    folder = tmp_path_factory.mktemp("set") / "to"
    with contextlib.suppress(DataError):
        assert load_masks(write_masks(arrays(names=tuple(names)), folder), "train").names == tuple(names)


def test_pictures_called_like_masks_of_others_keep_theirs(tmp_path: Path) -> None:
    stems = ("a", "a_L", "a_1", "a_1_mask", "a_mask")
    for value, stem in enumerate(stems):
        write_pair(tmp_path / "from", "masks", stem, np.full((4, 5), value, np.uint8))
    classes(tmp_path / "from", *map(str, range(5)))
    first = load_masks(tmp_path / "from", "train")
    again = load_masks(write_masks(first, tmp_path / "to"), "train")
    for dataset in (first, again):
        assert [(Path(dataset.source(i)).stem, dataset.mask(i)[0, 0]) for i in range(5)] == sorted(
            (stem, value) for value, stem in enumerate(stems)
        )


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
