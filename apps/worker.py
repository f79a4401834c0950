"""Models for the page: each is loaded once for all visitors, and one picture is looked at at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from ..core.checks import StriateError

if TYPE_CHECKING:
    from ..core.classification import Classification
    from ..core.classifier import Classifier
    from ..core.estimator import Estimator
    from ..detection import Detections, Detector
    from ..segmentation import LabelMap, Segmenter

MAX_MODELS = 3  # a shipped detector takes about 15 MB in memory; three leave room to compare two of one's own

# Streamlit runs one thread per visitor. The lock gives the processor's cores to one picture at a time: two inferences
# side by side on the same cores are slower than one after the other, and a shared model need not be thread-safe.
_inference = threading.Lock()


def detector(weights: str) -> Detector:
    """Return the detector for a name or a path, from the cache while the file is unchanged.

    The detector is shared by all visitors: call nothing on it that changes it, and use `detect` to predict.

    Raises:
        ModelError: the weights do not exist or are damaged.
    """
    return _model(weights, "detect")


def classifier(weights: str) -> Classifier:
    """Return the classifier for a name or a path; as `detector`, but to predict use `classify`."""
    return _model(weights, "classify")


def classify(image: NDArray[np.uint8], weights: str) -> Classification:
    """Name what a picture shows, uint8 (H, W, 3) RGB, waiting for the turn of this visitor."""
    model = classifier(weights)
    with _inference:
        return model.predict(image)


def first_maps(image: NDArray[np.uint8], weights: str) -> NDArray[np.float32]:
    """Return what the first convolution makes of a picture, float32 (K, H, W); empty for a network without one."""
    model = classifier(weights)
    with _inference:
        return model.first_maps(image)


def detect(
    image: NDArray[np.uint8],
    weights: str,
    *,
    confidence: float,
    iou_threshold: float,
    classes: Sequence[str] | None = None,
) -> Detections:
    """Find boxes in one picture, waiting for the turn of this visitor.

    Args:
        image: uint8 (H, W, 3) RGB.
        weights: Name or path of the weights.
        confidence: Lowest score that counts, in [0, 1].
        iou_threshold: Overlap above which the weaker of two boxes of a class goes, in [0, 1].
        classes: Names of the classes to keep; None keeps all.
    """
    model = detector(weights)
    with _inference:
        return model.predict(image, confidence=confidence, iou_threshold=iou_threshold, classes=classes)


def segmenter(weights: str) -> Segmenter:
    """Return the segmenter for a name or a path; as `detector`, but to predict use `segment`."""
    return _model(weights, "segment")


def segment(image: NDArray[np.uint8], weights: str, *, flip: bool = False) -> LabelMap:
    """Give a class to every pixel, waiting for the turn of this visitor.

    Args:
        image: uint8 (H, W, 3) RGB.
        weights: Name or path of the weights.
        flip: Average with the mirror image.
    """
    model = segmenter(weights)
    with _inference:
        return model.predict(image, flip=flip)


def warm_up() -> None:
    """Do what the first visitor would wait for: import torch, render the samples, load the first model and try it."""
    from .models import choices
    from .pick import thumbnail
    from .samples import SAMPLES

    try:
        for entry in SAMPLES:
            thumbnail(entry.key)
        for weights in choices("detect")[:1]:
            model = detector(weights)
            image = SAMPLES[0].image()
            detect(image, weights, confidence=model.confidence, iou_threshold=model.iou_threshold)
    except StriateError:
        return  # the page meets the same error and says what to do


def _model(weights: str, task: str) -> Any:
    from ..core.weights import resolve

    path = Path(resolve(weights, task=task))
    status = path.stat()
    return _load(str(path), task, status.st_size, status.st_mtime_ns)


@st.cache_resource(max_entries=MAX_MODELS, show_spinner=False)
def _load(path: str, task: str, size: int, mtime_ns: int) -> Estimator:
    # Many tabs opened at once after a restart load it once: Streamlit holds a lock for each key (a test watches that).
    # Size and time of change are part of the cache's key: a file trained anew under the same name is loaded anew.
    if task == "classify":
        from ..core.classifier import Classifier

        return Classifier.load(path)
    if task == "segment":
        from ..segmentation import Segmenter

        return Segmenter.load(path)
    from ..detection import Detector

    return Detector.load(path)
