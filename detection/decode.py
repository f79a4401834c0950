"""From the network's maps to boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core import ops
from ..core.checks import fraction, positive
from .model import STRIDES, RawMap

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

    On a CUDA device all of it runs there, in memory of fixed size; what was found is copied to the host at the end.
    """
    found = ops.yolo_decode(
        maps,
        STRIDES,
        thresholds.confidence,
        multi_label=thresholds.multi_label,
        max_candidates=MAX_CANDIDATES,
    )
    kept = ops.nms_padded(
        found.boxes,
        found.scores,
        thresholds.iou_threshold,
        class_ids=found.class_ids,
        counts=found.counts,
        max_kept=thresholds.max_detections,
    )
    places = kept.indices.clamp(min=0)
    boxes = found.boxes.gather(1, places[..., None].expand(-1, -1, 4)).cpu().numpy()
    scores, class_ids = (part.gather(1, places).cpu().numpy() for part in (found.scores, found.class_ids))
    counts = kept.counts.tolist()
    return [Decoded(boxes[i, :count], scores[i, :count], class_ids[i, :count]) for i, count in enumerate(counts)]
