"""Geometry of boxes: float xyxy in pixels, half-open; the name of a converter tells both ends."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def xyxy_from_distances(points: Tensor, distances: Tensor) -> Tensor:
    """Boxes (..., A, 4) from centres (A, 2) and distances (..., A, 4) to the left, top, right and bottom side."""
    left_top, right_bottom = distances.chunk(2, dim=-1)
    return torch.cat((points - left_top, points + right_bottom), dim=-1)


def distances_from_xyxy(points: Tensor, boxes: Tensor) -> Tensor:
    """Distances (..., A, 4) from centres (A, 2) to the sides of boxes (..., A, 4); negative where outside."""
    left_top, right_bottom = boxes.chunk(2, dim=-1)
    return torch.cat((points - left_top, right_bottom - points), dim=-1)


def iou(first: Tensor, second: Tensor, eps: float = 1e-9) -> Tensor:
    """Intersection over union of boxes (..., 4) and (..., 4) that broadcast; result (...), 0 to 1."""
    left_top = torch.maximum(first[..., :2], second[..., :2])
    right_bottom = torch.minimum(first[..., 2:], second[..., 2:])
    overlap = (right_bottom - left_top).clamp(min=0).prod(-1)
    union = (first[..., 2:] - first[..., :2]).prod(-1) + (second[..., 2:] - second[..., :2]).prod(-1) - overlap
    return overlap / (union + eps)


def complete_iou(predicted: Tensor, truth: Tensor, eps: float = 1e-9) -> Tensor:
    """Complete IoU (Zheng et al. 2020, eq. 7-11): IoU - distance of centres - difference of aspect; shape (...)."""
    overlap = iou(predicted, truth, eps)
    hull = torch.maximum(predicted[..., 2:], truth[..., 2:]) - torch.minimum(predicted[..., :2], truth[..., :2])
    diagonal = hull.square().sum(-1) + eps
    apart = (predicted[..., :2] + predicted[..., 2:] - truth[..., :2] - truth[..., 2:]).square().sum(-1) / 4
    size, size_truth = predicted[..., 2:] - predicted[..., :2], truth[..., 2:] - truth[..., :2]
    angle = torch.atan(size[..., 0] / (size[..., 1] + eps))
    angle_truth = torch.atan(size_truth[..., 0] / (size_truth[..., 1] + eps))
    aspect = 4 / math.pi**2 * (angle_truth - angle).square()
    with torch.no_grad():  # the paper's alpha is a constant in the gradient (section 4.1)
        alpha = aspect / (1 - overlap + aspect + eps)
    return overlap - apart / diagonal - alpha * aspect


def nms(boxes: NDArray[np.float32], scores: NDArray[np.float32], iou_threshold: float) -> NDArray[np.int64]:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,).
        iou_threshold: A box goes when it overlaps a better one by more than this.

    Returns:
        Indices of the kept boxes, best first; of equal scores the earlier one comes first.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_boxes = boxes[order].astype(np.float64)
    x1, y1, x2, y2 = sorted_boxes.T
    areas = (x2 - x1) * (y2 - y1)
    alive = np.ones(len(order), bool)
    kept = []
    for i in range(len(order)):
        if not alive[i]:
            continue
        kept.append(order[i])
        width = np.minimum(x2[i], x2[i + 1 :]) - np.maximum(x1[i], x1[i + 1 :])
        height = np.minimum(y2[i], y2[i + 1 :]) - np.maximum(y1[i], y1[i + 1 :])
        overlap = np.clip(width, 0, None) * np.clip(height, 0, None)
        alive[i + 1 :] &= overlap <= iou_threshold * (areas[i] + areas[i + 1 :] - overlap)
    return np.asarray(kept, np.int64)


def class_aware_nms(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], class_ids: NDArray[np.int64], iou_threshold: float
) -> NDArray[np.int64]:
    """`nms` within each class: boxes of different classes are moved apart so that they never overlap."""
    if len(boxes) == 0:
        return np.zeros(0, np.int64)
    reach = float(boxes.max() - boxes.min()) + 1
    return nms(boxes.astype(np.float64) + class_ids[:, None] * reach, scores, iou_threshold)
