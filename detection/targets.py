"""Which cell answers for which box: task-aligned assignment (Feng et al. 2021, TOOD, section 3.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .boxes import iou


class Targets(NamedTuple):
    """What each cell should predict.

    Attributes:
        boxes: (N, A, 4) xyxy, canvas pixels; meaningless where `positive` is false.
        scores: (N, A, number of classes), the normalised alignment in the box's class, else 0.
        positive: (N, A) bool.
    """

    boxes: Tensor
    scores: Tensor
    positive: Tensor


@torch.no_grad()
def assign(
    scores: Tensor,
    boxes: Tensor,
    points: Tensor,
    truth_boxes: Tensor,
    truth_classes: Tensor,
    truth_mask: Tensor,
    *,
    top_k: int = 13,
    alpha: float = 1.0,
    beta: float = 6.0,
) -> Targets:
    """Assign to each true box the `top_k` cells inside it that agree with it best.

    The alignment of a cell with a box is t = score^alpha * IoU^beta (eq. 2). A cell wanted by two boxes goes to the
    one it overlaps more. Scores are normalised so that the best cell of a box is asked for its own IoU (section 3.3).

    Args:
        scores: Predicted probabilities (N, A, number of classes).
        boxes: Predicted boxes (N, A, 4), xyxy in canvas pixels.
        points: Centres of the cells (A, 2).
        truth_boxes: (N, M, 4), padded.
        truth_classes: int64 (N, M), padded.
        truth_mask: bool (N, M), false for padding.
        top_k: Cells for each box.
        alpha: Power of the score.
        beta: Power of the IoU.
    """
    batch, cells, classes = scores.shape
    if truth_boxes.shape[1] == 0:
        return Targets(
            torch.zeros_like(boxes), torch.zeros_like(scores), boxes.new_zeros((batch, cells), dtype=torch.bool)
        )
    sides = torch.cat((points - truth_boxes[..., None, :2], truth_boxes[..., None, 2:] - points), dim=-1)
    inside = (sides.amin(-1) > 0) & truth_mask[..., None]  # (N, M, A)
    overlaps = iou(truth_boxes[:, :, None], boxes[:, None]) * inside
    class_scores = scores.transpose(1, 2).gather(1, truth_classes[..., None].expand(-1, -1, cells))
    alignment = class_scores.pow(alpha) * overlaps.pow(beta) * inside
    # A box too small to hold a cell's centre, or hit by no prediction yet, still gets cells through `inside`; where
    # alignments are all zero top-k would take the first cells of the map, so those are masked out again below.
    best, index = alignment.topk(min(top_k, cells), dim=-1)
    chosen = torch.zeros_like(inside).scatter_(-1, index, best > 0)
    crowded = chosen.sum(1, keepdim=True) > 1
    favourite = F.one_hot(overlaps.argmax(1), overlaps.shape[1]).transpose(1, 2).bool()
    chosen = torch.where(crowded, favourite & chosen.any(1, keepdim=True), chosen)

    positive = chosen.any(1)
    owner = chosen.to(torch.uint8).argmax(1)  # (N, A)
    target_boxes = truth_boxes.gather(1, owner[..., None].expand(-1, -1, 4))
    alignment, overlaps = alignment * chosen, overlaps * chosen
    scale = overlaps.amax(-1, keepdim=True) / (alignment.amax(-1, keepdim=True) + 1e-9)
    strength = (alignment * scale).amax(1)  # (N, A)
    labels = truth_classes.gather(1, owner)
    target_scores = F.one_hot(labels, classes) * (strength * positive)[..., None]
    return Targets(target_boxes, target_scores.to(scores.dtype), positive)
