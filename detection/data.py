"""Training pictures for the detector: read once, augmented as a function of (seed, epoch, index)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.augment import Augmentation, Labelled, augment
from ..core.batches import worker_share
from ..core.checks import DataError
from ..core.datasets import BoxDataset, list_splits, load_boxes
from ..core.datasets.splits import validation_split
from ..core.images import load_image, resize
from ..core.letterbox import plan_letterbox

STRIDE = 32
"""The network's largest stride: sides of a canvas are multiples of it."""

CACHE_BYTES = 2 * 1024**3
"""Pictures are kept in memory, scaled to the canvas, until they fill this much, in all workers together; the
others are read again each time."""


def canvas_for(size: tuple[int, int], image_size: int) -> tuple[int, int]:
    """Return the smallest canvas (height, width) for a picture of that shape whose longer side becomes image_size."""
    scale = image_size / max(size)
    height, width = (max(STRIDE, int(np.ceil(round(side * scale) / STRIDE)) * STRIDE) for side in size)
    return height, width


class TrainingPictures:
    """What `core.training.fit` draws from: sample (epoch, index) -> an augmented picture with boxes.

    Args:
        dataset: Where pictures and boxes come from.
        image_size: Longer side of the canvas; the canvas has the shape of the dataset's median picture.
        augmentation: How strongly pictures are changed.
        plain_from: From this epoch on without mosaic, so that the last epochs see whole pictures (as YOLOX does).
        seed: Seed of the augmentation.
    """

    def __init__(
        self, dataset: BoxDataset, image_size: int, augmentation: Augmentation, plain_from: int, seed: int
    ) -> None:
        self.dataset, self.augmentation, self.plain_from, self.seed = dataset, augmentation, plain_from, seed
        aspect = float(np.median([sample.height / sample.width for sample in dataset]))
        self.canvas = canvas_for((round(1000 * aspect), 1000), image_size)
        self.cache: dict[int, np.ndarray] = {}
        self.free: int | None = None  # known in the process that reads

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Labelled, str]:
        """Return the augmented picture on the canvas, and the path of its (first) picture."""
        epoch, index = key
        rng = np.random.default_rng((self.seed, epoch, index))
        parts = [index]
        if epoch < self.plain_from and rng.random() < self.augmentation.mosaic:
            parts += rng.integers(0, len(self), 3).tolist()
        sample = augment([self._read(i) for i in parts], rng, self.canvas, self.augmentation)
        return sample, str(self.dataset[index].image)

    def collate(self, samples: list[tuple[Labelled, str]]) -> dict[str, Any]:
        """Join samples: images uint8 (N, 3, H, W); boxes (N, M, 4), classes (N, M), mask (N, M), padded; sources."""
        most = max(len(sample.boxes) for sample, _ in samples)
        boxes = torch.zeros(len(samples), most, 4)
        classes = torch.zeros(len(samples), most, dtype=torch.int64)
        mask = torch.zeros(len(samples), most, dtype=torch.bool)
        for i, (sample, _) in enumerate(samples):
            count = len(sample.boxes)
            boxes[i, :count] = torch.from_numpy(sample.boxes)
            classes[i, :count] = torch.from_numpy(sample.class_ids)
            mask[i, :count] = True
        images = torch.from_numpy(np.stack([sample.image for sample, _ in samples])).permute(0, 3, 1, 2)
        return {"images": images, "boxes": boxes, "classes": classes, "mask": mask, "sources": [s for _, s in samples]}

    def _read(self, index: int) -> Labelled:
        """Read one picture, shrunk to the canvas; crowd regions are not learned from."""
        sample = self.dataset[index]
        plan = plan_letterbox((sample.height, sample.width), self.canvas)
        image = self.cache.get(index)
        if image is None:
            image = resize(load_image(sample.image), plan.fitted)
            if self.free is None:
                self.free = worker_share(CACHE_BYTES)
            if image.nbytes <= self.free:
                self.cache[index] = image
                self.free -= image.nbytes
        factors = np.array([plan.scale_x, plan.scale_y] * 2, np.float32)
        return Labelled(image, (sample.boxes * factors)[~sample.crowd], sample.class_ids[~sample.crowd])


def training_splits(
    data: BoxDataset | str | Path, val: BoxDataset | None, names: tuple[str, ...], *, fixed: bool
) -> tuple[BoxDataset, BoxDataset | None]:
    """Read the training pictures and, where the dataset has them, the validation pictures.

    Args:
        data: A dataset, or the folder of one.
        val: Validation pictures, if not the folder's own.
        names: Classes of the detector; a folder that has no others is read in their order.
        fixed: Other classes than `names` are bad labels, rather than the reason to learn those.

    Raises:
        DataError: Validation pictures of other classes, or without a single box.
    """
    if isinstance(data, BoxDataset):
        train = data
    else:
        train = load_boxes(data, "train", names=names if fixed and names else None)
        if not fixed and set(train.names) <= set(names):
            train = load_boxes(data, "train", names=names)
        judge = validation_split(list_splits(data)) if val is None else None
        val = val if judge is None else load_boxes(data, judge, names=train.names)
    if val is not None and val.names != train.names:
        fix = "read both splits with the same names"
        raise DataError(f"validation pictures of the classes {train.names}", f"{val.names}", fix)
    if val is not None and not any(val.counts().values()):
        raise DataError(
            "validation pictures with boxes", f"none in {len(val)} pictures", "label some, or leave val out"
        )
    return train, val
