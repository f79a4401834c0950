"""Geometry of boxes: float xyxy in pixels, half-open; the name of a converter tells both ends."""

from __future__ import annotations

import math

import torch
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
