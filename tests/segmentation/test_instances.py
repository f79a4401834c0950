"""Objects are parted where they touch, numbered, measured, and written to a table."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from skimage.measure import label, regionprops
from skimage.morphology import reconstruction

from striate.core.checks import SaveError, UsageError
from striate.segmentation.instances import Instances, _distance, _reconstruct, find_instances


def discs(*middles: tuple[int, int], radius: int = 10, size: tuple[int, int] = (60, 90)) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.any([(rows - y) ** 2 + (columns - x) ** 2 <= radius**2 for y, x in middles], axis=0)


def test_touching_discs_are_parted_and_components_are_not() -> None:
    foreground = discs((30, 20), (30, 37), (30, 70))
    assert len(find_instances(foreground, method="components")) == 2
    found = find_instances(foreground)
    assert len(found) == 3
    assert np.array_equal(found.labels > 0, foreground)
    assert found.centroids.round(0).tolist() == [[20, 30], [38, 30], [70, 30]]
    assert found.boxes[2].tolist() == [60, 20, 81, 41]


def test_more_depth_parts_less() -> None:
    foreground = discs((30, 20), (30, 33))
    counts = [len(find_instances(foreground, depth=depth)) for depth in (0.3, 0.75, 2, 6)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 2
    assert counts[-1] == 1


@pytest.mark.parametrize("method", ["watershed", "components"])
def test_components_are_scikit_images(method: str) -> None:
    foreground = np.random.default_rng(0).random((40, 50)) < 0.45
    found = find_instances(foreground, method=method, depth=1000.0)
    expected = label(foreground, connectivity=1)
    assert len(found) == expected.max()
    assert np.array_equal(found.labels, expected)  # numbered by their first pixel as well


def test_thin_pieces_are_objects_too_unless_too_small() -> None:
    foreground = discs((30, 30))
    foreground[2, 5:9] = True
    foreground[50, 80] = True
    assert len(find_instances(foreground)) == 3
    found = find_instances(foreground, least_area=4)
    assert len(found) == 2
    assert found.areas.tolist() == [4, discs((30, 30)).sum()]
    assert found.labels[2, 5] == 1
    assert found.labels[50, 80] == 0


def test_an_object_cut_by_the_rim_is_one() -> None:
    assert len(find_instances(discs((0, 30), (59, 70)))) == 2
    assert len(find_instances(np.ones((30, 40), bool))) == 1


def test_figures_are_scikit_images() -> None:
    found = find_instances(np.random.default_rng(1).random((30, 40)) < 0.6)
    regions = regionprops(found.labels)
    assert len(found) == len(regions)
    assert found.areas.tolist() == [region.area for region in regions]
    theirs = [[region.centroid[1] + 0.5, region.centroid[0] + 0.5] for region in regions]
    assert found.centroids == pytest.approx(np.array(theirs))
    boxes = [[r.bbox[1], r.bbox[0], r.bbox[3], r.bbox[2]] for r in regions]
    assert found.boxes.tolist() == boxes


def test_the_reconstruction_is_scikit_images() -> None:
    distance = _distance((np.random.default_rng(2).random((50, 60)) < 0.9).astype(np.uint8))
    seed = np.maximum(distance - np.float32(0.75), 0)
    assert np.array_equal(_reconstruct(seed, distance), reconstruction(seed, distance, footprint=np.ones((3, 3))))


def test_the_table(tmp_path: Path) -> None:
    found = find_instances(discs((30, 20), (30, 70)))
    path = found.save_csv(tmp_path / "nuclei.csv")
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [row["id"] for row in rows] == ["1", "2"]
    assert list(rows[0])[:2] == ["id", "area"]
    assert [int(row["area"]) for row in rows] == found.areas.tolist()
    assert (float(rows[1]["centroid_x"]), float(rows[1]["left"])) == (70.5, 60.0)
    assert found.to_rows()[0] == {
        "id": 1, "area": 317, "centroid_x": 20.5, "centroid_y": 30.5, "left": 10, "top": 20, "right": 31, "bottom": 41,
    }  # fmt: skip
    assert found.summary() == {"count": 2, "area": 634, "median": 317.0, "smallest": 317, "largest": 317}
    with pytest.raises(SaveError):
        found.save_csv(tmp_path / "nowhere" / "a.csv")


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (7, 9)])
def test_nothing_there(shape: tuple[int, int]) -> None:
    found = find_instances(np.zeros(shape, bool))
    assert len(found) == 0
    assert found.labels.shape == shape
    assert found.to_csv().count("\n") == 1
    assert found.summary() == {"count": 0, "area": 0, "median": None, "smallest": None, "largest": None}
    assert found.centroids.shape == (0, 2)
    assert found.boxes.shape == (0, 4)


def test_one_pixel() -> None:
    found = find_instances(np.ones((1, 1), np.uint8))
    assert found.to_rows()[0]["area"] == 1
    assert found.centroids.tolist() == [[0.5, 0.5]]
    assert isinstance(found, Instances)


@pytest.mark.parametrize(
    ("foreground", "options", "message"),
    [
        (np.zeros((3, 3), int), {}, r"bool or uint8 \(H, W\); got int64"),
        (np.zeros(3, bool), {}, r"got bool \(3,\)"),
        (np.zeros((3, 3), bool), {"method": "watersheds"}, "did you mean 'watershed'"),
        (np.zeros((3, 3), bool), {"depth": 0}, "got depth 0, least_area 1"),
        (np.zeros((3, 3), bool), {"least_area": 0}, "least_area of 1 or more"),
    ],
)
def test_what_is_refused(foreground: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_instances(foreground, **options)
