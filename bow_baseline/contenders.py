"""Contenders that are ready to use, by name: bags of words, networks, and the simplest classifiers there are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.checks import UsageError, unknown
from ..core.classifier import Classifier
from ..core.datasets.classes import ClassDataset
from ..core.feature_svm import FeatureSvm
from ..core.recipe import TrainingOptions, make_options
from .bow_classifier import BowClassifier
from .contender import Contender

MAKE = frozenset(inspect.signature(Classifier).parameters) - {"names"}
RECIPE = frozenset(field.name for field in fields(TrainingOptions)) - {"seed"}
FIT = frozenset(inspect.signature(Classifier.fit).parameters) - {
    "self", "data", "val", "run_dir", "resume", "on_progress", "options",
}  # fmt: skip

# A network that sees 30 pictures needs as many steps as one that sees 300, or else its learning curve shows how few
# steps it was given.
PLAIN: dict[str, Any] = {"channels": 3, "image_size": 32, "epochs": 30, "batch_size": 32, "learning_rate": 1e-3}
CNN: dict[str, Any] = {
    "network": "small", "image_size": 96, "options": {"widths": [32, 64, 128, 256]}, "augmentation": "photos",
    "epochs": 40, "least_steps": 400, "learning_rate": 5e-3, "ema_decay": 0.0,
}  # fmt: skip
TUNED: dict[str, Any] = {
    "augmentation": "photos", "epochs": 12, "least_steps": 100, "learning_rate": 1e-3, "body_rate": 0.1,
    "ema_decay": 0.0,
}  # fmt: skip


def bag_of_words(name: str, /, **options: Any) -> Contender:
    """Return a bag of visual words; options are the keywords of `BowClassifier` but its seed.

    Raises:
        UsageError: An option that does not exist or is out of range, or a seed: trained with one seed only, all
            trainings are the same, and the intervals speak of one.
    """
    if "seed" in options or "seed" in (options.get("decider_options") or {}):
        fix = "pass the comparison's seeds, --seeds 0,1,2, which all contenders share"
        raise UsageError(f"options of {name!r} without a seed", "seed", fix)
    BowClassifier(**options)  # raises for what does not exist before anything is trained

    def fit(train: ClassDataset, seed: int) -> BowClassifier:
        return BowClassifier(**{"seed": seed, **options}).fit(train)

    return Contender(name, fit, options, explain_words, BowClassifier.load, "contributions of words", "words")


def explain_words(model: BowClassifier, image: NDArray[np.uint8], class_id: int) -> NDArray[np.float32]:
    """Return the signed contributions of a picture's regions to a class: float32 (H, W)."""
    return model.explain(image, class_id).heat


def network(name: str, /, *, least_steps: int = 0, kind: str = "network", **options: Any) -> Contender:
    """Return a network trained from scratch.

    Args:
        name: Of the contender.
        least_steps: At least so many steps, whatever `epochs` says; a small training set is then seen more often.
        kind: See `Contender`.
        options: Keywords of `Classifier`, of its `fit`, and fields of `core.recipe.TrainingOptions`.

    Raises:
        UsageError: An option that does not exist or is out of range.
    """
    make, fitted = _sorted(options)
    Classifier(**make)

    def fit(train: ClassDataset, seed: int) -> Classifier:
        return Classifier(**make).fit(train, seed=seed, **_enough(fitted, least_steps, len(train)))

    return Contender(name, fit, {"least_steps": least_steps, **options}, load=Classifier.load, kind=kind)


def tuned_network(name: str, /, *, weights: str = "", least_steps: int = 0, **options: Any) -> Contender:
    """Return a network that starts from weights and learns the classes of the comparison.

    Args:
        name: Of the contender.
        weights: Name or path of the weights of a `Classifier`.
        least_steps: See `network`.
        options: Keywords of `Classifier.fit`, and fields of `core.recipe.TrainingOptions`.

    Raises:
        UsageError: No weights, or an option that does not exist or is out of range.
    """
    _need(name, weights)
    make, fitted = _sorted(options)
    if make:
        got = ", ".join(make)
        raise UsageError(f"options of the training of {name!r}", got, "drop them: the weights bring their network")

    def fit(train: ClassDataset, seed: int) -> Classifier:
        classifier = Classifier.from_pretrained(weights)
        return classifier.fit(train, seed=seed, **_enough(fitted, least_steps, len(train)))

    told = {"weights": _digest(weights), "least_steps": least_steps, **options}
    return Contender(name, fit, told, load=Classifier.load, kind="network")


def network_features(name: str, /, *, weights: str = "", layer: str | None = None, c: float = 0.01) -> Contender:
    """Return a linear SVM on what a trained network says about pictures (Razavian et al. 2014).

    Args:
        name: Of the contender.
        weights: Name or path of the weights of a `Classifier`.
        layer: See `Classifier.features`; None takes the last of the network's maps.
        c: The SVM's C.

    Raises:
        UsageError: No weights.
    """
    _need(name, weights)
    digest = _digest(weights)

    def fit(train: ClassDataset, seed: int) -> FeatureSvm:
        classifier = Classifier.from_pretrained(weights)
        return FeatureSvm(classifier, layer or last_map(classifier), c=c, seed=seed).fit(train)

    told = {"weights": digest, "layer": layer, "c": c}
    return Contender(name, fit, told, load=FeatureSvm.load, kind="network")


def last_map(classifier: Classifier) -> str:
    """Name the last feature map of a classifier's network.

    Raises:
        UsageError: A network without maps.
    """
    maps = list(getattr(classifier._trained().network, "maps", {}))
    if not maps:
        raise UsageError("a network with feature maps", repr(classifier.network), "name a layer")
    return str(maps[-1])


CONTENDERS: dict[str, tuple[Callable[..., Contender], dict[str, Any]]] = {
    "bow": (bag_of_words, {"encoder": "hard", "pyramid": "1x1"}),
    "bow-pyramid": (bag_of_words, {"encoder": "hard", "pyramid": "1x1+2x2+4x4"}),
    "bow-llc": (bag_of_words, {"encoder": "llc", "pyramid": "1x1+2x2+4x4", "kernel": "linear"}),
    "bow-fisher": (bag_of_words, {"encoder": "fisher", "words": 64, "pyramid": "1x1+2x2", "kernel": "linear"}),
    "cnn": (network, CNN),
    "cnn-finetuned": (tuned_network, TUNED),
    "cnn-features": (network_features, {}),
    "lenet5": (network, {"network": "lenet5", "epochs": 30, "least_steps": 300, "ema_decay": 0.0}),
    "mlp": (network, {"network": "mlp", "kind": "pixels", "least_steps": 200, **PLAIN}),
    "linear": (network, {"network": "linear", "kind": "pixels", "least_steps": 200, **PLAIN}),
}
"""Name -> how it is made, and with which options if no others are given."""


def make_contender(name: str, /, *, label: str | None = None, **options: Any) -> Contender:
    """Make one of the ready contenders.

    Args:
        name: A key of `CONTENDERS`.
        label: What it is called in the report; None is `name`.
        options: Instead of those in the table; see the function there.

    Raises:
        UsageError: An unknown name, or options that its maker does not take.

    Example:
        >>> make_contender("linear", epochs=3).options["epochs"]
        3
    """
    if name not in CONTENDERS:
        raise unknown("contender", name, CONTENDERS)
    maker, usual = CONTENDERS[name]
    try:
        return maker(label or name, **{**usual, **options})
    except TypeError as error:
        raise UsageError(
            f"options of the contender {name!r}", str(error), f"see contenders.{maker.__name__}"
        ) from error


def _sorted(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part options into those of the classifier and those of its training."""
    known = sorted(MAKE | RECIPE | FIT | {"least_steps"})
    for name in options:
        if name not in known:
            raise unknown("option", name, known)
    make_options(**{name: value for name, value in options.items() if name in RECIPE and name not in MAKE})
    make = {name: value for name, value in options.items() if name in MAKE}
    return make, {name: value for name, value in options.items() if name not in MAKE}


def _enough(options: Mapping[str, Any], least_steps: int, pictures: int) -> dict[str, Any]:
    """Return the options with as many epochs as make `least_steps`."""
    recipe = make_options(**{name: value for name, value in options.items() if name in RECIPE})
    steps = -(-pictures // recipe.batch_size)
    return {**options, "epochs": max(recipe.epochs, -(-least_steps // steps))}


def _need(name: str, weights: str) -> None:
    if not weights:
        fix = f"pass weights, such as {name}:weights=resnet18.safetensors; `striate weights borrow` makes them"
        raise UsageError(f"weights for {name!r} to start from", "none", fix)


def _digest(weights: str) -> str:
    """Name weights and their content, so that other weights under the same name are measured anew."""
    from ..core.weights import resolve, sha256_of

    path = resolve(weights, Classifier.task)
    return f"{Path(weights).name} {sha256_of(path)[:16]}"
