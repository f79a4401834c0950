"""Geometry of boxes against pycocotools and plain Python."""

import math

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from striate.detection.boxes import complete_iou, distances_from_xyxy, iou, xyxy_from_distances


def random_boxes(count: int, seed: int, side: float = 100) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, side, (count, 2))
    return np.concatenate((corner, corner + rng.uniform(1, side / 2, (count, 2))), axis=1).astype(np.float32)


def test_iou_equals_pycocotools() -> None:
    first, second = random_boxes(30, 0), random_boxes(20, 1)
    ours = iou(torch.from_numpy(first)[:, None], torch.from_numpy(second)[None])
    widths = [np.concatenate((b[:, :2], b[:, 2:] - b[:, :2]), axis=1).astype(np.float64) for b in (first, second)]
    theirs = coco_mask.iou(*widths, np.zeros(20, np.uint8))
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-6)


def test_complete_iou_equals_the_paper_in_plain_python() -> None:
    for a, b in zip(random_boxes(20, 2).tolist(), random_boxes(20, 3).tolist(), strict=True):
        overlap = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
        areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
        plain = overlap / (areas - overlap)
        hull = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
        apart = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2
        angles = [math.atan((c[2] - c[0]) / (c[3] - c[1])) for c in (a, b)]
        v = 4 / math.pi**2 * (angles[0] - angles[1]) ** 2
        expected = plain - apart / hull - (v / (1 - plain + v) * v if v else 0)
        got = complete_iou(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64))
        assert got.item() == pytest.approx(expected, abs=1e-7)


def test_complete_iou_pulls_apart_boxes_together() -> None:
    box = torch.tensor([0.0, 0, 10, 10], requires_grad=True)
    complete_iou(box, torch.tensor([50.0, 0, 60, 10])).backward()
    assert box.grad is not None
    assert box.grad[0] + box.grad[2] > 0  # larger x is better, though IoU itself is flat at 0


def test_distances_and_boxes_are_inverse() -> None:
    points = torch.rand(7, 2) * 100
    boxes = torch.from_numpy(random_boxes(7, 4))
    torch.testing.assert_close(xyxy_from_distances(points, distances_from_xyxy(points, boxes)), boxes)
