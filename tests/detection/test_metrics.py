"""Average precision agrees with pycocotools, and every box is counted once in the confusion matrix."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.core.checks import DataError, UsageError
from striate.detection.metrics import confusion_matrix, evaluate_boxes

NAMES = ("a", "b", "c", "never")


@dataclass
class Boxes:
    """Truth (with crowd) or detections (with scores) of one picture."""

    boxes: np.ndarray
    class_ids: np.ndarray
    crowd: np.ndarray
    scores: np.ndarray


def picture(boxes: Any = (), ids: Any = (), crowd: Any = None, scores: Any = None) -> Boxes:
    count = len(boxes)
    return Boxes(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(ids, np.int64),
        np.zeros(count, bool) if crowd is None else np.array(crowd, bool),
        np.ones(count, np.float32) if scores is None else np.array(scores, np.float32),
    )


def case(seed: int, *, crowds: float = 0.2, pictures: int = 6) -> tuple[list[Boxes], list[Boxes]]:
    """Random pictures, some without truth, some without detections; scores of one digit tie often."""
    random = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(pictures):
        n, m = random.integers(0, 8), random.choice([0, random.integers(1, 30)])
        corners = random.integers(0, 200, (n, 2))
        boxes = np.concatenate([corners, corners + random.integers(4, 150, (n, 2))], axis=1)
        truth.append(picture(boxes, random.integers(0, 3, n), random.random(n) < crowds))
        near = (
            boxes[random.integers(0, n, m)] + random.integers(-6, 7, (m, 4)) if n else np.full((m, 4), [0, 0, 50, 50])
        )
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        found.append(picture(near, random.integers(0, 3, m), scores=random.integers(0, 10, m) / 10))
    return truth, found


def oracle(truth: list[Boxes], found: list[Boxes], max_detections: int) -> tuple[np.ndarray, np.ndarray]:
    """Return precision (10, 101, classes, areas) and recall (10, classes, areas) from pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def coco(items: list[Boxes]) -> Any:
        rows = [
            {"image_id": image, "category_id": int(c) + 1, "bbox": [x, y, x2 - x, y2 - y], "area": (x2 - x) * (y2 - y),
             "score": float(s), "iscrowd": int(w)}
            for image, item in enumerate(items)
            for (x, y, x2, y2), c, s, w in zip(
                item.boxes.astype(float), item.class_ids, item.scores, item.crowd, strict=True
            )
        ]  # fmt: skip
        result = COCO()
        result.dataset = {
            "images": [{"id": image} for image in range(len(items))],
            "categories": [{"id": index + 1} for index in range(len(NAMES))],
            "annotations": [row | {"id": index + 1} for index, row in enumerate(rows)],
        }
        result.createIndex()
        return result

    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(coco(truth), coco(found), "bbox")
        run.params.maxDets = [max_detections]
        run.evaluate()
        run.accumulate()
    return run.eval["precision"][..., 0], run.eval["recall"][..., 0]


def known(values: np.ndarray) -> float | None:
    return float(values[values > -1].mean()) if (values > -1).any() else None


@pytest.mark.parametrize("max_detections", [100, 10, 1])
@pytest.mark.parametrize("seed", range(25))
def test_equal_to_pycocotools(seed: int, max_detections: int) -> None:
    truth, found = case(seed)
    precision, recall = oracle(truth, found, max_detections)
    ours = evaluate_boxes(truth, found, NAMES, max_detections=max_detections)
    expected = {
        "map": known(precision[..., 0]),
        "map50": known(precision[0, ..., 0]),
        "map75": known(precision[5, ..., 0]),
        "map_small": known(precision[..., 1]),
        "map_medium": known(precision[..., 2]),
        "map_large": known(precision[..., 3]),
        "recall": known(recall[..., 0]),
    }
    # Observed worst difference 1e-16: both count in float64.
    assert {key: ours[key] for key in expected} == pytest.approx(expected, abs=1e-6)
    for index, name in enumerate(NAMES):
        row = {
            "ap": known(precision[..., index, 0]),
            "ap50": known(precision[0, :, index, 0]),
            "ap75": known(precision[5, :, index, 0]),
            "recall": known(recall[:, index, 0]),
            "n": sum(int((item.class_ids[~item.crowd] == index).sum()) for item in truth),
        }
        assert ours["per_class"][name] == pytest.approx(row, abs=1e-6)


def test_the_cases_are_not_trivial() -> None:
    values = [evaluate_boxes(*case(seed), NAMES)["map"] for seed in range(25)]
    assert len({round(value, 3) for value in values}) > 15
    assert 0.02 < np.mean(values) < 0.9


def test_perfect_detections() -> None:
    truth, _ = case(3, crowds=0)
    result = evaluate_boxes(truth, truth, NAMES)
    assert result["map"] == result["map50"] == result["map75"] == result["recall"] == pytest.approx(1)
    assert result["images"] == 6
    assert result["boxes"] == sum(len(item.boxes) for item in truth)


def test_a_class_without_truth_is_left_out_of_the_mean() -> None:
    truth = [picture([[0, 0, 10, 10]], [0])]
    found = [picture([[0, 0, 10, 10], [20, 20, 30, 30]], [0, 1], scores=[0.9, 0.8])]
    result = evaluate_boxes(truth, found, NAMES)
    assert result["map"] == pytest.approx(1)
    assert result["per_class"]["b"] == {"ap": None, "ap50": None, "ap75": None, "recall": None, "n": 0}


def test_a_class_of_crowds_only_has_no_figure() -> None:
    result = evaluate_boxes([picture([[0, 0, 10, 10]], [0], [True])], [picture([[0, 0, 5, 5]], [0])], NAMES)
    assert result["map"] is None
    assert result["boxes"] == 0


@pytest.mark.parametrize(
    ("truth", "found", "expected"),
    [
        pytest.param([], [], None, id="no picture"),
        pytest.param([picture()], [picture()], None, id="empty picture"),
        pytest.param([picture()], [picture([[0, 0, 9, 9]], [0])], None, id="no truth"),
        pytest.param([picture([[0, 0, 9, 9]], [0])], [picture()], 0.0, id="no detection"),
    ],
)
def test_nothing_there(truth: list[Boxes], found: list[Boxes], expected: float | None) -> None:
    result = evaluate_boxes(truth, found, NAMES)
    assert result["map"] == result["map50"] == result["recall"] == expected
    assert set(result["per_class"]) == set(NAMES)
    json.dumps(result, allow_nan=False)


def test_result_is_json_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    json.dumps(evaluate_boxes(*case(0), NAMES), allow_nan=False)
    assert capfd.readouterr() == ("", "")


def test_no_class_at_all() -> None:
    assert evaluate_boxes([picture()], [picture()], ())["per_class"] == {}


@pytest.mark.parametrize("score", ["evaluate", "confusion"])
@pytest.mark.parametrize(
    ("truth", "found", "words"),
    [
        ([picture()], [], "one prediction per labelled picture; got 0 for 1 pictures"),
        ([picture([[0, 0, 1, 1]], [4])], [picture()], r"class ids from 0 to 3; got \[4\] in truth\[0\]"),
        ([picture()], [picture([[0, 0, 1, 1]], [-1])], r"class ids from 0 to 3; got \[-1\] in predictions\[0\]"),
        ([picture([[0, 0, 1, np.nan]], [0])], [picture()], r"NaN or infinity in truth\[0\]"),
        ([picture()], [picture([[0, 0, 1, 1]], [0], scores=[np.nan])], r"NaN or infinity in predictions\[0\]"),
        ([picture([[0, 0, 1, 1]], [0, 1])], [picture()], r"boxes \(N, 4\).*; got boxes \(1, 4\), 2 class_ids, 1 crowd"),
    ],
)
def test_input_that_cannot_be_counted(truth: list[Boxes], found: list[Boxes], words: str, score: str) -> None:
    with pytest.raises(DataError, match=words):
        (evaluate_boxes if score == "evaluate" else confusion_matrix)(truth, found, NAMES)


def test_options_out_of_range() -> None:
    with pytest.raises(UsageError, match="max_detections to be a positive number; got 0"):
        evaluate_boxes([], [], NAMES, max_detections=0)
    for option in ("confidence", "iou_threshold"):
        with pytest.raises(UsageError, match=f"{option} to lie between 0 and 1"):
            confusion_matrix([], [], NAMES, **{option: 1.5})


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 0.9, 1.0]))
def test_every_box_is_counted_once(seed: int, confidence: float, iou_threshold: float) -> None:
    truth, found = case(seed, crowds=0, pictures=3)
    matrix = confusion_matrix(truth, found, NAMES, confidence=confidence, iou_threshold=iou_threshold)
    true_ids = np.concatenate([item.class_ids for item in truth])
    found_ids = np.concatenate([item.class_ids[item.scores >= np.float32(confidence)] for item in found])
    assert matrix.shape == (5, 5)
    assert matrix[:-1].sum(axis=1).tolist() == np.bincount(true_ids, minlength=4).tolist()
    assert matrix[:, :-1].sum(axis=0).tolist() == np.bincount(found_ids, minlength=4).tolist()
    assert matrix[-1, -1] == 0


def test_rows_are_truth_and_columns_are_predictions() -> None:
    truth = [picture([[0, 0, 10, 10], [50, 50, 60, 60], [80, 80, 90, 90]], [0, 1, 2])]
    found = [picture([[0, 0, 10, 10], [50, 50, 60, 60], [20, 20, 30, 30], [80, 80, 90, 90]], [0, 2, 1, 2],
                     scores=[0.9, 0.8, 0.7, 0.1])]  # fmt: skip
    expected = np.zeros((5, 5), int)
    expected[0, 0] = 1  # right
    expected[1, 2] = 1  # a `b` taken for a `c`
    expected[2, 4] = 1  # missed: its detection is below the confidence
    expected[4, 1] = 1  # a `b` where there is nothing
    assert confusion_matrix(truth, found, NAMES).tolist() == expected.tolist()


def test_each_box_has_one_partner_the_best() -> None:
    truth = [picture([[0, 0, 10, 10]], [0])]
    found = [picture([[0, 0, 10, 8], [0, 0, 10, 10], [0, 0, 10, 10]], [0, 1, 0], scores=[0.9, 0.9, 0.3])]
    matrix = confusion_matrix(truth, found, NAMES)
    assert matrix[0].tolist() == [1, 0, 0, 0, 0]  # best IoU; of two equal ones the right class
    assert matrix[4].tolist() == [1, 1, 0, 0, 0]


def test_detections_on_a_crowd_are_neither_right_nor_wrong() -> None:
    truth = [picture([[0, 0, 100, 100], [0, 0, 10, 10]], [0, 0], [True, False])]
    found = [picture([[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]], [0, 0, 1])]
    matrix = confusion_matrix(truth, found, NAMES)
    assert matrix.sum() == 2
    assert matrix[0, 0] == 1
    assert matrix[4, 1] == 1
