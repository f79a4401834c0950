"""Classifiers of any kind by one name: networks and bags of words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.checks import ModelError

if TYPE_CHECKING:
    from ..bow_baseline import BowClassifier
    from ..core.classifier import Classifier

KINDS = ("Classifier", "BowClassifier")


def any_classifier(weights: str, device: str = "cpu") -> Classifier | BowClassifier:
    """Return the classifier for a name or path, a network on a device, or a bag of words, which computes on the CPU.

    Raises:
        ModelError: no such weights, or those of something that names no pictures.
    """
    from ..core.checkpoints import load_checkpoint
    from ..core.classifier import Classifier
    from ..core.weights import resolve

    path = resolve(weights)
    kind = load_checkpoint(path)[1]["kind"]
    if kind not in KINDS:
        raise ModelError("weights of a classifier", f"{weights!r}, of a {kind}", "striate weights list names them")
    if kind == "Classifier":
        return Classifier.load(path).to(device)
    from ..bow_baseline import BowClassifier

    return BowClassifier.load(path)
