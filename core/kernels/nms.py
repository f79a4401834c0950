"""Suppression of overlapping boxes: greedy within each class and image, and Soft-NMS.

Greedy suppression (best score first) keeps box j when no kept box i before it, of its class, overlaps it by more than
the threshold:

    inter > threshold * (area_i + area_j - inter)          each operation rounded to float32, no division

A box without area overlaps nothing; one with NaN neither suppresses nor is suppressed. The products are `mul.rn`,
because the compiler would contract area + w h into one rounding, and kept boxes would differ from the CPU's. They
round areas below 1.2e-38 to 0, which the CPU does not.

Boxes are looked at in tiles of 64. Within a tile `_resolve` repeats "keep what no kept box of the tile suppresses"
until nothing changes, which is the greedy answer after as many rounds as the longest chain of suppressions. Two ways:

    up to 1,024 boxes   nms_greedy: one program an image compares each tile with the list of kept boxes and appends
    more                nms_matrix: all pairs, one bit each, on the whole device; nms_reduce: one program an image reads
                        the bits of kept boxes only

Both write a list of fixed length and its count on the device, so that they can be part of a CUDA graph. Soft-NMS
(Bodla et al. 2017) is one program: find the best, multiply the others' scores, again. Limit: M < 2^29 boxes an image.
"""

from __future__ import annotations

import torch
import triton

from . import launch
from .nms_programs import nms_greedy, nms_matrix, nms_reduce, soft_nms_forward

TILE = 64  # boxes in a tile: the bits of one word of the matrix
MOST_IN_ONE_LAUNCH = 1024
MOST_WORDS = 2**26  # of the matrix, 512 MiB: above it one program compares with the kept boxes, which needs no memory


def _fake(boxes, order, groups, counts, iou_threshold, limit):
    length = min(limit, boxes.shape[1])
    return order.new_empty((boxes.shape[0], length)), order.new_empty(boxes.shape[0])


def _launch(boxes, order, groups, counts, iou_threshold, limit):
    kept, number = _fake(boxes, order, groups, counts, iou_threshold, limit)
    images, most = order.shape
    if kept.numel() == 0:
        return kept, number.zero_()
    boxes, order = boxes.contiguous(), order.contiguous()
    groups = None if groups is None else groups.contiguous()
    counts = None if counts is None else counts.contiguous()
    limit = kept.shape[1]
    tiles = triton.cdiv(most, TILE)
    if most <= MOST_IN_ONE_LAUNCH or images * tiles * most > MOST_WORDS:
        launch.run(
            nms_greedy, (images,), boxes, order, groups, counts, kept, number, most, limit, iou_threshold,
            T=TILE, num_warps=8,
        )  # fmt: skip
        return kept, number
    words = order.new_empty((images, tiles, most))
    places = torch.empty_like(order, dtype=torch.int32)
    launch.run(
        nms_matrix, (tiles, tiles, images), boxes, order, groups, counts, words, most, iou_threshold,
        T=TILE, num_warps=8,
    )  # fmt: skip
    launch.run(
        nms_reduce, (images,), words, order, counts, places, kept, number, most, tiles, limit,
        T=TILE, R=TILE if launch.INTERPRETED else 1024,
    )  # fmt: skip
    return kept, number


def _fake_soft(boxes, scores, iou_threshold, sigma, gaussian, min_score):
    kept = torch.empty_like(scores, dtype=torch.int64, memory_format=torch.contiguous_format)
    return kept, torch.empty_like(kept, dtype=torch.float32), kept.new_empty(1)


def _launch_soft(boxes, scores, iou_threshold, sigma, gaussian, min_score):
    kept, values, number = _fake_soft(boxes, scores, iou_threshold, sigma, gaussian, min_score)
    most = len(scores)
    if most == 0:
        return kept, values, number.zero_()
    free = scores.to(torch.float32, copy=True).contiguous()
    # A number for each of 128 threads at least: with fewer, several warps would hold the same one, and one could read
    # what another has already lowered.
    block = min(1024, max(128, triton.next_power_of_2(most)))
    launch.run(
        soft_nms_forward, (1,), boxes.contiguous(), free, kept, values, number, most, iou_threshold, sigma, min_score,
        GAUSSIAN=gaussian, T=block,
    )  # fmt: skip
    return kept, values, number


# No gradient: indices have none, and the public functions take detached boxes.
nms_padded = launch.define(
    "nms_padded(Tensor boxes, Tensor order, Tensor? groups, Tensor? counts, float iou_threshold, int limit)"
    " -> (Tensor, Tensor)",
    _launch,
    _fake,
)
soft_nms = launch.define(
    "soft_nms(Tensor boxes, Tensor scores, float iou_threshold, float sigma, bool gaussian, float min_score)"
    " -> (Tensor, Tensor, Tensor)",
    _launch_soft,
    _fake_soft,
)
