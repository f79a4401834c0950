"""`NearestPictures`: the nearest training pictures vote, by the histogram distances of the lectures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, check_X_y

from ..core.checks import DataError, ModelError, unknown
from .distances import DISTANCES, distances
from .options import text, whole_number

PART = 256
"""Pictures whose distances are computed at a time."""


class NearestPictures(ClassifierMixin, BaseEstimator):
    """k-nearest neighbours; each votes with 1 over its distance, and those at distance 0 alone if there are any.

    Args:
        neighbours: How many vote; all where there are fewer.
        metric: A key of `distances.DISTANCES`; all but "euclidean" take histograms. "earth-movers" solves a linear
            programme for each training picture and cell of a pyramid: some milliseconds each with 200 words.

    Attributes:
        classes_: (K,), sorted.
        features_: (N, D), of the training pictures.
        labels_: int64 (N,), indices into `classes_`.
        centres_: (K, d), between which "earth-movers" moves; None takes bins for places on a line, one apart.
    """

    classes_: NDArray[Any]

    def __init__(self, *, neighbours: int = 9, metric: str = "chi2") -> None:
        self.neighbours, self.metric = neighbours, metric

    def fit(self, X: NDArray[Any], y: Any, *, centres: NDArray[Any] | None = None) -> NearestPictures:
        """Remember features (N, D) and their labels (N,), for "earth-movers" the centres of the words too.

        Raises:
            UsageError: No neighbour, or an unknown metric.
            DataError: One class only, or negative numbers for a distance of histograms.
            ValueError: Features that are not finite, or of another shape.
        """
        self.check_options()
        X, y = check_X_y(X, y, dtype=[np.float32, np.float64], estimator=self)
        check_classification_targets(y)
        self._check_histograms(X)
        self.n_features_in_ = X.shape[1]
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError("pictures of at least two classes", f"1 class, {self.classes_[0]}", "add another")
        self.features_, self.labels_, self.centres_ = np.array(X), np.asarray(labels, np.int64), centres
        return self

    def scores(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return the share of the votes for every class, (N, K)."""
        check_is_fitted(self)
        X = check_array(X, dtype=[np.float32, np.float64])
        if X.shape[1] != self.n_features_in_:
            # scikit-learn's checks want these words
            expecting = f"NearestPictures is expecting {self.n_features_in_} features as input"
            got = f"X has {X.shape[1]} features, but {expecting}"
            raise DataError(f"features (N, {self.n_features_in_})", got, "encode pictures as in fit")
        self._check_histograms(X)
        return np.concatenate([self._votes(X[start : start + PART]) for start in range(0, len(X), PART)])

    def _votes(self, features: NDArray[Any]) -> NDArray[np.float64]:
        away = distances(features, self.features_, self.metric, centres=self.centres_).astype(np.float64)
        nearest = np.argsort(away, axis=1, kind="stable")[:, : self.neighbours]
        near = np.take_along_axis(away, nearest, 1)
        same = near <= 0
        weights = np.where(same.any(1, keepdims=True), same, 1 / np.where(same, 1, near))
        votes = np.zeros((len(features), len(self.classes_)))
        np.add.at(votes, (np.arange(len(features))[:, None], self.labels_[nearest]), weights)
        return np.asarray(votes / votes.sum(1, keepdims=True))

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the class with most votes for every row, (N,)."""
        found = self.scores(X).argmax(1)
        return self.classes_[found]

    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return the shares of the votes, (N, K)."""
        return self.scores(X)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what was learned, for saving; `restore` takes it back."""
        check_is_fitted(self)
        found = {"features": self.features_, "labels": self.labels_}
        return found if self.centres_ is None else {**found, "centres": np.asarray(self.centres_)}

    def restore(self, arrays: dict[str, NDArray[Any]], classes: int) -> NearestPictures:
        """Take back what `arrays` gave; the classes are numbered from 0.

        Raises:
            ModelError: Arrays that are missing or do not fit.
        """
        self.check_options()
        shapes = {name: array.shape for name, array in arrays.items() if name != "centres"}
        count, width = shapes["features"] if len(shapes.get("features", ())) == 2 else (0, 0)
        centres = arrays.get("centres")
        if (
            shapes != {"features": (count, width), "labels": (count,)}
            or arrays["features"].dtype.kind != "f"
            or arrays["labels"].dtype != np.int64
            or set(arrays["labels"].tolist()) != set(range(classes))
            or (centres is not None and (centres.ndim != 2 or centres.dtype.kind != "f" or width % len(centres)))
        ):
            expected = f"features (N, D) and labels (N,) of {classes} classes"
            raise ModelError(expected, f"{shapes}", "save the model again")
        self.centres_ = centres
        self.features_, self.labels_, self.classes_ = arrays["features"], arrays["labels"], np.arange(classes)
        self.n_features_in_ = width
        return self

    def check_options(self) -> None:
        """Raise UsageError for an option that does not exist or is out of range."""
        text("metric", self.metric)
        if self.metric not in DISTANCES:
            raise unknown("metric", self.metric, DISTANCES)
        whole_number("neighbours", self.neighbours)

    def _check_histograms(self, features: NDArray[Any]) -> None:
        if self.metric != "euclidean" and features.min() < 0:
            got = f"Negative values in data passed to NearestPictures, such as {features.min():.3g}"
            raise DataError(f"features without negative numbers for {self.metric!r}", got, "choose metric 'euclidean'")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = self.metric != "euclidean"
        return tags
