"""How a fooling image is written as a genome: `Encoding`, and the table of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.checks import UsageError, unknown
from .cppn_encoding import CppnEncoding
from .direct import DirectEncoding


class Encoding(Protocol):
    """Makes genomes, changes them, and turns them into pictures.

    Attributes:
        name: Key of `ENCODINGS`.
        focus: Share of the children whose parents have not reached the goal; the others' may be any champion.
    """

    name: str
    focus: float

    def random(self, count: int, size: tuple[int, int], channels: int, rng: np.random.Generator) -> list[Any]:
        """Return genomes to begin with, for pictures of a size (height, width), grey (1 channel) or in colour (3)."""
        ...

    def mutate(self, parents: list[Any], generation: int, rng: np.random.Generator) -> list[Any]:
        """Return one child for each parent; parents stay as they are."""
        ...

    def pictures(self, genomes: list[Any], size: tuple[int, int], channels: int) -> list[NDArray[np.uint8]]:
        """Return pictures uint8 (H, W, 3)."""
        ...

    def pack(self, genomes: list[Any]) -> dict[str, NDArray[Any]]:
        """Return genomes as arrays for a file."""
        ...

    def unpack(self, arrays: dict[str, NDArray[Any]], count: int, size: tuple[int, int], channels: int) -> list[Any]:
        """Return the genomes of such arrays; a CheckpointError where they are none."""
        ...

    def config(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        ...

    def describe(self, genome: Any) -> str:
        """Say in a few words what a genome is."""
        ...


ENCODINGS: dict[str, type[Encoding]] = {"direct": DirectEncoding, "cppn": CppnEncoding}
"""By name."""


def encoding_named(encoding: str | Encoding, options: Mapping[str, Any] | None = None) -> Encoding:
    """Return an encoding by name, or as given.

    Raises:
        UsageError: An unknown name or option.
    """
    if not isinstance(encoding, str):
        return encoding
    if encoding not in ENCODINGS:
        raise unknown("encoding", encoding, ENCODINGS)
    known = ENCODINGS[encoding]().config()
    for name in options or {}:
        if name not in known:
            raise unknown(f"option of the encoding {encoding!r}", name, known)
    try:
        return ENCODINGS[encoding](**(options or {}))
    except TypeError as error:
        raise UsageError(
            f"numbers as options of the encoding {encoding!r}", str(error), "pass rate=0.1, say"
        ) from error
