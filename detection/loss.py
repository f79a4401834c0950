"""The detection loss: class, box and distance terms over the cells that the assignment chose."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from .boxes import complete_iou, distances_from_xyxy
from .model import BINS, RawMap, anchor_points, expected_boxes, flatten_maps
from .targets import assign

CLASS_WEIGHT, BOX_WEIGHT, DISTANCE_WEIGHT = 1.0, 5.0, 1.0


def detection_loss(
    maps: list[RawMap], truth_boxes: Tensor, truth_classes: Tensor, truth_mask: Tensor
) -> dict[str, Tensor]:
    """Compute the three terms, already weighted; their sum is what is minimised.

    Args:
        maps: The network's output.
        truth_boxes: (N, M, 4) xyxy in canvas pixels, padded.
        truth_classes: int64 (N, M), padded.
        truth_mask: bool (N, M), false for padding.

    Returns:
        {"class": binary cross-entropy against the alignment (TOOD, eq. 7 without focusing), "box": 1 - complete IoU
        (Zheng et al. 2020), "distance": distribution focal loss (Li et al. 2020, eq. 6)}, scalars. The sums are divided
        by the sum of all target scores, so that pictures full of boxes do not drown the others.
    """
    points, strides = anchor_points(maps)
    distance_logits, class_logits = flatten_maps(maps)
    boxes = expected_boxes(points, strides, distance_logits)
    targets = assign(class_logits.detach().sigmoid(), boxes.detach(), points, truth_boxes, truth_classes, truth_mask)

    total = targets.scores.sum().clamp(min=1)
    class_loss = F.binary_cross_entropy_with_logits(class_logits, targets.scores, reduction="sum") / total
    chosen = targets.positive
    weight = targets.scores.sum(-1)[chosen]
    box_loss = ((1 - complete_iou(boxes[chosen], targets.boxes[chosen])) * weight).sum() / total
    wanted = distances_from_xyxy(points, targets.boxes) / strides
    distance_loss = (_distribution_focal(distance_logits[chosen], wanted[chosen]).mean(-1) * weight).sum() / total
    return {
        "class": CLASS_WEIGHT * class_loss,
        "box": BOX_WEIGHT * box_loss,
        "distance": DISTANCE_WEIGHT * distance_loss,
    }


def _distribution_focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy against the two bins beside the wanted distance: (P, 4, BINS), (P, 4) in strides -> (P, 4)."""
    wanted = wanted.clamp(0, BINS - 1 - 0.01)
    low = wanted.long()
    share = wanted - low
    log_probability = logits.log_softmax(-1)
    at_low = log_probability.gather(-1, low[..., None])[..., 0]
    at_high = log_probability.gather(-1, low[..., None] + 1)[..., 0]
    return -(at_low * (1 - share) + at_high * share)


def batch_loss(model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
    """The loss of one batch of `TrainingPictures`."""
    images = batch["images"].float() / 255
    return detection_loss(model(images), batch["boxes"], batch["classes"], batch["mask"])
