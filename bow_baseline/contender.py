"""What takes part in a comparison: a name, a way to fit, and what the fitted model must be able to do."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from ..core.checks import DataError, UsageError
from ..core.datasets.classes import ClassDataset

SUFFIX = ".safetensors"


class Model(Protocol):
    """A fitted classifier; `save(path)` and `size_bytes` are looked for and may be missing."""

    def predict_proba(self, sources: list[Any], /) -> NDArray[np.floating]:
        """Return (pictures, classes) of pictures uint8 (H, W, 3); each row sums to 1."""


Fit = Callable[[ClassDataset, int], Any]
Explain = Callable[[Any, NDArray[np.uint8], int], NDArray[np.float32]]


@dataclass(frozen=True)
class Contender:
    """A way to learn to classify.

    Attributes:
        name: Unique among the contenders, shown in tables.
        fit: (pictures to train on, seed) -> model; the same arguments give the same model.
        options: What `fit` was made with, as JSON has it; part of the cache's key, so two ways to fit must differ in
            name or options.
        explain: (model, picture, class id) -> float32 (H, W): what speaks for the class is above 0, what speaks against
            it below; None takes `occlusion.occlusion_map`.
        load: Reads what the model's `save` wrote; with it a stopped run need not fit again.
        method: What `explain` is called in the report.
        kind: Such as "words" or "network": the report shows where the best of two kinds disagree.
    """

    name: str
    fit: Fit
    options: Mapping[str, Any] = field(default_factory=dict)
    explain: Explain | None = None
    load: Callable[[Path], Any] | None = None
    method: str = "occlusion"
    kind: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise UsageError("a contender with a name", repr(self.name), "name it")
        try:
            json.dumps(dict(self.options))
        except TypeError as error:
            raise UsageError(f"options of {self.name!r} that JSON can hold", str(error), "pass plain values") from error

    def identity(self) -> dict[str, Any]:
        """Return what tells this contender from others, for the cache and config.json."""
        return {"name": self.name, "options": dict(self.options)}


def probabilities(model: Model, images: list[NDArray[np.uint8]], classes: int, name: str) -> NDArray[np.float32]:
    """Ask a model about pictures, and check its answer: float32 (pictures, classes).

    Raises:
        DataError: Another shape, or numbers that are not finite.
    """
    given = np.asarray(model.predict_proba(images))
    if given.shape != (len(images), classes) or not np.isfinite(given).all():
        got = f"{given.shape}" + (", some not finite" if given.shape == (len(images), classes) else "")
        fix = "return one finite row for each picture, one column for each class of the training set"
        raise DataError(f"probabilities ({len(images)}, {classes}) from {name!r}", got, fix)
    return given.astype(np.float32)


def stored_size(model: Any) -> tuple[int | None, int | None]:
    """Return the bytes of a model's file and how many numbers it holds; None for what the model does not tell.

    The file is the one that `save` writes; a model without `save` may have `size_bytes` and `numbers`.
    """
    if not hasattr(model, "save"):
        return getattr(model, "size_bytes", None), getattr(model, "numbers", None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{SUFFIX}"
        model.save(path)
        with safe_open(path, "np") as file:
            numbers = sum(int(np.prod(file.get_slice(key).get_shape())) for key in file.keys())  # noqa: SIM118
        return path.stat().st_size, numbers
