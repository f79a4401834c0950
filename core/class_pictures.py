"""Pictures for a classifier: how they get their one size, and what `core.training.fit` draws from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .checks import ImageError
from .datasets.class_folders import check_unreadable
from .datasets.classes import ClassDataset
from .datasets.labels import UNREADABLE
from .images import resize

CACHE_BYTES = 2 * 1024**3
"""Pictures from files are kept in memory, scaled, until they fill this much; the others are read again each time."""


def square(image: NDArray[np.uint8], side: int, channels: int) -> NDArray[np.uint8]:
    """Cut the middle square of a picture (H, W, 3) and scale it to `side`: uint8 (channels, side, side).

    One channel is the luma of OpenCV and ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B.
    """
    height, width = image.shape[:2]
    if (height, width) != (side, side):
        short = min(height, width)  # cut before it is scaled: a picture of 1 x 60,000 pixels would fill the memory
        top, left = (height - short) // 2, (width - short) // 2
        image = np.ascontiguousarray(image[top : top + short, left : left + short])
        image = image if short == side else resize(image, (side, side))
    if channels == 1:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)[None]
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def centred_ink(image: NDArray[np.uint8], side: int = 28, box: int = 20) -> NDArray[np.uint8]:
    """Frame a drawing as MNIST frames its digits: ink in a box of 20 pixels, its centre of mass at pixel 14 of 28.

    Args:
        image: uint8 (H, W, 3), bright ink on black.
        side: Of the result.
        box: Longer side of the ink's bounding box in it.

    Returns:
        uint8 (side, side, 3); black for a picture without ink.

    Source: the description on LeCun's page of MNIST.
    """
    ink = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    rows, columns = (np.flatnonzero(ink.max(axis) > 32) for axis in (1, 0))
    frame = np.zeros((side, side), np.uint8)
    if len(rows):
        cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        scale = box / max(cut.shape)
        height, width = (max(1, round(length * scale)) for length in cut.shape)
        small = cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        moments = cv2.moments(small)
        middle = (moments["m10"] / max(moments["m00"], 1), moments["m01"] / max(moments["m00"], 1))
        left, top = (round(min(max(side / 2 - m, 0), side - n)) for m, n in zip(middle, (width, height), strict=True))
        frame[top : top + height, left : left + width] = small
    return np.repeat(frame[..., None], 3, 2)


class ClassPictures:
    """What `core.training.fit` draws from: a batch of (epoch, index) -> pictures of one size and their labels.

    Args:
        dataset: Where pictures and labels come from.
        side: Height and width.
        channels: 1 or 3.
    """

    def __init__(self, dataset: ClassDataset, side: int, channels: int) -> None:
        self.dataset, self.side, self.channels = dataset, side, channels
        self.cache: dict[int, NDArray[np.uint8]] = {}
        self.free = CACHE_BYTES
        self.whole = self._whole()

    def _whole(self) -> NDArray[np.uint8] | None:
        """All pictures (N, channels, side, side) where they lie in memory in this size already."""
        given = self.dataset.pictures
        if not isinstance(given, np.ndarray) or given.shape[1:3] != (self.side, self.side):
            return None
        if given.ndim == 3:
            given = given[:, None]
            return given if self.channels == 1 else np.broadcast_to(given, (len(given), 3, *given.shape[2:]))
        return given.transpose(0, 3, 1, 2) if self.channels == 3 else None

    def drop_unreadable(self) -> None:
        """Read every file once and leave out those whose body is damaged; the dataset's report names them.

        Raises:
            DataError: Too many of them.
        """
        if isinstance(self.dataset.pictures, np.ndarray):
            return
        good: list[int] = []
        bad: list[str] = []
        cache: dict[int, NDArray[np.uint8]] = {}
        for i in range(len(self.dataset)):
            try:
                self._read(i)
            except ImageError as error:
                bad.append(f"{UNREADABLE}: {error.got}")
                continue
            if i in self.cache:
                cache[len(good)] = self.cache[i]
            good.append(i)
        if bad:
            self.dataset.report.extend(bad)
            check_unreadable(len(bad), len(self.dataset), bad)
            self.dataset, self.cache = self.dataset.subset(good), cache

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> tuple[int, int]:
        return key

    def __getitems__(self, keys: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the keys: a batch is gathered at once in `collate`, picture by picture it took six times as long."""
        return keys

    def collate(self, samples: list[tuple[int, int]]) -> dict[str, Any]:
        """Join samples: images uint8 (N, channels, side, side), labels and indices (N,), the epoch, sources."""
        indices = np.array([index for _, index in samples])
        return {
            "images": self.images(indices),
            "labels": torch.from_numpy(self.dataset.labels[indices]),
            "indices": torch.from_numpy(indices),
            "epoch": samples[0][0],
            "sources": [self.dataset.source(i) for i in indices.tolist()],
        }

    def images(self, indices: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Return pictures, uint8 (N, channels, side, side)."""
        if self.whole is not None:
            return torch.from_numpy(np.ascontiguousarray(self.whole[indices]))
        return torch.from_numpy(np.stack([self._read(int(i)) for i in indices]))

    def _read(self, index: int) -> NDArray[np.uint8]:
        picture = self.cache.get(index)
        if picture is None:
            picture = square(self.dataset.image(index), self.side, self.channels)
            if picture.nbytes <= self.free:
                self.cache[index] = picture
                self.free -= picture.nbytes
        return picture


def statistics(pictures: ClassPictures, most: int = 2000) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel over at most `most` pictures, in [0, 1]."""
    chosen = np.arange(0, len(pictures), -(-len(pictures) // most))
    count, total, squares = 0, torch.zeros(pictures.channels), torch.zeros(pictures.channels)
    total, squares = total.double(), squares.double()
    for part in np.split(chosen, np.arange(50, len(chosen), 50)):
        values = pictures.images(part).double() / 255
        count += values.numel() // pictures.channels
        total += values.sum((0, 2, 3))
        squares += values.square().sum((0, 2, 3))
    mean = total / count
    std = (squares / count - mean**2).clamp(min=1e-6).sqrt()
    return tuple(round(v, 4) for v in mean.tolist()), tuple(round(v, 4) for v in std.tolist())
