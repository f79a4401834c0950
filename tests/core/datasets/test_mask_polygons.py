"""COCO's polygons and run lengths become masks; pycocotools draws nearly the same."""

import contextlib
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.core.checks import DataError
from striate.core.datasets.load_masks import load_masks
from striate.core.datasets.mask_polygons import Region, Regions
from striate.core.datasets.run_lengths import encode_runs
from striate.tests.core.datasets.conftest import write_picture

SQUARE = [10, 20, 30, 20, 30, 60, 10, 60]


def entry(segmentation: object, **changes: object) -> dict:
    return {"id": 1, "image_id": 7, "category_id": 3, "segmentation": segmentation} | changes


def test_polygons(coco: Callable[..., Path]) -> None:
    dataset = load_masks(coco(annotations=[entry([SQUARE])]), "train")
    assert (dataset.format, dataset.names) == ("coco", ("background", "cell", "dot"))
    expected = np.zeros((80, 100), np.uint8)
    expected[20:60, 10:30] = 1
    assert np.array_equal(dataset.mask(0), expected)
    assert dataset.image(0).shape == (80, 100, 3)


def test_the_smaller_object_lies_on_top_and_parts_belong_together(coco: Callable[..., Path]) -> None:
    small = entry([[15, 25, 18, 25, 18, 28, 15, 28], [50, 70, 52, 70, 52, 72, 50, 72]], id=2, category_id=90)
    for annotations in ([small, entry([SQUARE])], [entry([SQUARE]), small]):
        mask = load_masks(coco(annotations=annotations), "train").mask(0)
        assert mask[26, 16] == 2
        assert mask[71, 51] == 2
        assert mask[30, 20] == 1
        assert np.bincount(mask.ravel()).tolist() == [8000 - 800 - 4, 800 - 9, 13]


@pytest.mark.parametrize("compressed", [True, False])
def test_run_lengths(coco: Callable[..., Path], compressed: bool) -> None:
    inside = np.zeros((80, 100), bool)
    inside[3:9, 5:50] = True
    root = coco(annotations=[entry(encode_runs(inside, compressed=compressed), iscrowd=1)])
    assert np.array_equal(load_masks(root, "train").mask(0), inside)


def test_names_choose_categories_and_the_others_are_ignored(coco: Callable[..., Path]) -> None:
    dataset = load_masks(coco(annotations=[entry([SQUARE])]), "train", names=("background", "dot"))
    assert dataset.counts() == {"background": 7200, "dot": 0}
    assert (dataset.mask(0) == 255).sum() == 800
    turned = load_masks(dataset.root, "train", names=("cell", "background"))
    assert turned.counts() == {"cell": 800, "background": 7200}
    alone = load_masks(dataset.root, "train", names=("dot", "cell"))  # no class for what lies outside: ignored
    assert alone.counts() == {"dot": 0, "cell": 800}
    assert (alone.mask(0) == 255).sum() == 7200
    with pytest.raises(DataError, match=r"class to be one of background, cell, dot; got 'sell'; did you mean 'cell'"):
        load_masks(dataset.root, "train", names=("background", "sell"))


def test_objects_are_drawn_one_after_the_other(coco: Callable[..., Path]) -> None:
    """Memory does not grow with their number, and equal ones lie in their order."""
    many = [entry([[x, 2, x + 9, 2, x + 9, 11, x, 11]], id=x, category_id=(3, 90)[x % 2]) for x in range(1, 90)]
    mask = load_masks(coco(annotations=many), "train").masks[0]
    assert isinstance(mask, Regions)
    assert mask.ids()[5, 1:98].tolist() == [1 + x % 2 for x in range(1, 90)] + [2] * 8
    size = (1000, 1000)
    square = Region(1, (np.array([[2.0, 2], [9, 2], [9, 9]]),))
    Regions(size, [square]).ids()
    peaks = []
    for count in (1, 100):
        tracemalloc.start()
        Regions(size, [square] * count).ids()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools under NumPy 2
def test_pycocotools_draws_the_same_up_to_the_edge() -> None:
    coco_mask = pytest.importorskip("pycocotools.mask")
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    for _ in range(20):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        radii = rng.uniform(20, 35, 9)
        points = np.stack((50 + radii * np.cos(angles), 40 + radii * np.sin(angles)), 1)
        ours = Regions((80, 100), [Region(1, (points,))]).ids() > 0
        theirs = coco_mask.decode(coco_mask.frPyObjects([points.ravel().tolist()], 80, 100))[..., 0] > 0
        edge = cv2.dilate(theirs.astype(np.uint8), np.ones((3, 3))) - cv2.erode(
            theirs.astype(np.uint8), np.ones((3, 3))
        )
        assert not (ours ^ theirs)[edge == 0].any()
        assert (ours ^ theirs).sum() < 0.1 * edge.sum()  # 0.044 at most here: their edges lie on a grid of 1/5 pixel


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": [entry(None)]}, "polygons or run lengths as segmentation; got neither in annotation 1"),
        ({"annotations": [entry([[1, 2, 3, 4]])]}, "neither in annotation 1"),
        ({"annotations": [entry({"size": [], "counts": []})]}, "neither in annotation 1"),
        ({"annotations": [entry([[1, 2, 3, 4, 5, 1e9]])]}, "neither in annotation 1"),
        ({"annotations": [entry([SQUARE], image_id=8)]}, "listed images and categories; got image 8 of annotation 1"),
        ({"annotations": [entry([SQUARE], category_id=8)]}, "got category 8 of annotation 1"),
        ({"annotations": [entry({"size": [9, 9], "counts": [81]})]}, "of the picture's size; got 9x9 for a picture"),
        ({"images": [{"id": 7, "file_name": "a.png", "width": 10, "height": 80}]}, "got 10x80 for a picture of 100x80"),
        ({"images": [{"id": 7, "file_name": "b.png"}]}, "no file at"),
        ({"images": [{"id": 7, "file_name": "../b.png"}]}, "file names inside"),
        ({"images": [{"id": 7}]}, r"annotations \(image_id, category_id, segmentation\).*KeyError"),
        ({"annotations": [{"image_id": 7}]}, "KeyError 'category_id'"),
    ],
)
def test_faults(coco: Callable[..., Path], changes: dict, message: str) -> None:
    root = coco(**{"annotations": [entry([SQUARE])]} | changes)
    with pytest.raises(DataError, match=message):
        load_masks(root, "train")


def test_faults_are_left_out_and_named(coco: Callable[..., Path]) -> None:
    root = coco(annotations=[entry([SQUARE]), entry([], id=5)])
    dataset = load_masks(root, "train", on_fault="leave_out")
    assert dataset.counts()["cell"] == 800
    assert "annotation 5" in dataset.report[0]
    with pytest.raises(DataError, match="at least one picture"):
        load_masks(coco(images=[{"id": 7, "file_name": "b.png"}]), "train", on_fault="leave_out")


def test_the_fingerprint_knows_the_polygons(coco: Callable[..., Path]) -> None:
    first = load_masks(coco(annotations=[entry([SQUARE])]), "train").fingerprint()
    assert load_masks(coco(annotations=[entry([SQUARE])]), "train").fingerprint() == first
    assert load_masks(coco(annotations=[entry([[11, *SQUARE[1:]]])]), "train").fingerprint() != first


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.sampled_from(["size", "counts", "id"]), inner),
    max_leaves=12,
)


@settings(max_examples=40)
@given(JSON, JSON)
def test_any_segmentation_is_a_mask_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, segmentation: object, category: object
) -> None:
    root = tmp_path_factory.getbasetemp() / "fuzz"
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    write_picture(root / "a.png", 4, 4)
    content = {
        "images": [{"id": 7, "file_name": "a.png"}],
        "categories": [{"id": 3, "name": "cell"}],
        "annotations": [entry(segmentation), entry([[1, 1, 3, 1, 3, 3]], category_id=category)],
    }
    (root / "annotations" / "instances_train.json").write_text(json.dumps(content))
    with contextlib.suppress(DataError):
        assert load_masks(root, "train").mask(0).shape == (4, 4)
