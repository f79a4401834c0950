"""npz files read without pickle, and without allocating what their headers only claim."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npz(path: Path, most_bytes: int) -> dict[str, NDArray[Any]]:
    """Read all arrays of an npz file.

    Args:
        path: The file.
        most_bytes: Largest sum of the arrays.

    Raises:
        ValueError: An array that claims more than the file holds, more bytes in all than allowed, or pickled objects.
        OSError, KeyError, EOFError, zipfile.BadZipFile: A damaged file.
    """
    with zipfile.ZipFile(path) as archive:
        total = 0
        for entry in archive.infolist():
            with archive.open(entry) as file:
                shape, _, dtype = HEADERS[np.lib.format.read_magic(file)](file)
            size = int(np.prod(shape, dtype=object)) * dtype.itemsize
            total += size
            if size > entry.file_size or total > most_bytes:
                raise ValueError(f"{entry.filename} claims {shape} of {dtype}")
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
