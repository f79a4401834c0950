"""From the maps of an anchor-free detector's head to candidate boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..checks import UsageError, fraction, positive
from . import switch
from .switch import operation


class Candidates(NamedTuple):
    """The best cells of each image, best first, in lists of one length; behind `counts` stands nothing of meaning.

    Attributes:
        boxes: (N, K, 4) xyxy in pixels of the network's input.
        scores: (N, K).
        class_ids: int64 (N, K).
        counts: int64 (N,).
    """

    boxes: Tensor
    scores: Tensor
    class_ids: Tensor
    counts: Tensor


@operation("yolo_decode", forward=("yolo_decode_forward",), limits="no gradient")
def yolo_decode(
    maps: Sequence[tuple[Tensor, Tensor]],
    strides: Sequence[int],
    confidence: float,
    *,
    multi_label: bool = False,
    max_candidates: int = 3000,
) -> Candidates:
    """Turn the cells in which a class is likely enough into boxes, best first.

    A side of a box lies at the mean of its distribution over the bins, in strides from the cell's centre. On a CUDA
    device nothing is read back: it can be part of a CUDA graph.

    Args:
        maps: For each level the logits of distances (N, 4 * bins, h, w), the sides left, top, right, bottom after each
            other, and of classes (N, C, h, w).
        strides: Pixels between the cells of each level.
        confidence: Least probability, 0 to 1.
        multi_label: Let a cell answer with every class, not only with its best.
        max_candidates: Most boxes of an image.

    Returns:
        `Candidates` in float32 (float64 on torch's road for float64 maps), with K the smaller of `max_candidates` and
        the number of possible answers. Equal scores: the earlier cell first.

    Raises:
        UsageError: Levels that do not fit each other, numbers out of range, or maps that want a gradient.

    Source: Li et al. 2020 (Generalized Focal Loss), equation 4; Tian et al. 2019 (FCOS), equation 1.
    """
    fraction("confidence", confidence)
    positive("max_candidates", max_candidates)
    distances, classes = [level[0] for level in maps], [level[1] for level in maps]
    _check(distances, classes, strides)
    if torch.is_grad_enabled() and any(level.requires_grad for level in (*distances, *classes)):
        raise UsageError("maps without a gradient", "maps that require one", "decode under torch.no_grad()")
    if not switch.uses_triton(classes[0]):
        return _decode(distances, classes, strides, confidence, multi_label, max_candidates)
    from ..kernels import launch
    from ..kernels import yolo_decode as family

    for level in (*distances, *classes):
        launch.check_dtype(level)
    boxes, scores, class_ids = family.yolo_decode(distances, classes, list(strides), confidence, multi_label)
    best, places = scores.flatten(1).sort(dim=1, descending=True, stable=True)
    best, places = best[:, :max_candidates], places[:, :max_candidates]
    cells = places // scores.shape[2]
    labels = places % scores.shape[2] if multi_label else class_ids.gather(1, cells)
    return Candidates(boxes.gather(1, cells[..., None].expand(-1, -1, 4)), best, labels, (best >= 0).sum(1))


def _check(distances: Sequence[Tensor], classes: Sequence[Tensor], strides: Sequence[int]) -> None:
    got = ", ".join(f"{tuple(d.shape)} and {tuple(c.shape)}" for d, c in zip(distances, classes, strict=True))
    if not classes or len(classes) != len(strides):
        raise UsageError("a stride for each level", f"{len(strides)} for {len(classes)}", "pass as many")
    if any(level.dim() != 4 for level in (*distances, *classes)):
        raise UsageError("maps (N, 4 * bins, h, w) and (N, C, h, w)", got, "add or remove dimensions")
    sides, width, images = distances[0].shape[1], classes[0].shape[1], classes[0].shape[0]
    for d, c in zip(distances, classes, strict=True):
        if d.shape[2:] != c.shape[2:] or d.shape[:2] != (images, sides) or c.shape[:2] != (images, width):
            raise UsageError("one batch, one number of bins and of classes", got, "decode one network's levels")
    if sides % 4 or sides == 0 or width == 0:
        raise UsageError("4 * bins channels of distances and at least one class", got, "pass distances first")


def _decode(
    distances: Sequence[Tensor],
    classes: Sequence[Tensor],
    strides: Sequence[int],
    confidence: float,
    multi_label: bool,
    most: int,
) -> Candidates:
    """Compute with torch; only cells that pass are turned into boxes, so an empty picture costs almost nothing."""
    kind = torch.promote_types(classes[0].dtype, torch.float32)
    probabilities = torch.cat([level.flatten(2) for level in classes], dim=2).to(kind).transpose(1, 2).sigmoid()
    sides = torch.cat([level.flatten(2) for level in distances], dim=2).to(kind).transpose(1, 2).unflatten(2, (4, -1))
    grid = [_centres(level, stride) for level, stride in zip(classes, strides, strict=True)]
    centres, steps = (torch.cat(parts).to(kind) for parts in zip(*grid, strict=True))
    bins = torch.arange(sides.shape[3], dtype=kind, device=sides.device)[:, None]
    images, cells, width = probabilities.shape
    length = min(most, cells * width if multi_label else cells)
    boxes = sides.new_zeros((images, length, 4))
    scores, class_ids = sides.new_zeros((images, length)), sides.new_zeros((images, length), dtype=torch.int64)
    counts = []
    for image in range(images):
        where, labels, best = _best(probabilities[image], confidence, multi_label)
        order = best.sort(descending=True, stable=True).indices[:length]
        where, count = where[order], len(order)
        reach = (sides[image, where].softmax(-1) @ bins).squeeze(-1) * steps[where]
        boxes[image, :count] = torch.cat((centres[where] - reach[:, :2], centres[where] + reach[:, 2:]), 1)
        scores[image, :count], class_ids[image, :count] = best[order], labels[order]
        counts.append(count)
    return Candidates(boxes, scores, class_ids, class_ids.new_tensor(counts))


def _centres(level: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Return the centres (h * w, 2) of a level's cells, as x, y, and their stride (h * w, 1)."""
    cell = torch.arange(level.shape[2] * level.shape[3], device=level.device)
    centres = (torch.stack((cell % level.shape[3], cell // level.shape[3]), 1) + 0.5) * stride
    return centres, torch.full_like(centres[:, :1], float(stride))


def _best(scores: Tensor, confidence: float, multi_label: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return cells, class ids and scores of at least `confidence`, from probabilities (A, C)."""
    if multi_label:
        cells, labels = (scores >= confidence).nonzero(as_tuple=True)
        return cells, labels, scores[cells, labels]
    best, labels = scores.max(-1)
    cells = (best >= confidence).nonzero()[:, 0]
    return cells, labels[cells], best[cells]
