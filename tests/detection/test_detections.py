"""The result: indexes like an array, counts, draws on a copy, goes to JSON, CSV and COCO."""

import csv
import io
import json

import numpy as np
import pytest

from striate.core.checks import UsageError
from striate.detection import Detections


def example() -> Detections:
    return Detections(
        boxes=np.array([[1, 2, 11, 22], [5, 5, 8, 9], [0, 0, 4, 4]], np.float32),
        scores=np.array([0.9, 0.6, 0.3], np.float32),
        class_ids=np.array([1, 0, 1]),
        names=("cat", 'a "dog", big', "owl"),
        size=(30, 40),
        source="zoo.png",
        speed={"load": 1.234, "network": 5.0},
    )


@pytest.mark.parametrize(
    ("index", "scores"),
    [
        (0, [0.9]),
        (-1, [0.3]),
        (np.int64(1), [0.6]),
        (slice(0, 2), [0.9, 0.6]),
        ([2, 0], [0.3, 0.9]),
        (np.array([True, False, True]), [0.9, 0.3]),
        (np.array([], dtype=np.int64), []),
    ],
)
def test_indexing(index: object, scores: list[float]) -> None:
    chosen = example()[index]
    np.testing.assert_allclose(chosen.scores, np.asarray(scores, np.float32))
    assert chosen.boxes.shape == (len(scores), 4)
    assert chosen.names == example().names


def test_threshold_by_mask_and_iteration() -> None:
    found = example()
    assert len(found[found.scores > 0.5]) == 2
    assert [one.labels for one in found] == [['a "dog", big'], ["cat"], ['a "dog", big']]


def test_counts_name_every_class() -> None:
    assert example().counts() == {"cat": 1, 'a "dog", big': 2, "owl": 0}
    assert example().summary() == '1 cat, 2 a "dog", big'
    assert example()[:0].summary() == "nothing found"


def test_json_is_complete_and_plain() -> None:
    data = json.loads(example().to_json())
    assert data["schema_version"] == 1
    assert (data["height"], data["width"], data["source"]) == (30, 40, "zoo.png")
    assert data["detections"][0] == {"box": [1, 2, 11, 22], "score": 0.9, "class_id": 1, "label": 'a "dog", big'}
    assert data["speed_ms"] == {"load": 1.23, "network": 5.0}


def test_csv_reads_back() -> None:
    rows = list(csv.DictReader(io.StringIO(example().to_csv())))
    assert [row["label"] for row in rows] == example().labels
    assert float(rows[1]["x2"]) == 8


def test_coco_has_widths() -> None:
    first = example().to_coco(image_id=7)[0]
    assert first["image_id"] == 7
    assert first["bbox"] == [1, 2, 10, 20]
    assert first["category_id"] == 1


def test_drawing_leaves_the_picture_alone() -> None:
    image = np.full((30, 40, 3), 200, np.uint8)
    drawn = example().draw_on(image)
    assert (image == 200).all()
    assert (drawn != image).any()
    assert drawn.shape == image.shape


def test_lengths_must_agree() -> None:
    with pytest.raises(UsageError, match=r"expected boxes \(N, 4\), scores \(N,\) and class_ids \(N,\); got shapes"):
        Detections(np.zeros((2, 4), np.float32), np.zeros(1, np.float32), np.zeros(2, np.int64), ("a",), (1, 1))
