"""Suppression of overlapping boxes.

A kept box suppresses a worse one of its class when

    intersection > iou_threshold * (area + other area - intersection)

in float32, each operation rounded, so that both roads keep the same boxes. A box that is empty or inside out overlaps
nothing; one with NaN neither suppresses nor is suppressed. Equal scores: the earlier box is the better one. NaN is the
worst score.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..checks import UsageError, fraction, positive
from . import switch
from .switch import operation

# Boxes that torch's road looks at together. 1,000 boxes on one core of an AMD EPYC, 64, 128, 256 and 512 together: 3.3,
# 2.3, 1.8 and 1.6 ms where 964 are kept; 0.57, 0.45, 0.50 and 0.73 ms where 43 are.
BLOCK = 256


class Kept(NamedTuple):
    """Suppression of several images: `indices` int64 (B, L) into each image's boxes, best first, -1 behind the last;
    `counts` int64 (B,)."""

    indices: Tensor
    counts: Tensor


@operation("nms", forward=("nms_greedy", "nms_matrix", "nms_reduce"), limits="fewer than 2^29 boxes an image")
def nms_padded(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    *,
    class_ids: Tensor | None = None,
    counts: Tensor | None = None,
    max_kept: int | None = None,
) -> Kept:
    """Suppress boxes of several images at once, without waiting for the device, into lists of fixed length.

    On a CUDA device nothing is read back: it can be part of a CUDA graph. One kernel up to 1,024 boxes an image, two
    above.

    Args:
        boxes: (B, M, 4) xyxy.
        scores: (B, M).
        iou_threshold: A box goes when a better one of its class overlaps it by more than this, 0 to 1.
        class_ids: Integers (B, M): boxes of different classes do not suppress each other. None: one class.
        counts: Integers (B,): boxes of each image, the others are padding. None: all are boxes.
        max_kept: Most boxes kept of an image, best first. None: all.

    Returns:
        `Kept`, with L the smaller of M and `max_kept`.

    Raises:
        UsageError: Shapes or dtypes that do not fit, a threshold outside [0, 1].

    Source: the greedy algorithm of Felzenszwalb et al. 2010 (Object Detection with Discriminatively Trained Part-Based
    Models, section 7.2).
    """
    fraction("iou_threshold", iou_threshold)
    limit = boxes.shape[-2] if max_kept is None else max_kept
    if max_kept is not None:
        positive("max_kept", max_kept)
    check_boxes(boxes, scores, class_ids, images=True)
    if counts is not None and (counts.shape != scores.shape[:1] or counts.is_floating_point()):
        got = f"{counts.dtype} {tuple(counts.shape)}"
        raise UsageError(f"counts of integers {tuple(scores.shape[:1])}", got, "pass one number an image")
    boxes, order = boxes.detach(), _order(scores.detach(), counts)
    if switch.uses_triton(boxes):
        from ..kernels import launch
        from ..kernels import nms as family

        launch.check_dtype(boxes)
        return Kept(*family.nms_padded(boxes, order, class_ids, counts, iou_threshold, limit))
    indices = order.new_full((len(order), min(limit, order.shape[1])), -1)
    numbers = [order.shape[1]] * len(order) if counts is None else counts.tolist()
    for image, number in enumerate(numbers):
        groups = None if class_ids is None else class_ids[image]
        kept = _greedy(boxes[image], order[image, : max(number, 0)], groups, iou_threshold)[:limit]
        indices[image, : len(kept)] = order[image, torch.from_numpy(kept).to(order.device)]
        numbers[image] = len(kept)
    return Kept(indices, order.new_tensor(numbers))


@operation("nms", forward=("nms_greedy", "nms_matrix", "nms_reduce"), limits="fewer than 2^29 boxes")
def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Suppress boxes that a better one overlaps.

    Args:
        boxes: (M, 4) xyxy.
        scores: (M,).
        iou_threshold: As in `nms_padded`.

    Returns:
        Indices of the kept boxes, int64 (K,), best first. On a CUDA device this waits once, for K.

    Raises:
        UsageError: Shapes or dtypes that do not fit, a threshold outside [0, 1].

    Example:
        >>> boxes = torch.tensor([[0.0, 0, 9, 9], [0.0, 0, 9, 8], [20.0, 0, 30, 9]])
        >>> nms(boxes, torch.tensor([0.8, 0.9, 0.7]), 0.5)
        tensor([1, 2])
    """
    return _tight(boxes, scores, None, iou_threshold)


@operation("nms", forward=("nms_greedy", "nms_matrix", "nms_reduce"), limits="fewer than 2^29 boxes")
def batched_nms(boxes: Tensor, scores: Tensor, class_ids: Tensor, iou_threshold: float) -> Tensor:
    """Suppress boxes that a better one of their class overlaps.

    Differs from torchvision's, which moves the classes apart and so rounds the coordinates: the class ids themselves
    are compared.

    Args:
        boxes: (M, 4) xyxy.
        scores: (M,).
        class_ids: Integers (M,). For several images number them image * classes + class, or see `nms_padded`.
        iou_threshold: As in `nms_padded`.

    Returns:
        Indices of the kept boxes of all classes, int64 (K,), best first. On a CUDA device this waits once, for K.

    Raises:
        UsageError: Shapes or dtypes that do not fit, a threshold outside [0, 1].
    """
    return _tight(boxes, scores, class_ids, iou_threshold)


def check_boxes(boxes: Tensor, scores: Tensor, class_ids: Tensor | None, *, images: bool = False) -> None:
    """Raise unless boxes, scores and class ids are of one length and of the right kinds."""
    if boxes.dim() != 2 + images or boxes.shape[-1] != 4 or boxes.shape[:-1] != scores.shape:
        got = f"{tuple(boxes.shape)} and {tuple(scores.shape)}"
        expected = "boxes (B, M, 4) and scores (B, M)" if images else "boxes (M, 4) and scores (M,)"
        raise UsageError(expected, got, "pass xyxy and one score a box")
    if not (boxes.is_floating_point() and scores.is_floating_point()):
        raise UsageError("boxes and scores of floats", f"{boxes.dtype} and {scores.dtype}", "convert them")
    if class_ids is not None and (class_ids.shape != scores.shape or class_ids.is_floating_point()):
        got = f"{class_ids.dtype} {tuple(class_ids.shape)}"
        raise UsageError(f"class ids of integers {tuple(scores.shape)}", got, "pass one class id a box")


def ranked(scores: Tensor) -> Tensor:
    """Return the scores with NaN as the worst; torch would sort it first."""
    return scores.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)


def _order(scores: Tensor, counts: Tensor | None) -> Tensor:
    """Return the places of scores (B, M), best first, padding last."""
    scores = ranked(scores)
    if counts is not None:
        places = torch.arange(scores.shape[1], device=scores.device)
        scores = scores.masked_fill(places >= counts[:, None], -torch.inf)
    return scores.sort(dim=1, descending=True, stable=True).indices


def _tight(boxes: Tensor, scores: Tensor, class_ids: Tensor | None, iou_threshold: float) -> Tensor:
    check_boxes(boxes, scores, class_ids)
    groups = None if class_ids is None else class_ids[None]
    kept, counts = nms_padded(boxes[None], scores[None], iou_threshold, class_ids=groups)
    return kept[0, : int(counts)]


@torch.inference_mode()
def _greedy(boxes: Tensor, order: Tensor, groups: Tensor | None, iou_threshold: float) -> NDArray[np.int64]:
    """Return the places in `order` (N,) of the boxes of (M, 4) that are kept, on the host.

    Whole blocks of pairs at a time, with what is suppressed thrown out between blocks. Boxes are taken class by class:
    pairs of different classes are then hardly ever computed.
    """
    places = np.arange(len(order))
    labels = np.zeros(len(order), np.int8)
    if groups is not None:
        labels = groups[order].cpu().numpy()
        places = np.argsort(labels, kind="stable")
        labels = labels[places]
    dtype = torch.promote_types(boxes.dtype, torch.float32)
    chosen = boxes[order].cpu().to(dtype)[torch.from_numpy(places)]
    corners = chosen.new_empty((5, len(order)))  # x1, y1, x2, y2, area
    corners[:4] = chosen.T
    corners[4] = (corners[2:4] - corners[:2]).clamp_(min=0).prod(0)
    free = corners.new_empty((3, BLOCK * len(order)))
    kept = []
    while len(places):
        rows, known = corners[:, :BLOCK], labels[:BLOCK]
        end = int(np.searchsorted(labels, known[-1], side="right"))
        stay = _first_come(_hits(rows, rows, known, known, iou_threshold, free))
        kept.append(places[:BLOCK][stay])
        alive = np.ones(len(places), bool)
        alive[:BLOCK] = False
        if end > BLOCK:
            hits = _hits(rows[:, stay], corners[:, BLOCK:end], known[stay], labels[BLOCK:end], iou_threshold, free)
            alive[BLOCK:end] = ~hits.any(0)
        left = np.flatnonzero(alive)
        places, labels, corners = places[left], labels[left], corners[:, torch.from_numpy(left)]
    return np.sort(np.concatenate(kept or [places]))


def _first_come(hits: NDArray[np.bool_]) -> list[int]:
    """Return which of a block stay, from hits (P, P) in order of score; each row is one integer, its bits the hits."""
    rows = np.packbits(hits, axis=1, bitorder="little")
    memory, size = rows.tobytes(), rows.shape[1]
    stay, dead = [], 0
    for place in range(len(rows)):
        if not dead >> place & 1:
            stay.append(place)
            dead |= int.from_bytes(memory[place * size : (place + 1) * size], "little")
    return stay


def _hits(
    rows: Tensor, columns: Tensor, row_labels: NDArray, column_labels: NDArray, iou_threshold: float, free: Tensor
) -> NDArray[np.bool_]:
    """Return whether rows (5, P) suppress columns (5, Q), as (P, Q); `free` is memory for three such matrices.

    In place, because fresh memory of 0.25 MB and more costs page faults. The height may stay negative: the
    intersection is then no larger than 0.
    """
    count, others = rows.shape[1], columns.shape[1]
    width, height, other = (part[: count * others].view(count, others) for part in free)
    rows = rows[:, :, None]
    torch.minimum(rows[2], columns[2], out=width)
    width.sub_(torch.maximum(rows[0], columns[0], out=other)).clamp_(min=0)
    torch.minimum(rows[3], columns[3], out=height)
    inter = width.mul_(height.sub_(torch.maximum(rows[1], columns[1], out=other)))
    allowed = torch.add(rows[4], columns[4], out=other).sub_(inter).mul_(iou_threshold)
    hits = inter.numpy() > allowed.numpy()  # NumPy's comparison takes a fifth of torch's time
    if row_labels[0] != row_labels[-1] or row_labels[0] != column_labels[-1]:
        hits &= row_labels[:, None] == column_labels
    return hits
