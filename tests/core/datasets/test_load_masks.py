"""Layouts of pictures and masks: each is recognised, and whatever is missing or does not fit is named."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.core.checks import DataError, ImageError, UsageError
from striate.core.datasets.load_masks import list_mask_splits, load_masks, training_mask_splits
from striate.tests.core.datasets.conftest import write_picture
from striate.tests.core.datasets.mask_sets import classes, squares, write_pair


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """images/ + masks/ of two pictures, values 0 and 1, named."""
    for stem in ("a", "b"):
        write_pair(tmp_path, "masks", stem, squares())
    classes(tmp_path, "0 ground", "1 square")
    return tmp_path


def test_pictures_beside_masks(root: Path) -> None:
    dataset = load_masks(root, "train")
    assert (dataset.names, dataset.format, len(dataset)) == (("ground", "square"), "folders", 2)
    assert np.array_equal(dataset.mask(0), squares())
    assert list_mask_splits(root) == ["train"]


@pytest.mark.parametrize("outside", [True, False], ids=["val/images", "images/val"])
def test_splits_inside_and_outside(tmp_path: Path, outside: bool) -> None:
    for split in ("train", "val"):
        if outside:
            write_pair(tmp_path / split, "labels", split, squares())
        else:
            write_pair(tmp_path, f"labels/{split}", split, squares(), images=f"images/{split}")
    assert list_mask_splits(tmp_path) == ["train", "val"]
    dataset = load_masks(tmp_path, "val", names=("ground", "square"))
    assert Path(dataset.source(0)).stem == "val"


@pytest.mark.parametrize("ending", [".PNG", ".Png", "_mask.png", "_L.png"])
def test_upper_case_suffixes_and_endings(root: Path, ending: str) -> None:
    for stem in ("a", "b"):
        (root / "masks" / f"{stem}.png").rename(root / "masks" / f"{stem}{ending}")
    (root / "images" / "a.png").rename(root / "images" / "a.PNG")
    assert len(load_masks(root, "train")) == 2


@pytest.mark.parametrize(
    ("pictures", "masks", "expected"),
    [
        (("a", "a_L"), ("a_L",), {"a_L": "a_L"}),
        (("a", "a_L"), ("a_L", "a_L_L"), {"a": "a_L", "a_L": "a_L_L"}),
        (("a", "a_L"), ("a_L", "a_P"), {"a": "a_P", "a_L": "a_L"}),
        (("a", "a_mask"), ("a", "a_mask"), {"a": "a", "a_mask": "a_mask"}),
        (("a", "b"), ("a", "b_mask"), {"a": "a", "b": "b_mask"}),
    ],
)
def test_no_picture_takes_the_mask_of_another(
    tmp_path: Path, pictures: tuple[str, ...], masks: tuple[str, ...], expected: dict[str, str]
) -> None:
    for folder, stems in (("images", pictures), ("masks", masks)):
        (tmp_path / folder).mkdir()
        for stem in stems:
            Image.fromarray(squares()).save(tmp_path / folder / f"{stem}.png")
    classes(tmp_path, "0 ground", "1 square")
    dataset = load_masks(tmp_path, "train", on_fault="leave_out")
    pairs = zip(dataset.pictures, dataset.masks, strict=True)
    assert {p.stem: m.stem for p, m in pairs if isinstance(p, Path) and isinstance(m, Path)} == expected


def test_camvid(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_pair(tmp_path, f"{split}annot", "a", squares(11), images=split)
    classes(tmp_path, "0 Sky", "1 Road", "11 Unlabelled (void)")
    dataset = load_masks(tmp_path, "val")
    assert (dataset.names, dataset.format) == (("Sky", "Road"), "camvid")
    assert dataset.counts() == {"Sky": 540, "Road": 0}
    assert set(np.unique(dataset.mask(0))) == {0, 255}


def test_camvid_without_a_class_list_has_segnet_s_values(tmp_path: Path) -> None:
    write_pair(tmp_path, "testannot", "a", squares(11), images="test")
    dataset = load_masks(tmp_path, "test")
    assert (len(dataset.names), dataset.names[8]) == (11, "Car")
    assert set(np.unique(dataset.mask(0))) == {0, 255}
    with pytest.raises(DataError, match=r"values out of 0-1 .* got 11"):
        load_masks(tmp_path, "test", names=("a", "b")).mask(0)


def test_json_beside_masks_is_not_coco(root: Path) -> None:
    (root / "settings.json").write_text("{}")
    assert load_masks(root, "train").format == "folders"


@pytest.mark.parametrize(("dtype", "value"), [(np.uint16, 300), (bool, True), (np.int32, 70)])
def test_instance_maps_and_bits_become_foreground(tmp_path: Path, dtype: type, value: int) -> None:
    write_pair(tmp_path, "labels", "a", squares(value, dtype=dtype), suffix=".TIF" if dtype == np.int32 else ".png")
    dataset = load_masks(tmp_path, "train")
    assert dataset.names == ("background", "foreground")
    assert np.array_equal(dataset.mask(0), squares(1))
    assert load_masks(tmp_path, "train", names=("background", "nucleus")).names == ("background", "nucleus")
    told = ["masks of 16 bits are taken for instance maps" in line for line in dataset.report]
    assert told == ([] if dtype is bool else [True])
    classes(tmp_path, "0 background", "* foreground")
    assert load_masks(tmp_path, "train").report == []


def test_sixteen_bits_with_three_names_are_class_ids(tmp_path: Path) -> None:
    write_pair(tmp_path, "labels", "a", squares(2, dtype=np.uint16))
    assert load_masks(tmp_path, "train", names=("a", "b", "c")).counts() == {"a": 540, "b": 0, "c": 60}


def test_voc_takes_the_indices_of_palettes(tmp_path: Path) -> None:
    write_pair(tmp_path, "SegmentationClass", "a", squares(15), images="JPEGImages")
    picture = Image.fromarray(squares(15))
    picture.putpalette([7] * 768)
    picture.save(tmp_path / "SegmentationClass" / "a.png")
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "train.txt").write_text("a\n\n")
    dataset = load_masks(tmp_path, "train")
    assert dataset.format == "voc"
    assert len(dataset.names) == 21
    assert dataset.names[np.unique(dataset.mask(0))[1]] == "person"
    (tmp_path / "ImageSets" / "Segmentation" / "train.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match=r"a picture and a mask for every name; got no JPEGImages/b"):
        load_masks(tmp_path, "train")
    (tmp_path / "ImageSets" / "Segmentation" / "train.txt").write_text("../a\n")
    with pytest.raises(DataError, match="file names inside"):
        load_masks(tmp_path, "train")
    (tmp_path / "ImageSets" / "Segmentation" / "train.txt").write_bytes(b"\xff\n")
    with pytest.raises(DataError, match="one name a line"):
        load_masks(tmp_path, "train")


def test_pictures_without_masks_and_the_reverse(root: Path) -> None:
    (root / "masks" / "a.png").unlink()
    with pytest.raises(DataError, match=r"a mask for every picture; got none for .*a\.png; add .*masks/a\.png"):
        load_masks(root, "train")
    (root / "images" / "b.png").unlink()
    with pytest.raises(DataError, match=r"got none for .*images/a\.png \(and 1 more faults\)"):
        load_masks(root, "train")
    write_pair(root, "masks", "c", squares())
    dataset = load_masks(root, "train", on_fault="leave_out")
    assert len(dataset) == 1
    assert "left out: expected a mask for every picture" in dataset.report[0]
    assert "a picture for every mask; got none for" in dataset.report[1]


def test_other_sizes_and_damaged_files(root: Path) -> None:
    write_pair(root, "masks", "a", squares(), size=(40, 60))
    with pytest.raises(DataError, match="as large as its picture; got 30x20 for a picture of 60x40"):
        load_masks(root, "train")
    (root / "masks" / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a picture as JPEG, PNG.*a\.png"):
        load_masks(root, "train")
    assert len(load_masks(root, "train", on_fault="leave_out")) == 1
    (root / "masks" / "b.png").unlink()
    with pytest.raises(DataError, match="at least one picture with its mask in split 'train'"):
        load_masks(root, "train", on_fault="leave_out")


def test_a_lossy_mask_is_refused(root: Path) -> None:
    Image.fromarray(squares()).save(root / "masks" / "a.jpg")
    (root / "masks" / "a.png").unlink()
    with pytest.raises(ImageError, match=r"without loss; got a JPEG, which changes class ids: .*a\.jpg"):
        load_masks(root, "train").mask(0)


def test_two_files_of_one_name(root: Path) -> None:
    Image.fromarray(squares()).save(root / "masks" / "a.tif")
    with pytest.raises(DataError, match=r"one file of each name; got a\.png and a\.tif"):
        load_masks(root, "train")


def test_masks_of_0_and_255_are_not_taken_for_ignored_background(root: Path) -> None:
    (root / "classes.txt").unlink()
    for stem in ("a", "b"):
        write_pair(root, "masks", stem, squares(255))
    with pytest.raises(DataError, match=r"only 0 and 255 in masks of .* the lines '0 background' and '255 foreground'"):
        load_masks(root, "train", names=("ground", "square"))
    classes(root, "0 background", "255 foreground")
    assert load_masks(root, "train").counts() == {"background": 1080, "foreground": 120}


def test_values_without_names(root: Path) -> None:
    (root / "classes.txt").unlink()
    write_pair(root, "masks", "b", squares(9))
    with pytest.raises(DataError, match=r"names of the classes; .* the lines '0 NAME', '1 NAME', '9 NAME'"):
        load_masks(root, "train")
    with pytest.raises(DataError, match=r"values out of 0-1 .* got 9 in .*b\.png"):
        load_masks(root, "train", names=("ground", "square")).counts()


def test_colours_without_a_class_list(root: Path) -> None:
    (root / "classes.txt").unlink()
    write_pair(root, "masks", "a", np.repeat(squares(200)[..., None], 3, 2) * np.array([1, 0, 1], np.uint8))
    with pytest.raises(DataError, match=r"colours such as \(0, 0, 0\), \(200, 0, 200\) in .* one line 'NAME:R,G,B'"):
        load_masks(root, "train")
    classes(root, "ground:0,0,0::", "square:200,0,200::", name="labelmap.txt")
    dataset = load_masks(root, "train").subset([0])
    assert np.array_equal(dataset.mask(0), squares())
    assert dataset.colours[1] == (200, 0, 200)


def test_names_choose_and_order_the_classes_of_a_list(root: Path) -> None:
    write_pair(root, "masks", "a", squares(2))
    classes(root, "0 ground", "1 square", "2 round")
    dataset = load_masks(root, "train", names=("round", "ground"))
    assert dataset.counts() == {"round": 60, "ground": 540 + 540}
    with pytest.raises(DataError, match="class to be one of ground, square, round; got 'squares'; did you mean"):
        load_masks(root, "train", names=("squares",))


def test_what_is_no_dataset(tmp_path: Path, root: Path) -> None:
    with pytest.raises(DataError, match="a folder with a dataset; got nothing at"):
        load_masks(tmp_path / "nowhere", "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"trainannot/ \(CamVid\).* got none of them"):
        load_masks(tmp_path / "empty", "train")
    with pytest.raises(DataError, match="a split out of train; got 'trian'; did you mean 'train'"):
        load_masks(root, "trian")
    with pytest.raises(UsageError, match="format to be one of camvid"):
        load_masks(root, "train", format="camvit")
    with pytest.raises(UsageError, match="on_fault to be one of error, leave_out"):
        load_masks(root, "train", on_fault="ignore")
    write_pair(root, "fooannot", "a", squares(), images="foo")
    with pytest.raises(DataError, match=r"one format; got camvid and folders in .* pass format='camvid'"):
        load_masks(root, "train")
    assert len(load_masks(root, "train", format="folders")) == 2


def test_the_splits_that_a_training_takes(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_pair(tmp_path / split, "masks", "a", squares())
    classes(tmp_path, "0 ground", "1 square")
    train, val = training_mask_splits(tmp_path)
    assert val is not None
    assert (train.split, val.split) == ("train", "val")
    assert training_mask_splits(train) == (train, None)
    with pytest.raises(DataError, match="masks of the classes"):
        training_mask_splits(train, names=("a", "b"))
    with pytest.raises(DataError, match="validation masks of the classes"):
        training_mask_splits(train, load_masks(tmp_path, "val", names=("ground",)))
    with pytest.raises(DataError, match="validation pictures; got none"):
        training_mask_splits(train, val.subset([]))
    with pytest.raises(DataError, match="pictures to train on; got none in"):
        training_mask_splits(train.subset([]))


def test_coco_s_splits_of_a_year_are_the_training_s(coco: Callable[..., Path]) -> None:
    annotations = [{"image_id": 7, "category_id": 3, "segmentation": [[10, 20, 30, 20, 30, 60]]}]
    root = coco(annotations=annotations)
    only = root / "annotations" / "instances_train.json"
    for name in ("train2017", "val2017"):
        shutil.copy(only, root / "annotations" / f"instances_{name}.json")
        write_picture(root / "images" / name / "a.png")
    only.unlink()
    train, val = training_mask_splits(root)
    assert val is not None
    assert (train.pictures[0], val.pictures[0]) == tuple(
        root / "images" / f"{s}2017" / "a.png" for s in ("train", "val")
    )
