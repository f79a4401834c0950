"""How good a detector is: average precision as the COCO API defines it, and a confusion matrix.

Average precision is counted by faster-coco-eval, the C++ rewrite of pycocotools; the tests hold both equal to 1e-6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..core import ops
from ..core.checks import DataError, fraction, positive

BACKGROUND = "background"


class Truth(Protocol):
    """What is read of one labelled picture (`BoxSample` has it)."""

    @property
    def boxes(self) -> NDArray[np.float32]: ...  # (N, 4) xyxy pixels
    @property
    def class_ids(self) -> NDArray[np.int64]: ...  # (N,)
    @property
    def crowd(self) -> NDArray[np.bool_]: ...  # (N,) True: a region of many objects


class Found(Protocol):
    """What is read of one picture's detections (`Detections` has it)."""

    @property
    def boxes(self) -> NDArray[np.float32]: ...  # (M, 4) xyxy pixels
    @property
    def scores(self) -> NDArray[np.float32]: ...  # (M,)
    @property
    def class_ids(self) -> NDArray[np.int64]: ...  # (M,)


def evaluate_boxes(
    truth: Sequence[Truth], predictions: Sequence[Found], names: Sequence[str], *, max_detections: int = 100
) -> dict[str, Any]:
    """Compare detections with labels by the rules of the COCO challenge (box IoU 0.50 to 0.95, 101 recall points).

    A detection on a crowd region counts neither for nor against. A class without a truth box has no average precision:
    it is left out of every mean and reported with None. No figure is ever NaN, so the result is JSON as it stands.

    Args:
        truth: One entry per picture: boxes (N, 4) xyxy pixels, class_ids (N,), crowd (N,).
        predictions: One entry per picture, in the same order: boxes (M, 4), scores (M,), class_ids (M,). Pass every
            detection down to a low score (0.001): a threshold cuts the precision-recall curve short.
        names: The classes; `class_ids` index them.
        max_detections: The best so many of a picture and class count; COCO says 100.

    Returns:
        map (mean over IoU 0.50:0.05:0.95), map50, map75, map_small, map_medium, map_large (split at 32 and 96 pixels
        squared), recall (mean over classes and IoU of the best recall), each a float in [0, 1] or None;
        per_class {name: {ap, ap50, ap75, recall, n}} with n truth boxes, crowds not counted; images; boxes.

    Raises:
        DataError: Lists of different lengths, unknown class ids, numbers that are not finite.

    Source: Lin et al. 2014 (arXiv 1405.0312), the COCO detection metrics.
    """
    positive("max_detections", max_detections)
    _check(truth, predictions, len(names))
    # (thresholds, recall points, classes, areas) and (thresholds, classes, areas); -1 marks "no truth here"
    precision, recall = _accumulate(truth, predictions, len(names), max_detections)
    counts = np.bincount(
        np.concatenate([sample.class_ids[~sample.crowd] for sample in truth] or [np.zeros(0, np.int64)]),
        minlength=len(names),
    )
    per_class = {
        name: {
            "ap": _mean(precision[:, :, index, 0]),
            "ap50": _mean(precision[0, :, index, 0]),
            "ap75": _mean(precision[5, :, index, 0]),
            "recall": _mean(recall[:, index, 0]),
            "n": int(counts[index]),
        }
        for index, name in enumerate(names)
    }
    return {
        "map": _mean(precision[..., 0]),
        "map50": _mean(precision[0, :, :, 0]),
        "map75": _mean(precision[5, :, :, 0]),
        "map_small": _mean(precision[..., 1]),
        "map_medium": _mean(precision[..., 2]),
        "map_large": _mean(precision[..., 3]),
        "recall": _mean(recall[..., 0]),
        "per_class": per_class,
        "images": len(truth),
        "boxes": int(counts.sum()),
    }


def confusion_matrix(
    truth: Sequence[Truth],
    predictions: Sequence[Found],
    names: Sequence[str],
    *,
    confidence: float = 0.25,
    iou_threshold: float = 0.5,
) -> NDArray[np.int64]:
    """Count what each truth box was taken for: rows are the truth, columns the prediction, the last is background.

    Pairs are formed one to one whatever their class, best IoU first. A truth box without a partner counts in the last
    column, a detection without one in the last row. So each class row sums to its truth boxes and each class column to
    its detections of at least `confidence`. Crowd regions are not counted, nor are unpaired detections that lie on one
    of their own class (they would be neither right nor wrong).

    Args:
        truth: As `evaluate_boxes`.
        predictions: As `evaluate_boxes`.
        names: The classes.
        confidence: Detections below it are not looked at.
        iou_threshold: A pair needs at least this IoU.

    Returns:
        int64 (C + 1, C + 1).

    Raises:
        DataError: As `evaluate_boxes`.
    """
    fraction("confidence", confidence)
    fraction("iou_threshold", iou_threshold)
    _check(truth, predictions, len(names))
    background = len(names)
    matrix = np.zeros((background + 1, background + 1), np.int64)
    for sample, found in zip(truth, predictions, strict=True):
        kept = found.scores >= confidence
        boxes, class_ids, scores = found.boxes[kept], found.class_ids[kept], found.scores[kept]
        true_boxes, true_ids = sample.boxes[~sample.crowd], sample.class_ids[~sample.crowd]
        rows, columns = _pairs(_iou(true_boxes, boxes), true_ids[:, None] == class_ids[None], scores, iou_threshold)
        in_crowd = _iou(sample.boxes[sample.crowd], boxes, crowd=True) >= iou_threshold
        in_crowd &= sample.class_ids[sample.crowd][:, None] == class_ids[None]
        paired = np.isin(np.arange(len(boxes)), columns)
        np.add.at(matrix, (true_ids[rows], class_ids[columns]), 1)
        matrix[:-1, background] += np.bincount(np.delete(true_ids, rows), minlength=background)
        matrix[background, :-1] += np.bincount(class_ids[~paired & ~in_crowd.any(axis=0)], minlength=background)
    return matrix


def _accumulate(
    truth: Sequence[Truth], predictions: Sequence[Found], classes: int, max_detections: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from faster_coco_eval import COCO, COCOeval_faster  # here: it takes 0.3 s, and only an evaluation needs it

    def silent(*_: object) -> None:
        """Swallow the library's progress messages."""

    frame = {
        "images": [{"id": index + 1} for index in range(len(truth))],
        "categories": [{"id": index, "name": str(index)} for index in range(classes)],
    }
    labels = COCO(frame | {"annotations": _annotations(truth, None)}, print_function=silent)
    found = COCO(frame | {"annotations": _annotations(predictions, "scores")}, print_function=silent)
    run = COCOeval_faster(labels, found, iouType="bbox", print_function=silent)
    run.params.maxDets = [max_detections]
    run.params.imgIds = list(range(1, len(truth) + 1))
    run.params.catIds = list(range(classes))
    if not truth or not classes:
        return np.full((10, 101, classes, 4), -1.0), np.full((10, classes, 4), -1.0)
    run.evaluate()
    run.accumulate()
    return run.eval["precision"][..., 0], run.eval["recall"][..., 0]


def _annotations(items: Sequence[Any], scores: str | None) -> list[dict[str, Any]]:
    """List boxes as the COCO format has them: xywh, ids from 1 (0 means "unmatched" inside the API)."""
    rows: list[dict[str, Any]] = []
    for image, item in enumerate(items, start=1):
        corners = np.asarray(item.boxes, np.float64).reshape(-1, 4)
        sizes = corners[:, 2:] - corners[:, :2]
        extra = item.crowd if scores is None else item.scores
        for corner, size, class_id, value in zip(corners, sizes, item.class_ids, extra, strict=True):
            row: dict[str, Any] = {"id": len(rows) + 1, "image_id": image, "category_id": int(class_id)}
            row |= {"bbox": [*corner[:2].tolist(), *size.tolist()], "area": float(size[0] * size[1])}
            row |= {"iscrowd": int(value)} if scores is None else {"iscrowd": 0, "score": float(value)}
            rows.append(row)
    return rows


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def _iou(first: NDArray[Any], second: NDArray[Any], *, crowd: bool = False) -> NDArray[np.float64]:
    """Return the overlap of (N, 4) with (M, 4) as (N, M); of a crowd, the share of the second box inside the first."""
    one, two = (torch.from_numpy(np.asarray(boxes, np.float64).reshape(-1, 4)) for boxes in (first, second))
    with ops.kernels("torch"):  # on the host, in float64, whatever the switch: a figure is not a matter of the device
        return ops.box_iou(one, two, "second" if crowd else "union").numpy()


def _pairs(
    iou: NDArray[np.float64], same: NDArray[np.bool_], scores: NDArray[Any], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair rows with columns one to one: best IoU first, then the right class, then the higher score."""
    rows, columns = np.nonzero((iou >= threshold) & (iou > 0))
    order = np.lexsort((-scores[columns], ~same[rows, columns], -iou[rows, columns]))
    pairs: list[tuple[int, int]] = []
    free_rows, free_columns = set(rows.tolist()), set(columns.tolist())
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row in free_rows and column in free_columns:
            pairs.append((row, column))
            free_rows.discard(row)
            free_columns.discard(column)
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _check(truth: Sequence[Truth], predictions: Sequence[Found], classes: int) -> None:
    if len(truth) != len(predictions):
        got = f"{len(predictions)} for {len(truth)} pictures"
        raise DataError("one prediction per labelled picture", got, "predict on the same list of pictures")
    sides: tuple[tuple[str, Sequence[Any], str], ...] = (
        ("truth", truth, "crowd"),
        ("predictions", predictions, "scores"),
    )
    for what, items, value in sides:
        for index, item in enumerate(items):
            other = getattr(item, value)
            if np.shape(item.boxes) != (len(other), 4) or len(item.class_ids) != len(other):
                got = f"boxes {np.shape(item.boxes)}, {len(item.class_ids)} class_ids, {len(other)} {value}"
                raise DataError(f"boxes (N, 4), class_ids (N,) and {value} (N,)", f"{got} in {what}[{index}]", "fix it")
            ids = np.asarray(item.class_ids)
            if len(ids) and (ids.min() < 0 or ids.max() >= classes):
                got = f"{sorted(set(ids.tolist()))} in {what}[{index}]"
                raise DataError(f"class ids from 0 to {classes - 1}", got, "use one list of names for both")
            if not (np.isfinite(item.boxes).all() and np.isfinite(other).all()):
                raise DataError(
                    "finite boxes and scores", f"NaN or infinity in {what}[{index}]", "leave those boxes out"
                )
