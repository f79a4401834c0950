"""From the numbers or colours in a mask's file to class ids."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..checks import DataError
from .mask_files import IGNORE, UNKNOWN, Colour, RawMask


@dataclass(frozen=True)
class MaskCode:
    """Which class a value means.

    Attributes:
        values: (value, class id), class id 255 for what is ignored.
        colours: (RGB, class id): for masks of colours, and for palettes, which are then looked up by colour.
        other: Class of every value that `values` does not name (instance maps); None makes such values an error.
    """

    values: tuple[tuple[int, int], ...] = ()
    colours: tuple[tuple[Colour, int], ...] = ()
    other: int | None = None

    @classmethod
    def identity(cls, count: int) -> MaskCode:
        """Values are class ids below `count`, or 255."""
        return cls((*((i, i) for i in range(count)), (IGNORE, IGNORE)))

    @classmethod
    def foreground(cls) -> MaskCode:
        """0 is class 0, every other value class 1: instance maps, and masks of 0 and 255."""
        return cls(((0, 0),), other=1)

    def ids(self, raw: RawMask, source: str) -> NDArray[np.uint8]:
        """Return class ids, uint8 (H, W).

        Args:
            raw: What the file holds.
            source: Its name, for messages.

        Raises:
            DataError: A value or colour that no class has.
        """
        values = raw.values
        if values.size == 0 or values.dtype not in (np.uint8, np.uint16) or values.ndim not in (2, 3):
            got = f"{values.dtype} {values.shape}: {source}"
            raise DataError("a mask as uint8 (H, W)", got, "pass class ids, one for every pixel")
        if values.ndim == 3 and self.colours:
            return self._from_colours(values, source)
        values = one_channel(values, source)
        table = self._table if raw.palette is None or not self.colours else self._palette_table(raw.palette)
        ids = cv2.LUT(values, table[:256]) if values.dtype == np.uint8 else table[values]
        if (ids == UNKNOWN).any():
            raise self._unknown(np.unique(values[ids == UNKNOWN]).tolist(), source)
        return np.asarray(ids, np.uint8)

    @cached_property
    def _table(self) -> NDArray[np.uint8]:
        table = np.full(65536, UNKNOWN if self.other is None else self.other, np.uint8)
        for value, class_id in self.values:
            table[value] = class_id
        return table

    def _palette_table(self, palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
        known = dict(self.colours)
        table = np.full(256, UNKNOWN if self.other is None else self.other, np.uint8)
        for index, colour in enumerate(palette.tolist()):
            table[index] = known.get(tuple(colour), table[index])
        return table

    def _from_colours(self, pixels: NDArray[Any], source: str) -> NDArray[np.uint8]:
        packed = _pack(pixels.astype(np.uint32))
        keys, ids = (np.array(part) for part in zip(*self.colours, strict=True))
        order = np.argsort(_pack(keys))
        keys, ids = _pack(keys)[order], ids[order].astype(np.uint8)
        place = np.searchsorted(keys, packed).clip(max=len(keys) - 1)
        found = keys[place] == packed
        if self.other is None and not found.all():
            values = np.unique(packed[~found]).tolist()
            raise self._unknown([f"({v >> 16}, {v >> 8 & 255}, {v & 255})" for v in values], source)
        return np.where(found, ids[place], np.uint8(self.other or 0)).astype(np.uint8)

    def _unknown(self, values: list[object], source: str) -> DataError:
        """Build the error for values without a class: what they look like says how to mend them."""
        got = f"{', '.join(map(str, values[:8]))}{', ...' if len(values) > 8 else ''} in {source}"
        if not self.values or isinstance(values[0], str):
            fix = "give these colours a line in the class list, or a line 'void' to ignore them"
            return DataError(f"the {len(self.colours)} colours of the class list", got, fix)
        known = [value for value, class_id in self.values if class_id != IGNORE]
        fix = f"add lines such as '{values[0]} NAME' to classes.txt, or '{values[0]} void' to ignore them"
        return DataError(f"values out of {_ranges(known)} and {IGNORE} (ignored)", got, fix)


def one_channel(values: NDArray[Any], source: str) -> NDArray[Any]:
    """Return values (H, W); of (H, W, 3) the one channel that all three repeat, DataError where they do not."""
    if values.ndim == 2:
        return values
    if not (values == values[..., :1]).all():
        colours = np.unique(values.reshape(-1, 3)[:: max(1, values.size // 30_000)], axis=0)[:3].tolist()
        got = f"colours such as {', '.join(str(tuple(colour)) for colour in colours)} in {source}"
        fix = "write labelmap.txt beside the folders, one line 'NAME:R,G,B' for every class"
        raise DataError("one value a pixel, or a class list with colours", got, fix)
    return np.ascontiguousarray(values[..., 0])


def _pack(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]


def _ranges(values: list[int]) -> str:
    """Write 0, 1, 2, 5 as 0-2, 5."""
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ", ".join(f"{a}-{b}" if b > a else f"{a}" for a, b in runs)
