"""The likeliest class of every pixel; from coarse scores without resizing them where the class is clear.

Bilinear resizing mixes the scores of four cells with weights that are not negative. Where one class is the likeliest in
all four, it is so everywhere between them: only the squares between cells of different classes are resized. A street
scene of 360 x 480 pixels takes 0.8 ms on one core, resizing the scores of 11 classes and torch's argmax 3.7; scores of
noise 4.9 and 5.9.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core import ops

AT_ONCE = 2**18
"""Numbers that are resized at once: a megabyte stays in a core's cache."""


def likeliest(values: Tensor) -> NDArray[np.uint8]:
    """Return the class with the largest value, uint8 (...), of values (classes, ...); of equal ones the first.

    On the CPU class by class, each a vectorised pass: for 11 classes 8 times as fast as torch's argmax and NumPy's.
    """
    if values.is_cuda:
        return values.argmax(0).to(torch.uint8).cpu().numpy()
    planes = values.numpy()
    best, found = planes[0].copy(), np.zeros(planes.shape[1:], np.uint8)
    for class_id in range(1, len(planes)):
        better = planes[class_id] > best
        np.maximum(found, better.view(np.uint8) * np.uint8(class_id), out=found)
        np.maximum(best, planes[class_id], out=best)
    return found


def likeliest_resized(scores: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the likeliest class of every pixel, uint8 (H, W), of scores resized bilinearly.

    Args:
        scores: float32 (classes, h, w).
        size: (H, W). Where it is not the same even multiple of h and w, and on a CUDA device, all scores are resized.

    Returns:
        `likeliest` of what `ops.upsample` makes of them, but for ties up to rounding.
    """
    classes, height, width = scores.shape
    step = size[0] // height
    if scores.is_cuda or step % 2 or (height * step, width * step) != tuple(size):
        return likeliest(ops.upsample(scores[None], size=size, mode="bilinear")[0])
    # A pixel (y, x) lies between the middles of four cells. Squares of `step` pixels between such middles tile the
    # picture from half a step outside it, where its border cells are repeated.
    cells = np.pad(scores.numpy(), ((0, 0), (1, 1), (1, 1)), mode="edge")
    own = likeliest(torch.from_numpy(cells))
    corners = [own[i : i + height + 1, j : j + width + 1] for i in (0, 1) for j in (0, 1)]
    labels = np.repeat(np.repeat(corners[0], step, 0), step, 1)
    squares = labels.reshape(height + 1, step, width + 1, step).transpose(0, 2, 1, 3)
    rows, columns = np.nonzero(np.any([corner != corners[0] for corner in corners[1:]], axis=0))
    part = max(1, AT_ONCE // (classes * step * step))
    for start in range(0, len(rows), part):
        y, x = rows[start : start + part], columns[start : start + part]
        squares[y, x] = _between(cells, y, x, step)
    half = step // 2
    return np.ascontiguousarray(labels[half : half + size[0], half : half + size[1]])


def _between(cells: NDArray[np.float32], y: NDArray[Any], x: NDArray[Any], step: int) -> NDArray[np.uint8]:
    """Return the classes in N squares whose upper left cells are (y, x), uint8 (N, step, step)."""
    corners = np.stack([cells[:, y + i, x + j] for i in (0, 1) for j in (0, 1)])
    along = (np.arange(step, dtype=np.float32) + 0.5) / step
    ends = np.stack((1 - along, along))
    weights = np.einsum("iy,jx->yxij", ends, ends).reshape(step * step, 4)
    values = torch.from_numpy(weights) @ torch.from_numpy(corners.reshape(4, -1))
    found = likeliest(values.view(step * step, len(cells), -1).transpose(0, 1))
    return found.T.reshape(-1, step, step)
