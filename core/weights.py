"""Named weights: where they are, how large, whose, how good; and fetching those that are not inside the package.

`weights/index.json` is the table, the one place where a size and a SHA-256 are written; `register` writes it. A name
is looked for in the folder `STRIATE_WEIGHTS` (machines without a network), then inside the package, then in the cache.
Only `fetch` ever uses the network.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .atomic import atomic_write
from .checks import ModelError, UsageError, unknown
from .download import download
from .folders import cache_folder

EMBEDDED = Path(__file__).resolve().parent.parent / "weights"
INDEX = EMBEDDED / "index.json"
INDEX_VERSION = 1


@dataclass(frozen=True)
class Weights:
    """One row of the table.

    Attributes:
        name: What users write, such as "cells".
        task: The task of the command line, such as "detect".
        file: The file's name, the same in every folder.
        size: Bytes.
        sha256: Hexadecimal digest of the file.
        licence: Of the weights.
        data_licence: Of the pictures they were trained on.
        figures: Measured quality, such as {"map50": 0.93}.
        card: Name of the model card beside the file.
        url: Where `fetch` finds the file; None when it is inside the package.
        network: For a state_dict that others trained, its key of `core.models.MODELS`: `core.borrow.fetch_weights`
            makes a checkpoint of it, called NAME.safetensors. "" for a checkpoint.
    """

    name: str
    task: str
    file: str
    size: int
    sha256: str
    licence: str
    data_licence: str
    figures: dict[str, Any]
    card: str
    url: str | None = None
    network: str = ""


class Table(Mapping[str, Weights]):
    """The rows of an index file by name, read when asked and not at import."""

    def __init__(self, index: Path = INDEX) -> None:
        self.index = index

    def _rows(self) -> dict[str, Weights]:
        try:
            content = json.loads(self.index.read_text(encoding="utf-8"))
            version = content["schema_version"]
            rows = {name: Weights(name=name, **row) for name, row in content["weights"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            got = f"{self.index}: {type(error).__name__}: {error}"
            raise ModelError("a readable table of weights", got, "install Striate again") from error
        if version != INDEX_VERSION:
            raise ModelError(f"a table of version {INDEX_VERSION}", f"{version!r} in {self.index}", "update Striate")
        return rows

    def __getitem__(self, name: str) -> Weights:
        return self._rows()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows())

    def __len__(self) -> int:
        return len(self._rows())


WEIGHTS = Table()


def resolve(name_or_path: str | Path, task: str | None = None, *, table: Mapping[str, Weights] = WEIGHTS) -> Path:
    """Find the file behind a name or a path, without any network.

    Args:
        name_or_path: A name of the table, or the path of a checkpoint (a `Path`, or text with a folder or a suffix).
        task: Refuse named weights of another task.
        table: Where names are looked up.

    Returns:
        An existing checkpoint. A named one agrees with the table's size and SHA-256, or was made of a file that did.

    Raises:
        ModelError: No such name or file, weights of another task, a file that is not the one the table describes, or
            weights that have to be fetched first.
    """
    text = os.fspath(name_or_path)
    is_path = isinstance(name_or_path, Path) or Path(text).name != text
    if is_path or (Path(text).suffix and text not in table):  # "squeezenet1.1-imagenet" is a name
        if Path(text).is_file():
            return Path(text)
        got = f"{'a folder' if Path(text).is_dir() else 'no such file'}: {text}"
        raise ModelError(f"a checkpoint file, or one of {', '.join(table) or '(none)'}", got, "check the path")
    entry = _entry(text, table)
    if task is not None and entry.task != task:
        fitting = ", ".join(name for name, row in table.items() if row.task == task) or "(none)"
        raise ModelError(f"weights for {task}: {fitting}", f"{text!r}, which are for {entry.task}", "choose from those")
    found = find_borrowed(entry) if entry.network else _find(entry)
    if found is None:
        raise ModelError(f"the weights {text!r} on this machine", "none", f"run: striate weights fetch {text}")
    return found


def fetch(
    name: str, *, table: Mapping[str, Weights] = WEIGHTS, on_progress: Callable[[int, int], None] | None = None
) -> Path:
    """Make sure that named weights are on this machine, downloading them into the cache when they are not.

    A download that was cut off goes on where it stopped (`FILE.part`). The file gets its name only after its size and
    SHA-256 agree with the table.

    Args:
        name: A name of the table.
        table: Where names are looked up.
        on_progress: Called with (bytes here, bytes in all).

    Returns:
        The file.

    Raises:
        ModelError: Unknown name, no connection, or a file that is not the one the table describes.
        SaveError: The cache cannot be written.
    """
    entry = _entry(name, table)
    found = _find(entry)
    if found is not None:
        return found
    if entry.url is None:
        raise ModelError(f"{entry.file} inside the package", f"none in {EMBEDDED}", "install Striate again")
    return download(entry.url, cache_folder() / entry.file, entry.size, entry.sha256, on_progress=on_progress)


def register(
    path: Path, *, index: Path = INDEX, name: str | None = None, card: str | None = None, **row: Any
) -> Weights:
    """Write the table's row for a finished weight file: its size and SHA-256 are computed here and nowhere else.

    Args:
        path: The file, named as it will be in every folder.
        index: The table to write.
        name: The name; by default the file's stem.
        card: The model card's file name; by default the stem with `.md`.
        row: task, licence, data_licence, figures, and url for a file that is not shipped inside the package.

    Returns:
        The new row.
    """
    size, digest = path.stat().st_size, sha256_of(path)
    card = card or f"{path.stem}.md"
    entry = Weights(name=name or path.stem, file=path.name, size=size, sha256=digest, card=card, **row)
    rows = dict(Table(index)) if index.exists() else {}
    rows[entry.name] = entry
    content = {
        "schema_version": INDEX_VERSION,
        "weights": {key: {k: v for k, v in asdict(rows[key]).items() if k != "name"} for key in sorted(rows)},
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    atomic_write(index, lambda file: file.write(text.encode()))
    return entry


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entry(name: str, table: Mapping[str, Weights]) -> Weights:
    if name not in table:
        raise unknown("the weights", name, table, ModelError)
    return table[name]


def find_borrowed(entry: Weights) -> Path | None:
    """Return the checkpoint that was made of a state_dict; it holds its own digest."""
    made = (folder / f"{entry.name}.safetensors" for folder in _folders())
    return next((path for path in made if path.is_file()), None)


def _find(entry: Weights) -> Path | None:
    for folder in _folders():
        path = folder / entry.file
        if path.is_file():
            # 1 GB/s: 10 ms for a detector of 2.5 M parameters, against a wrong file used for weeks.
            if path.stat().st_size != entry.size or sha256_of(path) != entry.sha256:
                fix = "put the right file there, or remove it and run: striate weights fetch " + entry.name
                raise ModelError(f"{entry.file} of {entry.size} bytes, SHA-256 {entry.sha256[:12]}...", f"{path}", fix)
            return path
    return None


def _folders() -> list[Path]:
    given = os.environ.get("STRIATE_WEIGHTS")
    if given and not Path(given).is_dir():
        raise UsageError("STRIATE_WEIGHTS to name an existing folder", repr(given), "create it or unset the variable")
    return [*([Path(given)] if given else []), EMBEDDED, cache_folder()]
