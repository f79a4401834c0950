"""Counts over a dataset are those of its pictures one by one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate.core.checks import DataError, UsageError
from striate.core.datasets import masks
from striate.core.datasets.load_masks import load_masks
from striate.core.datasets.mask_files import RawMask, read_mask
from striate.core.datasets.masks import MaskDataset
from striate.core.images import save_image
from striate.segmentation import LabelMap
from striate.segmentation.counting import counted_class, measure, objects_of
from striate.segmentation.metrics import evaluate_masks

NAMES = ("background", "nucleus")


class Oracle:
    """Stands for a segmenter that sees bright pixels, and forgets the views it is asked for."""

    names = NAMES

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def predict(self, image: np.ndarray, **views: Any) -> LabelMap:
        self.asked.append(views)
        return LabelMap((image[..., 0] > 128).astype(np.uint8), NAMES)


def write(root: Path, objects: np.ndarray, number: int, missing: tuple[int, ...] = ()) -> None:
    """A picture on which all objects but the missing ones are bright, and its instance map."""
    for kind in ("images", "labels"):
        (root / kind).mkdir(exist_ok=True)
    seen = (objects > 0) & ~np.isin(objects, missing)
    save_image(np.repeat(np.uint8(255) * seen[..., None], 3, 2), root / "images" / f"{number}.png")
    Image.fromarray(objects.astype(np.uint16)).save(root / "labels" / f"{number}.png")


@pytest.fixture
def maps(tmp_path: Path) -> MaskDataset:
    """Two pictures: three squares, of which one is not seen; and one square, whose number is 300."""
    three, one = np.zeros((40, 60), int), np.zeros((40, 60), int)
    three[2:12, 2:12], three[20:30, 2:12], three[5:15, 30:50] = 1, 2, 3
    one[10:20, 10:20] = 300
    write(tmp_path, three, 0, missing=(2,))
    write(tmp_path, one, 1)
    return load_masks(tmp_path, "train", names=NAMES)


def test_counts_of_a_dataset(maps: MaskDataset) -> None:
    oracle = Oracle()
    figures = measure(oracle, maps, flip=True, scales=(1.0, 0.5))  # type: ignore[arg-type]
    assert figures["counts"] == {
        "true": 4,
        "found": 3,
        "relative_error": -0.25,
        "mean_relative_error": pytest.approx(1 / 6),
        "within_tenth": 0.5,
        "pictures": 2,
        "f1": pytest.approx(2 * 3 / 7),
    }
    assert oracle.asked == [{"flip": True, "scales": (1.0, 0.5)}] * 2
    few = measure(oracle, maps, least_area=150)["counts"]  # type: ignore[arg-type]
    assert (few["found"], few["f1"]) == (1, pytest.approx(2 / 5))


def test_labels_are_measured_in_the_same_look(maps: MaskDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = [maps.mask(i) for i in range(2)]
    read, oracle = [], Oracle()

    def reading(path: Path) -> RawMask:
        read.append(path)
        return read_mask(path)

    monkeypatch.setattr(masks, "read_mask", reading)
    figures = measure(oracle, maps, boundary=True)  # type: ignore[arg-type]
    assert (len(read), len(oracle.asked)) == (2, 2)
    seen = [(maps.image(i)[..., 0] > 128).astype(np.uint8) for i in range(2)]
    expected = evaluate_masks(truth, seen, NAMES, boundary=True)
    assert {name: figures[name] for name in expected} == expected


def test_instance_maps_are_recognised(maps: MaskDataset, tmp_path: Path) -> None:
    Image.fromarray(maps.mask(0)).save(tmp_path / "labels" / "0.png")
    counts = measure(Oracle(), maps)["counts"]  # type: ignore[arg-type]
    assert (counts["pictures"], counts["true"]) == (1, 1), "an 8-bit mask numbers no objects"
    plain = MaskDataset([maps.image(0)], [maps.mask(0)], NAMES)
    assert measure(Oracle(), plain)["counts"] is None  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"pictures of the classes \('background', 'nucleus'\)"):
        measure(Oracle(), MaskDataset([], [], ("a", "b")))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="pictures to measure on; got none"):
        measure(Oracle(), plain.subset([]))  # type: ignore[arg-type]


def test_the_class_that_is_counted() -> None:
    assert counted_class(NAMES) == "nucleus"
    assert counted_class(("background", "car", "road"), "car") == "car"
    with pytest.raises(UsageError, match="the class whose objects to count; got none, of car, road; name one"):
        counted_class(("background", "car", "road"))
    with pytest.raises(UsageError, match="did you mean 'nucleus'"):
        counted_class(NAMES, "nuclues")


def test_objects_of_one_class() -> None:
    labels = np.zeros((20, 40), np.uint8)
    labels[2:8, 2:8], labels[2:8, 20:30] = 1, 2
    found = LabelMap(labels, ("background", "car", "road"))
    assert objects_of(found, "car").boxes.tolist() == [[2, 2, 8, 8]]
    assert len(objects_of(found, "road", least_area=61)) == 0
    assert len(objects_of(found, "road", method="components", least_area=60)) == 1
