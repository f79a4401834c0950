"""The parts of a `BowClassifier`: made from its keywords, saved as tensors, restored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.checks import ModelError, UsageError, unknown
from ..core.datasets.labels import check_names
from .bag import VIEWS, Bag
from .bow_training import Decider
from .descriptors import DESCRIBERS, Describer
from .encoding import ENCODERS, make_encoder
from .nearest import NearestPictures
from .normalization import KINDS
from .options import text, whole_number
from .pyramid import Pyramid
from .svm import KernelSvm, check_options

DECIDERS: dict[str, type[KernelSvm] | type[NearestPictures]] = {"svm": KernelSvm, "nearest": NearestPictures}
HISTOGRAMS = ("hard", "soft", "grid")
"""Encoders of counts, for which the sum of the histogram is 1 and the kernel one of histograms by default."""
GRADIENTS = ("vlad", "fisher")
"""Encoders of signed sums, whose cells are normalized one by one by default."""


def make_bag(config: Mapping[str, Any]) -> Bag:
    """Build what makes vectors of pictures, its encoder not fitted yet, from the keywords of `BowClassifier`.

    Raises:
        UsageError: A name or option that does not exist, or a value out of range.
    """
    encoder, region, whole = config["encoder"], config["region"], config["whole"]
    choices = (
        ("describer", config["describer"], DESCRIBERS),
        ("encoder", encoder, ENCODERS),
        ("region", region or "none", KINDS),
        ("whole", whole or "none", KINDS),
        ("views", config["views"], VIEWS),
    )
    for kind, name, known in choices:
        text(kind, name)
        if name not in known:
            raise unknown(kind, name, known)
    whole_number("samples", config["samples"])
    whole_number("seed", config["seed"], least=0)
    words = {} if config["words"] is None else {"words": config["words"]}
    return Bag(
        _make_describer(config["describer"], _options(config, "describer_options")),
        make_encoder(encoder, **{**words, **_options(config, "encoder_options")}),
        Pyramid(layout=config["pyramid"], weights=config["level_weights"]),
        region=region or ("power" if encoder in GRADIENTS else "none"),
        whole=whole or ("l1" if encoder in HISTOGRAMS else "l2"),
        views=config["views"],
    )


def make_decider(config: Mapping[str, Any]) -> Decider:
    """Build what names the classes of vectors, not trained yet, from the keywords of `BowClassifier`.

    Raises:
        UsageError: A name or option that does not exist, or a value out of range.
    """
    name = config["decider"]
    text("decider", name)
    if name not in DECIDERS:
        raise unknown("decider", name, DECIDERS)
    own = {}
    if name == "svm":
        own = {"kernel": "chi2-map" if config["encoder"] in HISTOGRAMS else "linear", "seed": config["seed"]}
    given = {key: config[key] for key in ("kernel", "c") if config[key] is not None}
    try:
        decider = DECIDERS[name](**{**own, **given, **_options(config, "decider_options")})
    except TypeError as error:
        fix = "see bow_baseline/svm.py and nearest.py; kernel and c are the SVM's"
        raise UsageError(f"options of the decider {name!r}", str(error), fix) from error
    if isinstance(decider, KernelSvm):
        check_options(decider.kernel, decider.c, decider.gamma, decider.folds)
    else:
        decider.check_options()
    return decider


def tensors_of(bag: Bag, decider: Decider) -> dict[str, torch.Tensor]:
    """Return all that was learned, as a checkpoint holds it."""
    parts = {"encoder": bag.encoder.arrays(), "decider": decider.arrays()}
    return {
        f"{part}.{name}": torch.from_numpy(np.array(a)) for part, arrays in parts.items() for name, a in arrays.items()
    }


def restored(config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> tuple[Bag, Decider]:
    """Make a bag and a decider of the keywords of `BowClassifier` and what `tensors_of` returned.

    Nothing is made that is larger than what the tensors hold.

    Raises:
        UsageError, ModelError, DataError: Options that do not exist, or tensors that are missing, left over, or not
            those of these options.
    """
    check_names(config["names"])
    bag, decider = make_bag(config), make_decider(config)
    parts: dict[str, dict[str, NDArray[Any]]] = {"encoder": {}, "decider": {}}
    for key, tensor in tensors.items():
        part, _, name = key.partition(".")
        if part not in parts:
            raise ModelError("tensors of the encoder and the decider", repr(key), "save the model again")
        parts[part][name] = tensor.numpy()
    bag.encoder.restore(parts["encoder"])
    decider.restore(parts["decider"], len(config["names"]))
    if bag.width != decider.n_features_in_:
        got = f"a decider of {decider.n_features_in_}"
        raise ModelError(f"a decider of {bag.width} numbers", got, "save the model again with its own options")
    # now that the vector is as long as what the file holds: raises where the encoder learned other descriptors
    bag.vector(np.zeros((8, 8, 3), np.uint8))
    return bag, decider


def _options(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config[name]
    if found is not None and not isinstance(found, Mapping):
        raise UsageError(f"{name} as keywords and values", repr(found), f'pass {name}={{"name": value}}')
    return found or {}


def _make_describer(name: str, options: Mapping[str, Any]) -> Describer:
    try:
        return DESCRIBERS[name](**options)
    except TypeError as error:
        fix = "see its class in bow_baseline/descriptors.py"
        raise UsageError(f"options of the describer {name!r}", str(error), fix) from error
