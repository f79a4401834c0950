"""What the maps of a detector or a segmenter should become: objects that vanish or appear, masks that flip.

A detector's network gives, for each scale, something whose last part are class logits (N, classes, h, w); a segmenter's
gives logits (N, classes, H, W). The goals below read both.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..core.checks import UsageError, fraction
from .goals import MapGoal

MARGIN = 1.0
"""Logits by which cells have to pass a threshold before they stop to count in a loss."""
ENOUGH = 0.5
"""Logits by which they have to pass it before the attack stops: rounding, and bfloat16, must not undo it."""


def class_maps(outputs: Any) -> list[Tensor]:
    """Return the class logits of all scales, each (N, classes, h, w)."""
    if isinstance(outputs, Tensor):
        return [outputs]
    return [scale if isinstance(scale, Tensor) else scale[-1] for scale in outputs]


def vanish(confidence: float, class_id: int | None = None) -> MapGoal:
    """Return the goal that no cell of a detector is surer than `confidence` of any class, or of one.

    The loss is minus the sum, over cells, of how far their logits lie above the threshold less a margin.
    """
    fraction("confidence", confidence)
    limit = _logit(confidence)
    return MapGoal(partial(_below, class_id, limit - MARGIN), partial(_none_above, class_id, limit - ENOUGH))


def appear(class_id: int, confidence: float, cells: int = 1, *, beside: Any = None) -> MapGoal:
    """Return the goal that at least so many cells of a detector are surer than `confidence` of a class.

    Args:
        class_id: Of the class.
        confidence: Of the detector.
        cells: How many; one is enough for an object.
        beside: What the network puts out about the picture as it is, where some of the class may be in it: cells that
            see one, and those next to them, of any scale, do not count, so that one more object has to appear; and the
            loss holds those that see one.

    Raises:
        UsageError: No cell that is free, or an impossible confidence.
    """
    fraction("confidence", confidence)
    limit = _logit(confidence)
    free = seen = None
    if beside is not None:
        free, seen = _free(beside, class_id, limit), _cells(beside, class_id)[0] > limit
    if free is not None and int(free.sum()) < cells:
        got = f"{int(free.sum())} cells that see none yet"
        raise UsageError(f"room for {cells} cells that see a new object", got, "attack a picture with fewer of them")
    return MapGoal(
        partial(_highest, class_id, limit + MARGIN, cells, free, seen),
        partial(_some_above, class_id, limit + ENOUGH, cells, free),
    )


def flip(target: int, region: NDArray[np.bool_], share: float = 0.9) -> MapGoal:
    """Return the goal that a segmenter gives a class to a share of the pixels of a region, bool (H, W).

    The loss is the mean, over the region, of the target's logit less the largest other, as far as it is below a margin.
    """
    fraction("share", share)
    if not region.any():
        raise UsageError("a region with pixels", "none", "pass where the mask is to change")
    place = torch.from_numpy(region)
    return MapGoal(partial(_lead, target, place), partial(_flipped, target, place, share))


def _logit(probability: float) -> float:
    return float(np.log(probability) - np.log1p(-probability)) if 0 < probability < 1 else (probability - 0.5) * 40


def _cells(outputs: Any, class_id: int | None) -> Tensor:
    """Return each cell's logit of a class, or its largest, (N, cells)."""
    maps = class_maps(outputs)
    rows = [one.amax(1) if class_id is None else one[:, class_id] for one in maps]
    return torch.cat([row.flatten(1) for row in rows], 1)


def _below(class_id: int | None, limit: float, outputs: Any) -> Tensor:
    return -F.relu(_cells(outputs, class_id) - limit).sum(1)


def _none_above(class_id: int | None, limit: float, outputs: Any) -> Tensor:
    return (_cells(outputs, class_id) < limit).all(1)


def _free(outputs: Any, class_id: int, limit: float) -> Tensor:
    """Return which cells, of all scales, neither see the class nor lie beside one that does, bool (cells,)."""
    maps = [(one[:1, class_id, None] > limit).float() for one in class_maps(outputs)]
    near = [F.max_pool2d(one, 3, 1, 1) for one in maps]
    taken = [torch.stack([_at(other, one.shape[2], one.shape[3]) for other in near]).amax(0) for one in maps]
    return torch.cat([(one == 0).flatten() for one in taken])


def _at(marks: Tensor, height: int, width: int) -> Tensor:
    """Return marks (1, 1, h, w) at another scale; a coarse cell is marked where one of its fine ones is."""
    larger = max(height, marks.shape[2]), max(width, marks.shape[3])
    finer = F.interpolate(marks, larger, mode="nearest")
    return F.adaptive_max_pool2d(finer, (height, width))


def _highest(class_id: int, limit: float, count: int, free: Tensor | None, seen: Tensor | None, outputs: Any) -> Tensor:
    cells = _cells(outputs, class_id).clamp(max=limit)
    rising = (cells if free is None else cells[:, free]).topk(count, 1).values.sum(1)
    return rising if seen is None else rising + cells[:, seen].sum(1)


def _some_above(class_id: int, limit: float, count: int, free: Tensor | None, outputs: Any) -> Tensor:
    cells = _cells(outputs, class_id)
    return ((cells if free is None else cells[:, free]) >= limit).sum(1) >= count


def _leads(target: int, region: Tensor, outputs: Any) -> Tensor:
    """Return the target's logit less the largest other, at the region's pixels, (N, pixels)."""
    (logits,) = class_maps(outputs)
    logits = logits[:, :, : region.shape[0], : region.shape[1]][:, :, region.to(logits.device)]
    hidden = torch.arange(logits.shape[1], device=logits.device) == target
    return logits[:, target] - logits.masked_fill(hidden[:, None], float("-inf")).amax(1)


def _lead(target: int, region: Tensor, outputs: Any) -> Tensor:
    return _leads(target, region, outputs).clamp(max=MARGIN).mean(1)


def _flipped(target: int, region: Tensor, share: float, outputs: Any) -> Tensor:
    return (_leads(target, region, outputs) > ENOUGH).float().mean(1) >= share
