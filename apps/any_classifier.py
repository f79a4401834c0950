"""Classifiers of any kind by one name: networks and bags of words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..core.checks import ModelError

if TYPE_CHECKING:
    from ..bow_baseline import BowClassifier
    from ..core.classifier import Classifier

BAG = "BowClassifier"
KINDS = {"Classifier": "striate.core.classifier", BAG: "striate.bow_baseline"}
"""Class of a checkpoint -> the module that has it."""


def any_classifier(weights: str, device: str = "cpu") -> Classifier | BowClassifier:
    """Return the classifier for a name or path, a network on a device, or a bag of words, which computes on the CPU.

    Raises:
        ModelError: no such weights, or those of something that names no pictures.
    """
    path, kind, _ = described(weights)
    if kind != BAG:
        from ..core.classifier import Classifier

        return Classifier.load(path).to(device)
    from ..bow_baseline import BowClassifier

    return BowClassifier.load(path)


def described(weights: str) -> tuple[Path, str, tuple[str, ...]]:
    """Return the file behind a name or path, the classifier's kind, a key of `KINDS`, and its class names.

    Raises:
        ModelError: no such weights, or those of something that names no pictures.
    """
    from ..core.checkpoints import load_checkpoint
    from ..core.weights import resolve

    path = resolve(weights)
    meta = load_checkpoint(path)[1]
    if meta["kind"] not in KINDS:
        raise ModelError(
            "weights of a classifier", f"{weights!r}, of a {meta['kind']}", "striate weights list names them"
        )
    return path, meta["kind"], tuple(meta["names"])
