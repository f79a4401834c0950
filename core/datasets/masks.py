"""What a set of pictures with a class for every pixel is.

Masks are uint8 (H, W): class ids from 0, and 255 for pixels that count for nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..checks import DataError, UsageError
from ..images import load_image
from .labels import check_names
from .mask_code import MaskCode
from .mask_files import IGNORE, MOST_CLASSES, Colour, RawMask, read_mask, voc_colours


class Drawn(Protocol):
    """A mask that is drawn when it is asked for (COCO's polygons)."""

    def ids(self) -> NDArray[np.uint8]:
        """Return class ids (H, W)."""
        ...

    def digest(self) -> bytes:
        """Return bytes that tell it from other masks."""
        ...


class Labelled(NamedTuple):
    """A picture, uint8 RGB (H, W, 3), its class ids, uint8 (H, W), and what their file holds, None for no file."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    raw: RawMask | None


@dataclass(frozen=True)
class MaskDataset:
    """Pictures with a class for every pixel; files are read when they are asked for.

    Attributes:
        pictures: Paths, or the pictures themselves: uint8 (H, W, 3) RGB or (H, W) grey each.
        masks: As many: paths, uint8 (H, W) arrays, or what draws itself.
        names: Class names in the order of the class ids.
        colours: RGB of the classes; empty gives VOC's palette.
        root: Folder of the dataset.
        split: Such as "train" or "val".
        format: "folders", "camvid", "voc", "coco" or "arrays".
        report: One sentence for every file that was left out or looks wrong, and for what was assumed about the values.
        code: Which class the values in the masks' files mean; None takes them for class ids.
    """

    pictures: Sequence[Path] | Sequence[NDArray[np.uint8]]
    masks: Sequence[Path] | Sequence[NDArray[np.uint8]] | Sequence[Drawn]
    names: tuple[str, ...]
    colours: tuple[Colour, ...] = ()
    root: Path = Path()
    split: str = "train"
    format: str = "arrays"
    report: list[str] = field(default_factory=list)
    code: MaskCode | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", check_names(self.names))
        if len(self.names) > MOST_CLASSES:
            raise DataError(f"at most {MOST_CLASSES} classes", f"{len(self.names)}", "join some of them")
        if len(self.pictures) != len(self.masks):
            raise DataError("a mask for every picture", f"{len(self.pictures)} and {len(self.masks)}", "match them")
        if not self.colours:
            object.__setattr__(self, "colours", voc_colours(len(self.names)))
        if len(self.colours) != len(self.names):
            got = f"{len(self.colours)} colours and {len(self.names)} names"
            raise DataError("a colour for every class", got, "give each one, or none at all")

    def __len__(self) -> int:
        return len(self.pictures)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return one picture, uint8 RGB (H, W, 3)."""
        return load_image(self.pictures[index])

    def mask(self, index: int) -> NDArray[np.uint8]:
        """Return one mask, uint8 (H, W): class ids, 255 = ignore.

        Raises:
            DataError: A value that is no class.
            ImageError: A file that cannot be read.
        """
        return self._mask(index)[0]

    def pair(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return a picture and its mask; raises DataError when their sizes differ."""
        return self.read(index)[:2]

    def read(self, index: int) -> Labelled:
        """Return a picture, its mask and what the mask's file holds, each read once; raises as `mask` and `pair`."""
        image, (mask, raw) = self.image(index), self._mask(index)
        if image.shape[:2] != mask.shape:
            raise size_error(self.mask_source(index), mask.shape, image.shape[:2])
        return Labelled(image, mask, raw)

    def _mask(self, index: int) -> tuple[NDArray[np.uint8], RawMask | None]:
        mask = self.masks[index]
        if not isinstance(mask, Path | np.ndarray):
            try:
                return mask.ids(), None
            except DataError as error:
                raise DataError(error.expected, f"{error.got}: mask of {self.source(index)}", error.fix) from error
        raw = read_mask(mask) if isinstance(mask, Path) else RawMask(mask)
        ids = (self.code or MaskCode.identity(len(self.names))).ids(raw, self.mask_source(index))
        return ids, raw if isinstance(mask, Path) else None

    def source(self, index: int) -> str:
        """Name one picture: its path, or its place."""
        picture = self.pictures[index]
        return str(picture) if isinstance(picture, Path) else f"{self.split} picture {index}"

    def mask_source(self, index: int) -> str:
        """Name one mask: its path, or its place."""
        mask = self.masks[index]
        return str(mask) if isinstance(mask, Path) else f"{self.split} mask {index}"

    @cached_property
    def histograms(self) -> NDArray[np.int64]:
        """Pixels of every class in every mask, (N, classes + 1), ignored ones last; all masks are read once for it."""
        count = len(self.names)
        rows = np.zeros((len(self), count + 1), np.int64)
        for i in range(len(self)):
            pixels = np.bincount(self.mask(i).ravel(), minlength=IGNORE + 1)
            rows[i, :count], rows[i, count] = pixels[:count], pixels[IGNORE]
        return rows

    def counts(self) -> dict[str, int]:
        """Number of pixels of each class, zeros included, ignored ones not."""
        return dict(zip(self.names, self.histograms.sum(0)[:-1].tolist(), strict=True))

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> MaskDataset:
        """Return the pictures at `indices`, in that order."""
        chosen = np.asarray(indices, np.int64).tolist()
        pictures, masks = [self.pictures[i] for i in chosen], [self.masks[i] for i in chosen]
        part = replace(self, pictures=pictures, masks=masks)
        if "histograms" in vars(self):  # counted once
            vars(part)["histograms"] = self.histograms[chosen]
        return part

    def split_off(self, share: float, seed: int = 0) -> tuple[MaskDataset, MaskDataset]:
        """Return the rest and a part of `share` of the pictures, chosen at random, at least one picture each."""
        if not 0 < share < 1:
            raise UsageError("a share between 0 and 1", repr(share), "pass 0.1, say")
        if len(self) < 2:
            raise DataError("at least two pictures to split", f"{len(self)}", "add pictures")
        order = np.random.default_rng(seed).permutation(len(self))
        count = min(max(1, round(share * len(self))), len(self) - 1)
        return self.subset(np.sort(order[count:])), replace(self.subset(np.sort(order[:count])), split="val")

    def fingerprint(self) -> str:
        """Digest of names, pictures and masks (file names and sizes, or pixels)."""
        digest = hashlib.sha256(repr((self.names, self.code)).encode())
        for item in (*self.pictures, *self.masks):
            if isinstance(item, Path):
                digest.update(f"{item.parent.name}/{item.name} {item.stat().st_size}".encode())
            elif isinstance(item, np.ndarray):
                digest.update(repr(item.shape).encode() + np.ascontiguousarray(item).tobytes())
            else:
                digest.update(item.digest())
        return digest.hexdigest()


def size_error(source: str, mask: tuple[int, ...], picture: tuple[int, ...]) -> DataError:
    """Build (not raise) the error for a mask of another size than its picture, both (height, width)."""
    fix = "export the mask again in the picture's size, or scale it with nearest neighbour"
    if tuple(mask) == tuple(picture)[::-1]:
        fix = "the picture is turned by its EXIF orientation: turn the mask too, or save the picture upright"
    got = f"{mask[1]}x{mask[0]} for a picture of {picture[1]}x{picture[0]}: {source}"
    return DataError("a mask as large as its picture", got, fix)
