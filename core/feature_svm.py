"""CNN features off the shelf (Razavian et al. 2014): a layer of a trained network describes, a linear SVM decides."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import LinearSVC

from .checks import DataError, ModelError, positive
from .class_inference import BATCH
from .classifier import Classifier
from .datasets.classes import ClassDataset
from .images import Source


class FeatureSvm:
    """A linear SVM on what a layer of a classifier says about pictures.

    Args:
        classifier: A trained one, of whatever classes.
        layer: Name of one of its maps or layers; see `Classifier.features`.
        c: The SVM's C; smaller regularizes more.
        seed: Of the SVM's order.

    Attributes:
        svm_: The scikit-learn pipeline: features of length 1, standardized, then LinearSVC; None before `fit`.
        names_: Class names by class id.

    Example:
        >>> FeatureSvm(Classifier(network="lenet5"), "relu3").layer
        'relu3'
    """

    def __init__(self, classifier: Classifier, layer: str, *, c: float = 0.01, seed: int = 0) -> None:
        positive("c", c)
        self.classifier, self.layer, self.c, self.seed = classifier, layer, c, seed
        self.svm_: Pipeline | None = None
        self.names_: tuple[str, ...] = ()

    def fit(self, data: ClassDataset) -> FeatureSvm:
        """Learn the classes of labelled pictures; the network stays as it is.

        Raises:
            DataError: Fewer than two classes.
            ModelError: A classifier without weights.
            UsageError: An unknown layer.
        """
        if len(np.unique(data.labels)) < 2:
            raise DataError("pictures of at least two classes", f"{len(np.unique(data.labels))}", "add another class")
        svm = make_pipeline(Normalizer(), StandardScaler(), LinearSVC(C=self.c, random_state=self.seed, max_iter=5000))
        self.svm_ = svm.fit(self._features(data), data.labels)
        self.names_ = data.names
        return self

    def predict(self, source: Source | list[Source]) -> str | list[str]:
        """Return the class name of a picture, or of each of a list."""
        sources = source if isinstance(source, list) else [source]
        svm = self._fitted()
        found = svm.predict(self.classifier.features(sources, self.layer)) if sources else []
        names = [self.names_[i] for i in found]
        return names if isinstance(source, list) else names[0]

    def evaluate(self, data: ClassDataset) -> dict[str, Any]:
        """Return "top1", the share of pictures that are named right, and "confusion", rows of true classes."""
        svm = self._fitted()
        if data.names != self.names_:
            raise DataError(f"pictures of the classes {self.names_}", f"{data.names}", "read them with these names")
        found = svm.predict(self._features(data))
        confusion = np.zeros((len(self.names_), len(self.names_)), np.int64)
        np.add.at(confusion, (data.labels, found), 1)
        return {"top1": float((found == data.labels).mean()), "confusion": confusion.tolist()}

    def _features(self, data: ClassDataset) -> NDArray[np.float32]:
        parts = np.split(np.arange(len(data)), np.arange(BATCH, len(data), BATCH))
        rows = [self.classifier.features([data.image(i) for i in part], self.layer) for part in parts]
        return np.concatenate(rows)

    def _fitted(self) -> Pipeline:
        if self.svm_ is None:
            raise ModelError("an SVM that was trained", "one that was not", "call fit")
        return self.svm_
