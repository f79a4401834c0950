"""What all encoders share: descriptors projected and checked, statistics learned, saved and restored."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.checks import DataError, ModelError
from .descriptors import Descriptors
from .options import plain, whole_number
from .projection import Projected, Projection, blocks
from .vocabulary import nearest

Floats = NDArray[np.float32]
Regions = Sequence[NDArray[Any]]

LEARNED = ("mean", "components", "variances")
"""Attributes of a fitted projection, less their underscore."""


class Encoder(ABC):
    """Turns the descriptors of a picture's regions into one vector each.

    A subclass stores each keyword of its constructor under the keyword's own name, learns from projected rows in
    `_learn`, and pools projected rows in `_pool`.

    Args:
        components: Principal components that descriptors are projected onto first; None leaves them as they are.
        whiten: Scale the components to variance 1.

    Attributes:
        projection_: The principal components; None without.
        centroids_: float32 (words, d), which `words_of` chooses among; None before `fit`.
        normalization: The step of `normalization.py` that suits the vectors.
        device: Where nearest words are looked for; see `to`.
    """

    normalization: ClassVar[str]

    def __init__(self, *, components: int | None, whiten: bool) -> None:
        if components is not None:
            whole_number("components", components)
        self.components, self.whiten = components, whiten
        self.projection_: Projection | None = None
        self.centroids_: Floats | None = None
        self.device = torch.device("cpu")

    @property
    @abstractmethod
    def width(self) -> int:
        """Length of a region's vector."""

    @abstractmethod
    def _learn(self, rows: Any, seed: int) -> None:
        """Learn from rows (n, d), an array or what reads like one."""

    @abstractmethod
    def _pool(self, values: Floats, regions: Regions) -> Floats:
        """Encode projected rows (n, d), region by region: (regions, width)."""

    @abstractmethod
    def _learned(self) -> dict[str, NDArray[Any]]:
        """Return what `_learn` learned, by name."""

    @abstractmethod
    def _take(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take what `_learned` gave out of the dictionary, into use; raises ModelError for other shapes."""

    def keywords(self) -> dict[str, Any]:
        """Return the constructor's keywords with their values, as JSON has them."""
        return {name: plain(getattr(self, name)) for name in inspect.signature(type(self)).parameters}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.keywords().items())})"

    def to(self, device: str | torch.device) -> Self:
        """Look for nearest words on "cpu" or "cuda"; returns itself."""
        self.device = torch.device(device)
        return self

    def fit(self, sample: NDArray[np.float32], seed: int = 0) -> Self:
        """Learn words from a sample of descriptors.

        Args:
            sample: float32 (m, D), an array or a memory map, which is read in blocks.
            seed: Of whatever is drawn.

        Raises:
            DataError: Not such a matrix, NaN in it, or fewer rows than words.
        """
        _check_matrix(sample)
        if not all(np.isfinite(part).all() for part in blocks(sample)):
            raise DataError("descriptors that are finite", "NaN or infinity in the sample", "leave those pictures out")
        with _unchanged_on_error(self):
            self.projection_ = None
            if self.components is None:
                self._learn(sample, seed)
            else:
                self.projection_ = Projection(components=self.components, whiten=self.whiten).fit(sample)
                self._learn(Projected(sample, self.projection_), seed)
        return self

    def encode(self, descriptors: Descriptors, regions: Regions) -> Floats:
        """Pool the codes of each region's descriptors: float32 (len(regions), width), zeros for an empty region.

        Args:
            descriptors: Of one picture.
            regions: Of `Pyramid.regions`: boolean masks (n,) or numbers.

        Raises:
            DataError: Descriptors of another length, or with NaN.
            ModelError: An encoder that was not fitted.
        """
        values = self._projected(descriptors)
        if not len(values):
            return np.zeros((len(regions), self.width), np.float32)
        return self._pool(values, regions)

    def words_of(self, descriptors: Descriptors) -> NDArray[np.int64]:
        """Return the nearest word of each descriptor, (n,); see `encode` for what is refused."""
        return nearest(self._projected(descriptors), self._fitted(), self.device)[0]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that was learned, by name, for a checkpoint.

        Raises:
            ModelError: An encoder that was not fitted.
        """
        self._fitted()
        found = self._learned()
        if self.projection_ is not None:
            found |= {f"projection_{name}": getattr(self.projection_, f"{name}_") for name in LEARNED}
        return found

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Take what `arrays` gave into use; returns itself.

        Raises:
            ModelError: Arrays that are missing, left over, or of shapes that do not fit these keywords.
        """
        with _unchanged_on_error(self):
            self._restore(dict(arrays))
        return self

    def _restore(self, rest: dict[str, NDArray[Any]]) -> None:
        self.projection_ = None
        if self.components is not None:
            self.projection_ = Projection(components=self.components, whiten=self.whiten)
            self.projection_.mean_ = mean = expect(rest, "projection_mean", (None,), np.float64)
            shape = (self.components, len(mean))
            self.projection_.components_ = expect(rest, "projection_components", shape, np.float64)
            self.projection_.variances_ = expect(rest, "projection_variances", shape[:1], np.float64)
        self._take(rest)
        if rest:
            raise ModelError(f"the arrays of {self}", f"also {', '.join(rest)}", "restore what `arrays` gave")
        width = self._fitted().shape[1]
        if self.components not in (None, width):
            got = f"words of {width} and {self.components} components"
            raise ModelError("words as long as there are components", got, "restore what `arrays` gave")

    def _fitted(self) -> Floats:
        """Return the centroids."""
        if self.centroids_ is None:
            raise ModelError("an encoder that was fitted", "one that was not", "call fit or restore")
        return self.centroids_

    def _projected(self, descriptors: Descriptors) -> Floats:
        """Check the descriptors of a picture and project them: float32 (n, d)."""
        width = self._fitted().shape[1] if self.projection_ is None else len(self.projection_.mean_)
        values = descriptors.values
        _check_matrix(values)
        if values.shape[1] != width:
            fix = "describe the picture with the keywords of the fit"
            raise DataError(f"descriptors of {width} numbers", str(values.shape[1]), fix)
        if not np.isfinite(values).all():
            raise DataError("descriptors that are finite", "NaN or infinity", "leave this picture out")
        return values if self.projection_ is None else self.projection_.project(values)


@contextmanager
def _unchanged_on_error(encoder: Encoder) -> Iterator[None]:
    before = dict(vars(encoder))
    try:
        yield
    except BaseException:
        vars(encoder).update(before)
        raise


def expect(
    arrays: dict[str, NDArray[Any]], name: str, shape: tuple[int | None, ...], dtype: type = np.float32
) -> NDArray[Any]:
    """Take an array out of a dictionary; None in the shape fits any length.

    Raises:
        ModelError: It is missing, of another shape or dtype, or not finite.
    """
    array = arrays.pop(name, None)
    wanted = f"{name} {dtype.__name__} ({', '.join('any' if n is None else str(n) for n in shape)})"
    if array is None:
        raise ModelError(wanted, "nothing", "restore what `arrays` gave")
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    if not fits or array.dtype != dtype or not np.isfinite(array).all():
        got = f"{array.dtype} {array.shape}" + ("" if np.isfinite(array).all() else " with NaN or infinity")
        raise ModelError(wanted, got, "restore what `arrays` gave, with the same keywords")
    return array


def _check_matrix(values: NDArray[np.float32]) -> None:
    if values.ndim != 2 or values.dtype != np.float32:
        fix = "pass Descriptors.values, or rows of them"
        raise DataError("descriptors as a float32 matrix (n, D)", f"{values.dtype} {values.shape}", fix)
