"""CNN features off the shelf (Razavian et al. 2014): a layer of a trained network describes, a linear SVM decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler, normalize
from sklearn.svm import LinearSVC

from .checkpoints import load_checkpoint, save_checkpoint
from .checks import CheckpointError, DataError, ModelError, positive
from .class_inference import BATCH
from .class_metrics import class_figures
from .classification import Classification
from .classifier import Classifier
from .datasets.classes import ClassDataset
from .estimator import plain_state
from .images import Source

NETWORK = "network."


class FeatureSvm:
    """A linear SVM on what a layer of a classifier says about pictures.

    Args:
        classifier: A trained one, of whatever classes.
        layer: Name of one of its maps or layers; see `Classifier.features`.
        c: The SVM's C; smaller regularizes more.
        seed: Of the SVM's order.

    Attributes:
        names: Class names by class id.
        weight_: float64 (classes, D), for features of length 1; None before `fit`.
        bias_: float64 (classes,); -inf for a class that had no pictures.

    Example:
        >>> FeatureSvm(Classifier(network="lenet5"), "relu3").layer
        'relu3'
    """

    def __init__(self, classifier: Classifier, layer: str, *, c: float = 0.01, seed: int = 0) -> None:
        positive("c", c)
        self.classifier, self.layer, self.c, self.seed = classifier, layer, c, seed
        self.names: tuple[str, ...] = ()
        self.weight_: NDArray[np.float64] | None = None
        self.bias_: NDArray[np.float64] | None = None

    def fit(self, data: ClassDataset) -> FeatureSvm:
        """Learn the classes of labelled pictures; the network stays as it is.

        Features are brought to length 1 and standardized, then LinearSVC learns each class against the others.

        Raises:
            DataError: Fewer than two classes.
            ModelError: A classifier without weights.
            UsageError: An unknown layer.
        """
        if len(np.unique(data.labels)) < 2:
            raise DataError("pictures of at least two classes", f"{len(np.unique(data.labels))}", "add another class")
        scaler = StandardScaler()
        features = scaler.fit_transform(normalize(self._features(data).astype(np.float64)))
        svm = LinearSVC(C=self.c, random_state=self.seed, max_iter=5000).fit(features, data.labels)
        two = len(svm.classes_) == 2  # then one row tells the second class from the first
        rows, offsets = (np.concatenate((-part, part)) if two else part for part in (svm.coef_, svm.intercept_))
        weight, bias = np.zeros((len(data.names), rows.shape[1])), np.full(len(data.names), -np.inf)
        weight[svm.classes_] = rows / scaler.scale_
        bias[svm.classes_] = offsets - (rows / scaler.scale_) @ scaler.mean_
        self.names, self.weight_, self.bias_ = data.names, weight, bias
        return self

    def decision_function(self, sources: list[Source]) -> NDArray[np.float64]:
        """Return each class's signed distance from its margin, (len(sources), classes)."""
        weight, bias = self._fitted()
        if not sources:
            return np.zeros((0, len(self.names)))
        return np.asarray(normalize(self.classifier.features(sources, self.layer).astype(np.float64)) @ weight.T + bias)

    def predict_proba(self, sources: list[Source]) -> NDArray[np.float32]:
        """Return the softmax of the distances, float32 (len(sources), classes): in their order, not calibrated."""
        return torch.from_numpy(self.decision_function(sources)).softmax(1).float().numpy()

    def predict(self, source: Source | list[Source]) -> Classification | list[Classification]:
        """Name what a picture shows, or each of a list."""
        sources = source if isinstance(source, list) else [source]
        found = [
            Classification(row, self.names, str(one) if isinstance(one, str | Path) else None)
            for one, row in zip(sources, self.predict_proba(sources), strict=True)
        ]
        return found if isinstance(source, list) else found[0]

    def evaluate(self, data: ClassDataset) -> dict[str, Any]:
        """Measure accuracy on labelled pictures; see `class_metrics.class_figures`."""
        self._fitted()
        if data.names != self.names:
            raise DataError(f"pictures of the classes {self.names}", f"{data.names}", "read them with these names")
        rows = [self.predict_proba([data.image(i) for i in part]) for part in _parts(data)]
        return class_figures(np.concatenate(rows), data.labels, data.names)

    def save(self, path: str | Path, *, half: bool = False, **about: Any) -> Path:
        """Save network and SVM in one safetensors file; arguments and errors as `Classifier.save`'s."""
        weight, bias = self._fitted()
        tensors = {NETWORK + name: t for name, t in plain_state(self.classifier._trained(), half).items()}
        learned = np.isfinite(bias)  # checkpoints hold finite numbers only
        tensors["weight"], tensors["learned"] = torch.from_numpy(weight), torch.from_numpy(learned)
        tensors["bias"] = torch.from_numpy(np.where(learned, bias, 0))
        own = {"layer": self.layer, "c": self.c, "seed": self.seed}
        meta = {"kind": "FeatureSvm", "config": own, "classifier": self.classifier.config(), "names": list(self.names)}
        return save_checkpoint(path, tensors, {**meta, **about})

    @classmethod
    def load(cls, path: str | Path) -> FeatureSvm:
        """Load what `save` wrote; nothing in the file is executed.

        Raises:
            CheckpointError: A file that is damaged, foreign, of another class, or of a newer version.
        """
        tensors, meta = load_checkpoint(path, kind=cls.__name__)
        try:
            network = {name.removeprefix(NETWORK): t for name, t in tensors.items() if name.startswith(NETWORK)}
            svm = cls(Classifier._restored(meta["classifier"], network), **meta["config"])
            svm.names, svm.weight_ = tuple(meta["names"]), tensors["weight"].double().numpy()
            svm.bias_ = np.where(tensors["learned"].numpy(), tensors["bias"].double().numpy(), -np.inf)
            if svm.weight_.ndim != 2 or len(svm.weight_) != len(svm.names) or svm.bias_.shape != (len(svm.names),):
                raise ValueError(f"weights {svm.weight_.shape} for {len(svm.names)} classes")
            width = svm.classifier.features([np.zeros((8, 8, 3), np.uint8)], svm.layer).shape[1]
            if svm.weight_.shape[1] != width:
                raise ValueError(f"weights of {svm.weight_.shape[1]} numbers for {width} of {svm.layer!r}")
        except (AttributeError, TypeError, KeyError, RuntimeError, ValueError) as error:
            expected = "a FeatureSvm checkpoint of this version"
            raise CheckpointError(expected, f"{path}: {error}", "update Striate, or save the model again") from error
        return svm

    def _features(self, data: ClassDataset) -> NDArray[np.float32]:
        rows = [self.classifier.features([data.image(i) for i in part], self.layer) for part in _parts(data)]
        return np.concatenate(rows)

    def _fitted(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.weight_ is None or self.bias_ is None:
            raise ModelError("an SVM that was trained", "one that was not", "call fit or load")
        return self.weight_, self.bias_


def _parts(data: ClassDataset) -> list[NDArray[np.int64]]:
    return np.split(np.arange(len(data)), np.arange(BATCH, len(data), BATCH))
