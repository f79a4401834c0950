"""`Detector`: learn boxes from labelled pictures, find them on others."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from torch import nn

from ..core.augment import Augmentation
from ..core.checks import UsageError, unknown
from ..core.datasets import BoxDataset, load_boxes
from ..core.estimator import Estimator
from ..core.history import History, Progress
from ..core.images import Source, load_image
from ..core.optimize import PRECISIONS
from ..core.recipe import make_options
from ..core.training import fit
from .data import TrainingPictures, canvas_for, training_splits
from .decode import Thresholds
from .detections import Detections
from .export import export_detector
from .inference import Inference
from .loss import batch_loss
from .model import SIZES, YoloNet


class Detector(Estimator):
    """A YOLO-style detector.

    Args:
        names: Class names by class id; empty takes them from the data given to `fit`.
        size: Size of the network, "n" or "s".
        image_size: Longer side, in pixels, of the pictures inside the network.
        confidence: Least score of a box that `predict` returns.
        iou_threshold: Of two boxes of a class that overlap more, `predict` returns the better.
        max_detections: Most boxes for a picture.
        precision: How `predict` and `evaluate` compute on the CPU: "fp32", "bf16", or "auto", which is "bf16" where
            the CPU multiplies bfloat16 in hardware (twice as fast, scores differ in the third digit).

    `save`, `load`, `from_pretrained` and `to` are `core.estimator.Estimator`'s.

    Attributes:
        network_: The network, in eval mode; None before `fit` or `load`.
        history_: What the last `fit` did; None before.

    Example:
        >>> detector = Detector(names=("cat", "dog"), image_size=320)
        >>> detector.config()["image_size"]
        320
    """

    task = "detect"
    class_layers = ".classes."

    def __init__(
        self,
        names: Iterable[str] = (),
        *,
        size: str = "n",
        image_size: int = 416,
        confidence: float = 0.25,
        iou_threshold: float = 0.6,
        max_detections: int = 300,
        precision: str = "auto",
    ) -> None:
        self.names = tuple(names)
        self.size, self.image_size, self.max_detections = size, image_size, max_detections
        self.confidence, self.iou_threshold, self.precision = confidence, iou_threshold, precision
        self.network_: nn.Module | None = None
        self.history_: History | None = None
        self.device = torch.device("cpu")
        self._inference: Inference | None = None
        if size not in SIZES:
            raise unknown("size", size, SIZES)
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        self._thresholds(None, None)
        if not 32 <= image_size <= 4096:
            raise UsageError("image_size from 32 to 4096 pixels", repr(image_size), "pass 320 to 640")

    def _build(self, names: tuple[str, ...]) -> YoloNet:
        return YoloNet(len(names), self.size)

    def _use(self, network: nn.Module | None) -> None:
        super()._use(network)
        self._inference = None  # its fast copies are of the network before

    def fit(
        self,
        data: BoxDataset | str | Path,
        *,
        val: BoxDataset | None = None,
        run_dir: str | Path | None = None,
        resume: bool = False,
        augmentation: Augmentation | None = None,
        plain_epochs: int = 15,
        on_progress: Callable[[Progress], None] | None = None,
        **options: Any,
    ) -> Detector:
        """Learn from labelled pictures; the weights of the best epoch on `val` are kept.

        A detector that has weights goes on from them; for other classes only the last layers start anew. One whose
        training fails or is interrupted stays as it was.

        Args:
            data: A dataset, or the folder of one: then its splits "train" and, if there is one, "val" are taken.
            val: Pictures to judge by; None judges by the training loss.
            run_dir: Folder for history, weights and the state to resume from; None writes nothing.
            resume: Go on with the training in `run_dir`.
            augmentation: How pictures are changed; None is `Augmentation()`.
            plain_epochs: Last epochs, without mosaic; at most a third of all.
            on_progress: Called after every step and epoch.
            options: Fields of `TrainingOptions`: epochs, batch_size, learning_rate, ...

        Raises:
            UsageError: An option that does not exist or is out of range.
            DataError: No pictures, or classes that the detector does not have.
            TrainingError: The loss is not finite.
        """
        recipe = make_options(**options)
        augmentation = augmentation or Augmentation()
        train, val = training_splits(data, val, self.names, fixed=self.network_ is None)
        plain_from = recipe.epochs - min(plain_epochs, recipe.epochs // 3)
        pictures = TrainingPictures(train, self.image_size, augmentation, plain_from, recipe.seed)

        def learn(network: nn.Module) -> History:
            return fit(
                network,
                pictures,
                batch_loss,
                options=recipe,
                validate=None if val is None else lambda model: self._validate(model, val),
                monitor="loss" if val is None else "map",
                run_dir=None if run_dir is None else Path(run_dir),
                resume=resume,
                identity={
                    "network": [self.size, self.image_size, *self.names],
                    "augmentation": asdict(augmentation),
                    "plain_from": plain_from,
                    "data": train.fingerprint(),
                },
                save_weights=lambda model, path: self._save(model, path),
                on_progress=on_progress,
            )

        self._learn(train.names, recipe.seed, learn)
        return self

    @overload
    def predict(
        self,
        source: list[Source],
        *,
        confidence: float | None = None,
        iou_threshold: float | None = None,
        classes: Iterable[str] | None = None,
        channels: str = "rgb",
    ) -> list[Detections]: ...

    @overload
    def predict(
        self,
        source: Source,
        *,
        confidence: float | None = None,
        iou_threshold: float | None = None,
        classes: Iterable[str] | None = None,
        channels: str = "rgb",
    ) -> Detections: ...

    def predict(
        self,
        source: Source | list[Source],
        *,
        confidence: float | None = None,
        iou_threshold: float | None = None,
        classes: Iterable[str] | None = None,
        channels: str = "rgb",
    ) -> Detections | list[Detections]:
        """Find boxes on one picture, or on each of a list.

        Args:
            source: Path, bytes, PIL picture, array or tensor; see `core.images.load_image`.
            confidence: Least score; None is the detector's own.
            iou_threshold: See `Detector`; None is the detector's own.
            classes: Names of the classes to return; None returns all.
            channels: Order of arrays, "rgb" or "bgr".

        Raises:
            ModelError: A detector without weights.
            ImageError: A picture that cannot be read.
            UsageError: A threshold out of range, or a class the detector does not know.
        """
        thresholds = self._thresholds(confidence, iou_threshold)
        wanted = None if classes is None else [self._class_id(name) for name in classes]
        if isinstance(source, list):
            return [self._predict(one, thresholds, wanted, channels) for one in source]
        return self._predict(source, thresholds, wanted, channels)

    def _predict(self, source: Source, thresholds: Thresholds, wanted: list[int] | None, channels: str) -> Detections:
        started = time.perf_counter()
        image = load_image(source, channels=channels)
        loaded = 1e3 * (time.perf_counter() - started)
        found = self._ready().find(image, thresholds)
        if wanted is not None:
            found = found[np.isin(found.class_ids, wanted)]
        name = str(source) if isinstance(source, (str, Path)) else None
        return replace(found, source=name, speed={"load": loaded, **found.speed})

    def evaluate(self, data: BoxDataset | str | Path, split: str = "val") -> dict[str, Any]:
        """Measure average precision on labelled pictures.

        Args:
            data: A dataset, or the folder of one.
            split: Which split of the folder.

        Returns:
            "map50" (mean average precision at IoU 0.5), "map" (mean over IoU 0.5 to 0.95, COCO's), "per_class" and
            more; see `metrics.evaluate_boxes`.

        Raises:
            ModelError: A detector without weights.
            DataError: A dataset that cannot be read, or whose classes are not the detector's.
        """
        dataset = data if isinstance(data, BoxDataset) else load_boxes(data, split, names=self.names)
        return self._ready().evaluate(dataset)

    def export(self, path: str | Path, *, size: tuple[int, int] | None = None) -> float:
        """Write an ONNX file that takes one canvas and returns boxes and scores of every cell.

        Args:
            path: Ends in .onnx.
            size: (height, width) of the pictures it is for; None is a square of `image_size`.

        Returns:
            The largest relative difference to this network on 16 pictures.

        Raises:
            ModelError: A detector without weights.
            ExportError: Missing packages, or a file that does not agree with the network.
        """
        canvas = canvas_for(size or (self.image_size, self.image_size), self.image_size)
        about = {"kind": type(self).__name__, **self.config()}
        return export_detector(copy.deepcopy(self._trained()), path, canvas, about)

    def _ready(self) -> Inference:
        if self._inference is None:
            self._inference = Inference(self._trained(), self.names, self.image_size, self.precision)
        return self._inference

    def _thresholds(self, confidence: float | None, iou_threshold: float | None) -> Thresholds:
        return Thresholds(
            self.confidence if confidence is None else confidence,
            self.iou_threshold if iou_threshold is None else iou_threshold,
            self.max_detections,
        )

    def _validate(self, model: nn.Module, val: BoxDataset) -> dict[str, float]:
        """Validation figures of a network in training."""
        figures = Inference(model, self.names, self.image_size, self.precision).evaluate(val)
        return {"map50": figures["map50"], "map": figures["map"]}

    def _class_id(self, name: str) -> int:
        if name not in self.names:
            raise unknown("class", name, self.names)
        return self.names.index(name)
