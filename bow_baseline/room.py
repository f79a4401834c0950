"""Room for the vectors of a set: in memory, or in a file of which no more stays in memory than is being read."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_HELD = 2**26
"""Bytes of vectors that are held in memory without a cache folder: 1,600 histograms of 10,000 numbers."""


@contextmanager
def room(count: int, width: int, folder: Path | None) -> Iterator[NDArray[np.float32]]:
    """Give float32 (count, width): in memory up to `MOST_HELD` bytes, else in a file that is removed at the end.

    Args:
        count: Rows.
        width: Columns.
        folder: Where the file lies, whatever the size; None takes the system's folder of temporary files (TMPDIR).
    """
    if folder is None and 4 * count * width <= MOST_HELD:
        yield np.empty((count, width), np.float32)
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix="striate-vectors-") as place:
        yield np.lib.format.open_memmap(Path(place) / "vectors.npy", "w+", np.float32, (count, width))


def let_go(array: Any) -> None:
    """Let the system take back the memory of an array that lies in a file; it is read again when it is asked for.

    Without this all of a file that was read through counts as the process's. An array in memory stays as it is.
    """
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    if not isinstance(array, np.memmap) or array.mode not in ("r", "r+", "w+") or not hasattr(mmap, "MADV_DONTNEED"):
        return
    while isinstance(array, np.ndarray):
        array = array.base
    if isinstance(array, mmap.mmap):
        array.madvise(mmap.MADV_DONTNEED)  # of a shared map: what was written stays in the file
