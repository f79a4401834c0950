"""The result: measures, draws, saves itself, goes to JSON, CSV and COCO, and refuses what does not fit."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from striate.core.checks import ImageError, UsageError
from striate.core.datasets.mask_files import read_mask
from striate.segmentation import LabelMap

NAMES = ("background", "road", "sky", "tree")


@pytest.fixture
def found() -> LabelMap:
    labels = np.zeros((60, 80), np.uint8)
    labels[30:] = 1
    labels[:10, 20:] = 2
    return LabelMap(labels, NAMES, source="street.png", speed={"network": 3.14159})


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)


def test_areas_and_summary(found: LabelMap) -> None:
    assert found.size == (60, 80)
    assert found.counts() == {"background": 1800, "road": 2400, "sky": 600, "tree": 0}
    assert found.areas()["sky"] == {"pixels": 600, "share": 0.125}
    assert found.summary() == str(found) == "road 50.0 %, background 37.5 %, sky 12.5 %"
    np.testing.assert_array_equal(found.mask("road"), found.labels == 1)


def test_the_overlay_mixes_colours_and_leaves_the_picture_alone(found: LabelMap, picture: np.ndarray) -> None:
    before = picture.copy()
    drawn = found.draw_on(picture, opacity=0.25, legend=False)
    np.testing.assert_array_equal(picture, before)
    assert drawn.shape == picture.shape
    expected = np.rint(picture[40, 7] + 0.25 * (np.array(found.colours[1]) - picture[40, 7]))
    assert drawn[40, 7].tolist() == expected.tolist()
    np.testing.assert_array_equal(drawn[found.labels == 0], picture[found.labels == 0])  # background stays free
    np.testing.assert_array_equal(found.draw_on(picture, opacity=0, legend=False), picture)
    solid = found.draw_on(picture, opacity=1, classes=("sky",), legend=False)
    assert (solid[found.labels == 2] == found.colours[2]).all()
    np.testing.assert_array_equal(solid[found.labels == 1], picture[found.labels == 1])


def test_the_legend_stands_beside_the_picture(found: LabelMap, picture: np.ndarray) -> None:
    plain, drawn = found.draw_on(picture, legend=False), found.draw_on(picture)
    np.testing.assert_array_equal(drawn[:60, :80], plain)
    column = drawn[:, 80:]
    assert column.shape[1] > 50
    shown = {c for c in found.colours if (column == c).all(2).any()}
    assert shown == {found.colours[1], found.colours[2]}  # what is there and shown, nothing else
    dot = LabelMap(np.zeros((1, 1), np.uint8), ("a",)).draw_on(np.zeros((1, 1, 3), np.uint8))
    assert dot.shape[0] > 10  # grown downwards to hold its line


def test_a_large_picture_is_drawn_in_bands_without_seams() -> None:
    labels = np.ones((700, 5), np.uint8)
    drawn = LabelMap(labels, ("a", "b")).draw_on(np.full((700, 5, 3), 100, np.uint8), legend=False)
    assert (drawn == drawn[0, 0]).all()
    assert LabelMap(labels, ("a", "b")).counts() == {"a": 0, "b": 3500}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
def test_run_lengths_and_coco(found: LabelMap) -> None:
    entries = found.to_coco(image_id=7)
    assert [e["category_id"] for e in entries] == [1, 2]  # no background, nothing for trees
    for entry in entries:
        runs = {**entry["segmentation"], "counts": entry["segmentation"]["counts"].encode()}
        np.testing.assert_array_equal(coco.decode(runs) == 1, found.labels == entry["category_id"])
        assert entry["area"] == coco.area(runs)
        assert entry["bbox"] == coco.toBbox(runs).tolist()
        assert (entry["image_id"], entry["iscrowd"]) == (7, 0)
    json.dumps(entries)
    assert found.runs("sky", compressed=False)["size"] == [60, 80]


def test_polygons_by_class_and_size(found: LabelMap) -> None:
    found.labels[50, 50] = 3
    parts = found.polygons()
    assert [(p.label, p.area) for p in parts] == [("road", 2399), ("sky", 600), ("tree", 1)]
    assert len(parts[0].holes) == 1
    assert [p.label for p in found.polygons(least_area=2)] == ["road", "sky"]
    assert [p.class_id for p in found.polygons(classes=["background"])] == [0]


def test_the_palette_png_keeps_the_class_ids(found: LabelMap, tmp_path: Path) -> None:
    path = found.save(tmp_path / "labels.png")
    raw = read_mask(path)
    np.testing.assert_array_equal(raw.values, found.labels)
    with Image.open(path) as file:
        assert file.convert("RGB").getpixel((0, 59)) == found.colours[1]


def test_plain_data(found: LabelMap) -> None:
    data = json.loads(found.to_json())
    assert data["areas"]["road"] == {"pixels": 2400, "share": 0.5}
    assert (data["source"], data["height"], data["width"], data["speed_ms"]) == (
        "street.png",
        60,
        80,
        {"network": 3.14},
    )
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert rows[2] == {"label": "sky", "class_id": "2", "pixels": "600", "share": "0.125000"}


def test_what_does_not_fit(found: LabelMap, picture: np.ndarray) -> None:
    labels = found.labels
    with pytest.raises(UsageError, match=r"labels as uint8 \(H, W\); got int64 \(60, 80\)"):
        LabelMap(labels.astype(np.int64), NAMES)
    with pytest.raises(UsageError, match="class ids from 0 to 1; got 2; pass all names"):
        LabelMap(labels, NAMES[:2])
    with pytest.raises(UsageError, match="a colour for every class; got 1 colours and 4 names"):
        LabelMap(labels, NAMES, ((0, 0, 0),))
    with pytest.raises(UsageError, match=r"class to be one of background, road.*'rode'; did you mean 'road'"):
        found.mask("rode")
    with pytest.raises(UsageError, match="the picture that was segmented; got 40x60 for labels of 80x60"):
        found.draw_on(picture[:, :40])
    with pytest.raises(UsageError, match="opacity to lie between 0 and 1; got 2"):
        found.draw_on(picture, opacity=2)
    with pytest.raises(ImageError, match="a uint8 RGB image"):
        found.draw_on(picture[:, :, 0])
