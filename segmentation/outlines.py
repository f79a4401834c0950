"""Outlines of a mask's connected parts, along the edges of pixels: drawn again, they give the same pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

PARENT = 3
"""Place of a contour's parent in a row of OpenCV's tree."""


@dataclass(frozen=True, eq=False)
class Outline:
    """One connected part of a class; pixels that touch at a corner are connected.

    Attributes:
        label: Name of its class.
        class_id: Its number.
        exterior: int32 (K, 2), corners x, y; pixel (row, column) is the square from (column, row) to one further.
        holes: The same for every hole in it.
    """

    label: str
    class_id: int
    exterior: NDArray[np.int32]
    holes: tuple[NDArray[np.int32], ...] = ()

    @property
    def area(self) -> float:
        """Number of its pixels."""
        return _area(self.exterior) - sum(_area(hole) for hole in self.holes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: label, class_id, area, exterior and holes as lists of [x, y]."""
        return {
            "label": self.label,
            "class_id": self.class_id,
            "area": self.area,
            "exterior": self.exterior.tolist(),
            "holes": [hole.tolist() for hole in self.holes],
        }


def outlines(mask: NDArray[np.bool_], label: str, class_id: int) -> list[Outline]:
    """Return the outlines of a mask, bool (H, W), from the top down.

    OpenCV follows the middles of border pixels, which loses half a pixel on every side. Here it follows a mask of twice
    the size, where the middles 2 c and 2 c + 1 of column c stand for its left and right edge: c and c + 1.
    """
    if not mask.any():
        return []
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    double = np.repeat(np.repeat(part.astype(np.uint8), 2, axis=0), 2, axis=1)
    found, tree = cv2.findContours(double, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    corners = [
        _corners(np.asarray(contour[:, 0], np.int32)) + np.array((columns[0], rows[0]), np.int32) for contour in found
    ]
    holes: dict[int, list[NDArray[np.int32]]] = {i: [] for i in np.flatnonzero(tree[0, :, PARENT] < 0).tolist()}
    for ring, parent in zip(corners, tree[0, :, PARENT].tolist(), strict=True):
        if parent >= 0:
            holes[parent].append(ring)
    return [Outline(label, class_id, corners[i], tuple(holes[i])) for i in reversed(holes)]


def _corners(points: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the corners of a contour in the doubled mask; points in a line or upon each other are dropped."""
    edges = (points + 1) // 2
    edges = edges[(edges != np.roll(edges, 1, axis=0)).any(1)]
    before, after = edges - np.roll(edges, 1, axis=0), np.roll(edges, -1, axis=0) - edges
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return edges[turns].astype(np.int32)


def _area(points: NDArray[np.int32]) -> float:
    """Area of a polygon (K, 2), by Gauss's formula."""
    x, y = points.T.astype(np.int64)
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
