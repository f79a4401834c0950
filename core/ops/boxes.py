"""Overlap of boxes."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import UsageError, unknown
from . import switch
from .switch import operation

OVER = ("union", "second")


@operation("boxes", forward=("box_iou_forward",), limits="no gradient")
def box_iou(first: Tensor, second: Tensor, over: str = "union") -> Tensor:
    """Measure the overlap of every box of one list with every box of another.

    Computed in float32 (float64 on torch's road for float64 boxes), the same to the last bit on both roads. A box that
    is empty or inside out has no area and overlaps nothing, not even itself; one with NaN gives NaN.

    Args:
        first: (M, 4) xyxy.
        second: (N, 4) xyxy, of the same dtype.
        over: What the intersection is divided by: "union", or "second" for the share of the second box that lies
            inside the first, as COCO counts on crowd regions.

    Returns:
        (M, N), 0 to 1.

    Raises:
        UsageError: Other shapes, an unknown `over`, or boxes that want a gradient.

    Example:
        >>> box_iou(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 0, 3, 2], [5.0, 5, 6, 6]]))
        tensor([[0.3333, 0.0000]])
    """
    if over not in OVER:
        raise unknown("over", over, OVER)
    for boxes in (first, second):
        if boxes.dim() != 2 or boxes.shape[1] != 4 or not boxes.is_floating_point():
            got = f"{str(boxes.dtype).removeprefix('torch.')} {tuple(boxes.shape)}"
            raise UsageError("boxes (M, 4) and (N, 4) of floats", got, "pass xyxy, one box a row")
    if torch.is_grad_enabled() and (first.requires_grad or second.requires_grad):
        raise UsageError("boxes without a gradient", "boxes that require one", "detach them")
    if not switch.uses_triton(first):
        return _box_iou(first, second, over == "union")
    from ..kernels import boxes as family
    from ..kernels import launch

    launch.check_dtype(first)
    launch.check_dtype(second)
    return family.box_iou(first, second, over == "union")


def _box_iou(first: Tensor, second: Tensor, over_union: bool) -> Tensor:
    dtype = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
    first, second = first.to(dtype)[:, None], second.to(dtype)[None]
    left_top = torch.maximum(first[..., :2], second[..., :2])
    inter = (torch.minimum(first[..., 2:], second[..., 2:]) - left_top).clamp(min=0).prod(-1)
    area, other = ((boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1) for boxes in (first, second))
    whole = area + other - inter if over_union else other
    return inter / whole.masked_fill(whole == 0, 1)
