"""From the network's maps to boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..core.checks import fraction, positive
from .boxes import class_aware_nms
from .model import RawMap, anchor_points, expected_boxes, flatten_maps

MAX_CANDIDATES = 3000
"""Boxes that enter suppression, best first: bounds the time of a picture in which every cell fires."""


class Decoded(NamedTuple):
    """Boxes of one picture in canvas pixels: (K, 4) float32 xyxy, (K,) float32 scores, (K,) int64 class ids."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]


@dataclass(frozen=True)
class Thresholds:
    """What counts as found.

    Attributes:
        confidence: Least score, 0 to 1.
        iou_threshold: Of two boxes of a class that overlap more than this, the better one stays.
        max_detections: Most boxes for a picture, best first.
        multi_label: Let one cell answer with several classes (evaluation) or only with its best (use).

    Raises:
        UsageError: A value out of range.
    """

    confidence: float
    iou_threshold: float
    max_detections: int
    multi_label: bool = False

    def __post_init__(self) -> None:
        fraction("confidence", self.confidence)
        fraction("iou_threshold", self.iou_threshold)
        positive("max_detections", self.max_detections)


EVALUATION = Thresholds(confidence=0.001, iou_threshold=0.65, max_detections=300, multi_label=True)
"""Under which average precision is measured: nearly all boxes, since COCO's protocol wants them ranked."""


def decode(maps: list[RawMap], thresholds: Thresholds) -> list[Decoded]:
    """Decode a batch: keep the scores that count, turn distances into boxes, suppress within each class.

    Only the cells that pass the threshold are turned into boxes, so an empty picture costs almost nothing.
    """
    points, strides = anchor_points(maps)
    distances, classes = flatten_maps(maps)
    decoded = []
    for probabilities, picture in zip(classes.sigmoid(), distances, strict=True):
        cells, class_ids, scores = _candidates(probabilities, thresholds)
        boxes = expected_boxes(points[cells], strides[cells], picture[cells])
        found = Decoded(boxes.cpu().numpy(), scores.cpu().numpy(), class_ids.cpu().numpy())
        kept = class_aware_nms(*found, thresholds.iou_threshold)[: thresholds.max_detections]
        decoded.append(Decoded(found.boxes[kept], found.scores[kept], found.class_ids[kept]))
    return decoded


def _candidates(scores: Tensor, thresholds: Thresholds) -> tuple[Tensor, Tensor, Tensor]:
    """Cells, class ids and scores above the threshold, at most MAX_CANDIDATES, from probabilities (A, classes)."""
    if thresholds.multi_label:
        cells, class_ids = (scores >= thresholds.confidence).nonzero(as_tuple=True)
        best = scores[cells, class_ids]
    else:
        best, class_ids = scores.max(-1)
        cells = (best >= thresholds.confidence).nonzero()[:, 0]
        best, class_ids = best[cells], class_ids[cells]
    if len(best) > MAX_CANDIDATES:
        best, top = best.topk(MAX_CANDIDATES)
        cells, class_ids = cells[top], class_ids[top]
    return cells, class_ids, best
