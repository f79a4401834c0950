"""Several classifiers that decide together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import DataError, UsageError
from .class_inference import BATCH
from .class_metrics import class_figures
from .classification import Classification
from .classifier import Classifier
from .datasets.classes import ClassDataset
from .images import Source


class Ensemble:
    """The mean of the probabilities of several classifiers of the same classes.

    Args:
        classifiers: Trained ones; their networks and picture sizes may differ.
        weights: How much each counts; None is one each.

    Raises:
        UsageError: None at all, other classes, or weights that are negative or too few.
    """

    def __init__(self, classifiers: Sequence[Classifier], weights: Sequence[float] | None = None) -> None:
        if not classifiers or len({c.names for c in classifiers}) > 1:
            got = f"{len(classifiers)} of {len({c.names for c in classifiers})} sets of classes"
            raise UsageError("classifiers of the same classes, in the same order", got, "train them on one dataset")
        given = np.ones(len(classifiers)) if weights is None else np.asarray(weights, np.float64)
        if given.shape != (len(classifiers),) or (given < 0).any() or not given.sum() > 0:
            raise UsageError(f"{len(classifiers)} weights of 0 or more", f"{weights}", "pass one for each classifier")
        self.classifiers, self.weights, self.names = tuple(classifiers), given / given.sum(), classifiers[0].names

    def predict_proba(self, sources: list[Source]) -> NDArray[np.float32]:
        """Return the mean probabilities, float32 (len(sources), classes)."""
        each = [w * c.predict_proba(sources) for w, c in zip(self.weights, self.classifiers, strict=True)]
        return np.asarray(np.sum(each, axis=0, dtype=np.float64), np.float32)

    def predict(self, source: Source | list[Source]) -> Classification | list[Classification]:
        """Name what a picture shows, or each of a list."""
        sources = source if isinstance(source, list) else [source]
        found = [Classification(row, self.names) for row in self.predict_proba(sources)]
        return found if isinstance(source, list) else found[0]

    def evaluate(self, data: ClassDataset) -> dict[str, Any]:
        """Measure accuracy on labelled pictures; see `class_metrics.class_figures`."""
        if data.names != self.names:
            raise DataError(f"pictures of the classes {self.names}", f"{data.names}", "read them with these names")
        parts = np.split(np.arange(len(data)), np.arange(BATCH, len(data), BATCH))
        rows = [self.predict_proba([data.image(i) for i in part]) for part in parts]
        return class_figures(np.concatenate(rows), data.labels, self.names)
