"""Regions of interest: maps of one size from boxes of any (Fast and Mask R-CNN)."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor

import torch
from torch import Tensor

from ..checks import UsageError
from . import switch
from .switch import Pair, operation

LIMITS = "gradient of the map only, with atomics unless torch asks for determinism"
Boxes = Tensor | Sequence[Tensor]


@operation("roi_align", forward=("roi_align_forward",), backward=("roi_align_backward",), limits=LIMITS)
def roi_align(
    x: Tensor, boxes: Boxes, output_size: Pair, spatial_scale: float = 1.0, sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:  # fmt: skip
    """Average bilinear samples over the bins of boxes (He et al. 2017), as `torchvision.ops.roi_align`.

    Args:
        x: (N, C, H, W), float32, float16 or bfloat16.
        boxes: (K, 5), each (image, x1, y1, x2, y2) in pixels of the picture; or a list of (L, 4), one for each image.
        output_size: Bins, one number or (vertical, horizontal).
        spatial_scale: Size of the map over that of the picture.
        sampling_ratio: Samples in a bin along each side; 0 or less for one a pixel.
        aligned: Shift by half a pixel, so that pixel centres and box edges agree; False makes boxes at least 1 wide.

    Returns:
        (K, C, OH, OW), dtype of x. A box on an image that is not there, or with NaN or infinity, gives
        zeros.

    Raises:
        UsageError: Shapes or devices that do not fit, or an empty map.
    """
    rows, size = _checked(x, boxes, output_size)
    if not switch.uses_triton(x):
        return _align(x, rows, size, spatial_scale, sampling_ratio, aligned)
    from ..kernels import launch
    from ..kernels import roi_align as family

    launch.check_map(x)
    return family.roi_align(x, rows, size, spatial_scale, max(sampling_ratio, 0), aligned)


@operation("roi_pool", forward=("roi_pool_forward",), backward=("roi_pool_backward",), limits=LIMITS)
def roi_pool(x: Tensor, boxes: Boxes, output_size: Pair, spatial_scale: float = 1.0) -> Tensor:
    """Take the maximum over the bins of boxes (Girshick 2015, section 2.1), as `torchvision.ops.roi_pool`.

    Arguments, result and errors as in `roi_align`; bins without pixels give zeros.
    """
    rows, size = _checked(x, boxes, output_size)
    if not switch.uses_triton(x):
        return _pool(x, rows, size, spatial_scale)
    from ..kernels import launch
    from ..kernels import roi_pool as family

    launch.check_map(x)
    return family.roi_pool(x, rows, size, spatial_scale)[0]


def _checked(x: Tensor, boxes: Boxes, output_size: Pair) -> tuple[Tensor, list[int]]:
    """Return the boxes as (K, 5) and the output's size."""
    if not isinstance(boxes, Tensor):
        if len(boxes) != x.shape[0] or any(b.dim() != 2 or b.shape[1] != 4 for b in boxes):
            got = f"{len(boxes)} of shapes {[tuple(b.shape) for b in boxes]}"
            raise UsageError(f"boxes (L, 4) for each of {x.shape[0]} images", got, "give an empty tensor for none")
        boxes = torch.cat([torch.cat([b.new_full((len(b), 1), i), b], 1) for i, b in enumerate(boxes)])
    if boxes.dim() != 2 or boxes.shape[1] != 5 or boxes.device != x.device:
        got = f"{tuple(boxes.shape)} on {boxes.device}"
        raise UsageError(f"boxes (K, 5) on {x.device}", got, "give rows (image, x1, y1, x2, y2)")
    if x.dim() != 4 or 0 in x.shape[2:]:
        raise UsageError("a map (N, C, H, W) with pixels", f"shape {tuple(x.shape)}", "leave empty maps out")
    size = [output_size] * 2 if isinstance(output_size, int) else list(output_size)
    if len(size) != 2 or min(size) < 1:
        raise UsageError("at least one bin each way", f"{output_size}", "pass one positive number or two")
    return boxes.detach(), size


def _there(x: Tensor, box: Tensor) -> bool:
    return bool(0 <= box[0] < x.shape[0] and box.isfinite().all())


def _align(x: Tensor, boxes: Tensor, size: list[int], scale: float, ratio: int, aligned: bool) -> Tensor:
    """Read every box as two small matrices of bilinear weights: y = rows @ map @ columns."""
    found = []
    for box in boxes.to(torch.promote_types(x.dtype, torch.float32)):
        if not _there(x, box):
            found.append(x.new_zeros((x.shape[1], *size)))
            continue
        x1, y1, x2, y2 = (box[1:] * scale - (0.5 if aligned else 0.0)).unbind()
        rows = _weights(y1, y2, size[0], x.shape[2], ratio, aligned)
        columns = _weights(x1, x2, size[1], x.shape[3], ratio, aligned)
        found.append((rows @ x[int(box[0])].to(rows.dtype) @ columns.T).to(x.dtype))
    joined = torch.stack(found) if found else x.new_zeros((0, x.shape[1], *size))
    return joined + x[:0].sum()  # which is 0, and lets a gradient of zeros be asked for


def _weights(low: Tensor, high: Tensor, bins: int, length: int, ratio: int, aligned: bool) -> Tensor:
    """Return (bins, length): with what weight a bin reads each pixel along one side."""
    extent = high - low if aligned else (high - low).clamp(min=1)
    step = extent / bins
    samples = ratio if ratio > 0 else int(step.ceil())
    weights = low.new_zeros((bins, length))
    if samples <= 0:
        return weights
    at = low + step * (torch.arange(bins * samples).to(low) + 0.5) / samples
    inside = (at >= -1) & (at <= length)
    at = at.clamp(0, length - 1)
    first = at.floor().clamp(max=length - 1).long()
    share = at - first
    bin_of = torch.arange(bins, device=low.device).repeat_interleave(samples)
    each = inside.to(low) / samples
    weights.index_put_((bin_of, first), each * (1 - share), accumulate=True)
    return weights.index_put_((bin_of, (first + 1).clamp(max=length - 1)), each * share, accumulate=True)


def _pool(x: Tensor, boxes: Tensor, size: list[int], scale: float) -> Tensor:
    found = x.new_zeros((len(boxes), x.shape[1], *size))
    parts = []
    for k, box in enumerate(boxes.to(torch.promote_types(x.dtype, torch.float32))):
        if not _there(x, box):
            continue
        corners = box[1:] * scale
        x1, y1, x2, y2 = (corners.abs() + 0.5).floor().mul(corners.sign()).tolist()  # halves away from zero
        for i, (h0, h1) in enumerate(_edges(y1, y2, size[0], x.shape[2])):
            for j, (v0, v1) in enumerate(_edges(x1, x2, size[1], x.shape[3])):
                if h1 > h0 and v1 > v0:
                    parts.append(((k, i, j), x[int(box[0]), :, h0:h1, v0:v1].flatten(1).max(1).values))
    if not parts:
        return found + x[:0].sum()
    where = torch.tensor([place for place, _ in parts], device=x.device).T
    values = torch.stack([value for _, value in parts])  # (bins, C)
    found = found.permute(0, 2, 3, 1).index_put(tuple(where), values)
    return found.permute(0, 3, 1, 2)


def _edges(low: float, high: float, bins: int, length: int) -> list[tuple[int, int]]:
    """Return for each bin its first pixel and the one after its last, along one side."""
    step = max(high - low + 1, 1) / bins
    starts = [min(max(low + floor(i * step), 0), length) for i in range(bins)]
    stops = [min(max(low + ceil((i + 1) * step), 0), length) for i in range(bins)]
    return [(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True)]
