"""Soft-NMS: overlapping boxes lose score instead of going. Areas and NaN as in `nms`."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import UsageError, fraction, positive, unknown
from . import switch
from .nms import check_boxes, ranked
from .switch import operation

METHODS = ("gaussian", "linear")


@operation("nms", forward=("soft_nms_forward",), limits="no gradient; one box after another")
def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    method: str = "gaussian",
    min_score: float = 0.001,
) -> tuple[Tensor, Tensor]:
    """Lower the scores of boxes by how much better ones overlap them, instead of dropping them.

    Takes the best box, multiplies the scores of the others, and so on until none reaches `min_score`.

    Args:
        boxes: (M, 4) xyxy.
        scores: (M,), not negative.
        iou_threshold: "linear" leaves scores as they are up to this IoU; "gaussian" has no threshold.
        sigma: Width of the Gaussian.
        method: "gaussian" multiplies by e^(-IoU^2 / sigma), "linear" by 1 - IoU.
        min_score: Boxes whose score falls below are dropped.

    Returns:
        Indices int64 (K,) in the order in which the boxes were taken, best first, and their lowered scores (K,) in
        float32 (float64 on torch's road for float64 boxes). On a CUDA device this waits once, for K.

    Raises:
        UsageError: Shapes or dtypes that do not fit, numbers out of range, scores or boxes that want a gradient.

    Source: Bodla et al. 2017 (Soft-NMS), equation 3 and figure 2.
    """
    fraction("iou_threshold", iou_threshold)
    positive("sigma", sigma)
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    check_boxes(boxes, scores, None)
    if torch.is_grad_enabled() and (boxes.requires_grad or scores.requires_grad):
        raise UsageError("boxes and scores without a gradient", "some that require one", "detach them")
    scores = ranked(scores)
    if not switch.uses_triton(boxes):
        return _soft(boxes, scores, iou_threshold, sigma, method == "gaussian", min_score)
    from ..kernels import launch
    from ..kernels import nms as family

    launch.check_dtype(boxes)
    kept, values, number = family.soft_nms(boxes, scores, iou_threshold, sigma, method == "gaussian", min_score)
    count = int(number)
    return kept[:count], values[:count]


def _soft(
    boxes: Tensor, scores: Tensor, iou_threshold: float, sigma: float, gaussian: bool, min_score: float
) -> tuple[Tensor, Tensor]:
    """Compute Soft-NMS as `soft_nms` documents it."""
    dtype = torch.promote_types(boxes.dtype, torch.float32)
    boxes, free = boxes.to(dtype), scores.to(dtype, copy=True)
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    kept: list[int] = []
    values: list[float] = []
    while len(kept) < len(free):
        place = int(free.argmax())
        if not (value := float(free[place])) >= min_score:
            break
        kept.append(place)
        values.append(value)
        free[place] = -torch.inf
        sides = torch.minimum(boxes[:, 2:], boxes[place, 2:]) - torch.maximum(boxes[:, :2], boxes[place, :2])
        inter = sides.clamp(min=0).prod(1)
        union = areas + areas[place] - inter
        iou = torch.where(union > 0, inter / union, 0)
        factor = torch.exp(-iou.square() / sigma) if gaussian else torch.where(iou > iou_threshold, 1 - iou, 1)
        free = torch.where(free.isneginf(), free, free * factor)
    return torch.tensor(kept, dtype=torch.int64, device=boxes.device), boxes.new_tensor(values)
