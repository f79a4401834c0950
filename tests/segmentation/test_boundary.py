"""Edges: a plain reference by distances between all pixels, and cases that can be counted by hand."""

import math

import numpy as np
import pytest

from striate.core.checks import UsageError
from striate.segmentation import boundary
from striate.segmentation.boundary import boundary_f


def plain(truth: np.ndarray, told: np.ndarray, class_id: int, reach: float) -> float:
    """Edge pixels one by one, and their distances to all pixels of the other edge."""

    def edge(mask: np.ndarray) -> np.ndarray:
        inside, found = (mask == class_id) & (truth != 255), []
        for y, x in np.argwhere(inside):
            near = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            near = [(a, b) for a, b in near if 0 <= a < mask.shape[0] and 0 <= b < mask.shape[1]]
            if any(not inside[p] and truth[p] != 255 for p in near):
                found.append((y, x))
        return np.array(found, float).reshape(-1, 2)

    true, predicted = edge(truth), edge(told)
    distance = np.sqrt(((true[:, None] - predicted[None]) ** 2).sum(-1))
    precision, recall = (distance.min(0) <= reach).mean(), (distance.min(1) <= reach).mean()
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("dilated", [True, False], ids=["disc", "distance transform"])
@pytest.mark.parametrize("tolerance", [0.01, 0.04, 0.1])
def test_edges_are_the_plain_ones(tolerance: float, dilated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not dilated:
        monkeypatch.setattr(boundary, "MOST_DILATED", -1.0)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 3, (8, 9), dtype=np.uint8).repeat(5, 0).repeat(5, 1)
    told = np.roll(coarse, (1, 2), (0, 1))
    coarse[10:14, 20:30] = 255
    found = boundary_f(coarse, told, 4, tolerance=tolerance)
    expected = [plain(coarse, told, k, tolerance * math.hypot(40, 45)) for k in range(3)]
    assert found[:3] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(found[3])


def test_a_shift_within_the_tolerance_costs_nothing() -> None:
    truth = np.zeros((60, 80), np.uint8)  # a diagonal of 100: the tolerance is 0.75 pixel, 1.5, ...
    truth[20:40, 20:50] = 1
    shifted = np.roll(truth, 1, 1)
    assert boundary_f(truth, truth, 2)[1] == 1.0
    assert boundary_f(truth, shifted, 2, tolerance=0.015)[1] == 1.0
    # Of 2 * (30 + 18) edge pixels the rows overlap but for one pixel each; the columns are off by one.
    kept = (2 * 29) / 96
    assert boundary_f(truth, shifted, 2)[1] == pytest.approx(kept)


def test_classes_without_edges() -> None:
    ones, mixed = np.ones((6, 7), np.uint8), np.ones((6, 7), np.uint8)
    mixed[:3] = 0
    assert boundary_f(ones, ones, 2)[1] == 1.0
    assert np.isnan(boundary_f(ones, ones, 2)[0])
    assert boundary_f(ones, mixed, 2).tolist() == [0.0, 0.0]
    assert np.isnan(boundary_f(np.full((6, 7), 255, np.uint8), ones, 2)).all()
    far = np.zeros((90, 7), np.uint8)
    far[:30] = 1
    assert boundary_f(far, far[::-1].copy(), 2)[1] == 0.0


def test_a_tolerance_that_is_none() -> None:
    with pytest.raises(UsageError, match="tolerance to be a positive number"):
        boundary_f(np.ones((2, 2), np.uint8), np.ones((2, 2), np.uint8), 2, tolerance=0)
