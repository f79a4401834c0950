"""From planted maps to boxes."""

import numpy as np
import pytest
import torch

from striate.core.checks import UsageError
from striate.detection.decode import MAX_CANDIDATES, Thresholds, decode
from striate.detection.model import BINS, RawMap


def planted(cells: list[tuple[int, int, int, float]], classes: int = 2) -> list[RawMap]:
    """Maps of a 64 x 64 canvas; at stride 8, cell (x, y) says this class with this logit and 1 stride to all sides."""
    maps = []
    for stride in (8, 16, 32):
        side = 64 // stride
        logits = torch.full((1, 4, BINS, side, side), -30.0)
        logits[:, :, 1] = 30
        scores = torch.full((1, classes, side, side), -30.0)
        for x, y, class_id, logit in cells if stride == 8 else ():
            scores[0, class_id, y, x] = logit
        maps.append(RawMap(logits.flatten(1, 2), scores))
    return maps


def thresholds(confidence: float = 0.5, most: int = 300, multi_label: bool = False) -> Thresholds:
    return Thresholds(confidence, 0.5, most, multi_label)


def test_box_lies_where_it_was_planted() -> None:
    found = decode(planted([(3, 2, 1, 2.0)]), thresholds())[0]
    np.testing.assert_allclose(found.boxes, [[20, 12, 36, 28]], atol=1e-4)
    assert found.class_ids.tolist() == [1]
    assert found.scores[0] == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)


def test_nothing_above_the_threshold_is_empty_and_shaped() -> None:
    found = decode(planted([]), thresholds())[0]
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == found.class_ids.shape == (0,)


def test_best_first_and_at_most_so_many() -> None:
    found = decode(planted([(0, 0, 0, 1.0), (3, 3, 0, 3.0), (6, 6, 1, 2.0)]), thresholds(most=2))[0]
    assert found.class_ids.tolist() == [0, 1]
    assert found.scores[0] > found.scores[1]


def test_one_cell_answers_once_or_with_all_its_classes() -> None:
    maps = planted([(3, 3, 0, 1.0), (3, 3, 1, 2.0)])
    assert decode(maps, thresholds())[0].class_ids.tolist() == [1]
    assert decode(maps, thresholds(multi_label=True))[0].class_ids.tolist() == [1, 0]


def test_candidates_are_bounded_to_the_best() -> None:
    side = 128
    scores = torch.linspace(-1, 1, side * side).reshape(1, 1, side, side)
    logits = torch.zeros(1, 4 * BINS, side, side)
    small = [RawMap(torch.zeros(1, 4 * BINS, 1, 1), torch.full((1, 1, 1, 1), -30.0)) for _ in range(2)]
    found = decode([RawMap(logits, scores), *small], Thresholds(0.0, 1.0, 10**6))[0]
    assert len(found.scores) == MAX_CANDIDATES
    assert found.scores[0] == scores.max().sigmoid()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((1.5, 0.5, 10), "confidence to lie between 0 and 1; got 1.5"),
        ((float("nan"), 0.5, 10), "confidence to lie between 0 and 1; got nan"),
        ((0.5, -1, 10), "iou_threshold to lie between 0 and 1; got -1"),
        ((0.5, 0.5, 0), "max_detections to be a positive number; got 0"),
    ],
)
def test_thresholds_out_of_range(values: tuple, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Thresholds(*values)
