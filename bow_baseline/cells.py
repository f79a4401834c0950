"""The comparison's memory: one file for each thing measured, named by a digest of all that it depends on."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import read_npz
from ..core.atomic import atomic_write
from ..core.checks import SaveError

MOST_BYTES = 2**31
VERSION = 1
"""Part of every key: goes up when what a cell means changes."""

Arrays = dict[str, NDArray[Any]]


class Cells:
    """Reads and writes cells; without a folder it keeps them for as long as it lives.

    A cell is arrays and a few JSON facts, in one npz file that is written whole or not at all. Its name is the SHA-256
    of its identity, which lies in it as well.

    Args:
        folder: Made when the first cell is written; None writes nothing.

    Attributes:
        notices: A sentence for each cell that could not be read, and was therefore measured again.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self.notices: list[str] = []
        self._here: dict[str, tuple[Arrays, dict[str, Any]]] = {}

    def get(self, identity: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]] | None:
        """Return arrays and facts, or None for what was not measured yet."""
        key = key_of(identity)
        if key not in self._here and self.folder is not None and (path := self.path(key)).is_file():
            try:
                arrays = read_npz(path, MOST_BYTES)
                told = json.loads(arrays.pop("facts").tobytes())
                self._here[key] = arrays, told["facts"]
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                self.notices.append(f"cell {path.name} is damaged ({error}) and is measured again")
        return self._here.get(key)

    def put(self, identity: Mapping[str, Any], arrays: Arrays, **facts: Any) -> None:
        """Keep a cell.

        Raises:
            SaveError: The folder cannot be made or written.
        """
        key = key_of(identity)
        if self.folder is not None:
            text = json.dumps({"identity": dict(identity), "facts": facts})
            content = {**arrays, "facts": np.frombuffer(text.encode(), np.uint8)}
            atomic_write(self.path(key, make=True), lambda file: np.savez_compressed(file, **content))  # type: ignore[arg-type]
        self._here[key] = arrays, facts

    def path(self, key: str, suffix: str = ".npz", *, make: bool = False) -> Path:
        """Return where a cell lies; with `make` its folder is there afterwards."""
        assert self.folder is not None
        folder = self.folder / key[:2]
        if make:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                got = f"{type(error).__name__}: {error.strerror or error}"
                raise SaveError(f"to make the folder {folder}", got, "choose another folder for the cache") from error
        return folder / f"{key}{suffix}"


def key_of(identity: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an identity, the same whatever the order of its keys."""
    text = json.dumps({"version": VERSION, **identity}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
