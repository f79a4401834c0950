"""Pictures to learn painting on: any natural ones, without labels, cut at chance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.batches import worker_share
from ..core.checks import DataError
from ..core.images import SUFFIXES, Source, image_size, load_image, resize, to_tensor

ZOOM = 2.5
"""The shorter side of a picture is resized to this many crops at most before it is cut: things of all sizes."""
CACHE_BYTES = 2**30
"""Pictures that are kept, reduced to what the largest zoom needs; 4,000 of them for crops of 128 pixels."""


class ContentCrops:
    """A training set whose every sample is a crop of a picture drawn at chance, mirrored or not.

    Args:
        sources: A folder, whose sub-folders count, or pictures as `load_image` takes them.
        crop: Side of the crops.
        count: Samples of an epoch, however many pictures there are.
        seed: Of all that is drawn.

    Raises:
        DataError: No pictures.
        ImageError: One that is none; files are asked for their size before the training begins.
    """

    def __init__(self, sources: str | Path | Sequence[Source], crop: int, count: int, seed: int) -> None:
        self.sources, self.crop, self.count, self.seed = content_sources(sources), crop, count, seed
        # What they are called in messages and in what a resumed training has to have in common.
        self.names = [Path(s).name if isinstance(s, str | Path) else f"number {n}" for n, s in enumerate(self.sources)]
        for source in self.sources:
            if isinstance(source, str | Path):
                image_size(source)
        self.cache: dict[int, NDArray[np.uint8]] = {}
        self.free: int | None = None  # known in the process that reads

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: tuple[int, int]) -> tuple[NDArray[np.uint8], int]:
        """Return a crop, and the number of its picture."""
        rng = np.random.default_rng((self.seed, *key))
        number = int(rng.integers(len(self.sources)))
        image = self._read(number)
        side = round(self.crop * float(np.exp(rng.uniform(0, np.log(ZOOM)))))
        image = _covering(image, side)
        top, left = (int(rng.integers(length - self.crop + 1)) for length in image.shape[:2])
        image = image[top : top + self.crop, left : left + self.crop]
        return np.ascontiguousarray(image[:, :: int(rng.choice((-1, 1)))]), number

    def collate(self, samples: list[tuple[NDArray[np.uint8], int]]) -> dict[str, Any]:
        """Join samples: images float32 (N, 3, crop, crop) in [0, 1], sources."""
        images, numbers = zip(*samples, strict=True)
        return {"images": to_tensor(list(images)), "sources": [self.names[number] for number in numbers]}

    def _read(self, number: int) -> NDArray[np.uint8]:
        image = self.cache.get(number)
        if image is None:
            image = load_image(self.sources[number])
            most = round(self.crop * ZOOM)
            image = _covering(image, most) if min(image.shape[:2]) > most else image
            if self.free is None:
                self.free = worker_share(CACHE_BYTES)
            if image.nbytes <= self.free:
                self.cache[number] = image
                self.free -= image.nbytes
        return image


def content_sources(sources: str | Path | Sequence[Source]) -> list[Source]:
    """Return the pictures of a folder and its sub-folders by name, or of a list as they are; DataError for none."""
    found: list[Source]
    if not isinstance(sources, str | Path):
        found = list(sources)
    elif Path(sources).is_dir():
        found = [*sorted(f for f in Path(sources).rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())]
    else:
        raise DataError("a folder with pictures, or a list of pictures", f"no folder: {sources}", "check the path")
    if not found:
        got = f"none in {sources}" if isinstance(sources, str | Path) else "an empty list"
        raise DataError("pictures to learn painting on", got, "a few hundred natural pictures will do")
    return found


def _covering(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return a picture whose shorter side has a length."""
    factor = side / min(image.shape[:2])
    height, width = (round(length * factor) for length in image.shape[:2])
    return resize(image, (height, width))
