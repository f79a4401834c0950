"""`Detector`: learn boxes from labelled pictures, find them on others."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor, nn

from ..core.augment import Augmentation
from ..core.checkpoints import load_checkpoint, save_checkpoint
from ..core.checks import CheckpointError, ModelError, UsageError, unknown
from ..core.datasets import BoxDataset, list_splits, load_boxes
from ..core.history import History, Progress
from ..core.images import Source, load_image
from ..core.recipe import TrainingOptions
from ..core.training import fit
from ..core.weights import resolve
from .data import TrainingPictures, canvas_for
from .decode import EVALUATION, Thresholds
from .detections import Detections
from .export import export_detector
from .inference import Inference
from .loss import detection_loss
from .metrics import evaluate_boxes
from .model import SIZES, YoloNet


class Detector:
    """A YOLO-style detector.

    Args:
        names: Class names by class id; empty takes them from the data given to `fit`.
        size: Size of the network, "n" or "s".
        image_size: Longer side, in pixels, of the pictures inside the network.
        confidence: Least score of a box that `predict` returns.
        iou_threshold: Of two boxes of a class that overlap more, `predict` returns the better.
        max_detections: Most boxes for a picture.

    Attributes:
        network_: The network, in eval mode; None before `fit` or `load`.
        history_: What the last `fit` did; None before.

    Example:
        >>> detector = Detector(names=("cat", "dog"), image_size=320)
        >>> detector
        Detector(names=('cat', 'dog'), size='n', image_size=320, confidence=0.25, iou_threshold=0.6, max_detections=300)
    """

    def __init__(
        self,
        names: Iterable[str] = (),
        *,
        size: str = "n",
        image_size: int = 416,
        confidence: float = 0.25,
        iou_threshold: float = 0.6,
        max_detections: int = 300,
    ) -> None:
        self.names = tuple(names)
        self.size, self.image_size, self.max_detections = size, image_size, max_detections
        self.confidence, self.iou_threshold = confidence, iou_threshold
        self.network_: YoloNet | None = None
        self.history_: History | None = None
        self._device = torch.device("cpu")
        self._inference: Inference | None = None
        if size not in SIZES:
            raise unknown("size", size, SIZES)
        self._thresholds(None, None)
        if not 32 <= image_size <= 4096:
            raise UsageError("image_size from 32 to 4096 pixels", repr(image_size), "pass 320 to 640")

    def __repr__(self) -> str:
        return f"Detector({', '.join(f'{name}={value!r}' for name, value in self._config().items())})"

    def _config(self) -> dict[str, Any]:
        keys = ("names", "size", "image_size", "confidence", "iou_threshold", "max_detections")
        return {key: getattr(self, key) for key in keys}

    def to(self, device: str | torch.device) -> Detector:
        """Move the network to "cpu" or "cuda"; returns itself."""
        self._device = torch.device(device)
        self._use(self.network_)
        return self

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

        A detector that has weights goes on from them; for other classes only the last layers start anew.

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
        known = [f.name for f in fields(TrainingOptions)]
        for name in options:
            if name not in known:
                raise unknown("option", name, known)
        recipe = TrainingOptions(**options)
        train, val = _splits(data, val, self.names or None)
        self._start(train.names, recipe.seed)
        plain_from = recipe.epochs - min(plain_epochs, recipe.epochs // 3)
        pictures = TrainingPictures(train, self.image_size, augmentation or Augmentation(), plain_from, recipe.seed)
        network = self.network_
        assert network is not None
        self.history_ = fit(
            network,
            pictures,
            _loss,
            options=recipe,
            validate=None if val is None else lambda model: self._validate(model, val),
            monitor="loss" if val is None else "map",
            run_dir=None if run_dir is None else Path(run_dir),
            resume=resume,
            save_weights=lambda model, path: self._save(model, path),
            on_progress=on_progress,
        )
        self._use(network)
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
        return _evaluate(self._ready(), dataset)

    def save(self, path: str | Path, **about: Any) -> Path:
        """Save weights, constructor keywords and class names in one safetensors file.

        Args:
            path: Ends in .safetensors.
            about: More to keep in the header as JSON, such as figures and licence.

        Raises:
            ModelError: A detector without weights.
        """
        return self._save(self._network(), Path(path), **about)

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
        about = {"kind": type(self).__name__, **self._config()}
        return export_detector(copy.deepcopy(self._network()), path, canvas, about)

    @classmethod
    def load(cls, path: str | Path) -> Detector:
        """Load what `save` wrote.

        Raises:
            CheckpointError: A file that is damaged, foreign, or of another class.
        """
        tensors, meta = load_checkpoint(path, kind=cls.__name__)
        try:
            detector = cls(**meta["config"])
            detector._start(detector.names, seed=0)
            assert detector.network_ is not None
            detector.network_.load_state_dict(tensors)
        except (TypeError, KeyError, RuntimeError, UsageError) as error:
            fix = "update Striate, or save the detector again"
            raise CheckpointError("a Detector checkpoint of this version", f"{path}: {error}", fix) from error
        return detector

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path) -> Detector:
        """Load weights by name ("cells") or by path; never uses the network.

        Raises:
            ModelError: An unknown name, or weights that have to be fetched first.
        """
        return cls.load(resolve(name_or_path, "detect"))

    def _start(self, names: tuple[str, ...], seed: int) -> None:
        """Make the network for these classes, with the weights there are."""
        if self.network_ is not None and names == self.names:
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = YoloNet(len(names), self.size)
        if self.network_ is not None:
            old, new = self.network_.state_dict(), network.state_dict()
            network.load_state_dict({k: old[k] if ".classes." not in k else new[k] for k in new})
        self.names = names
        self._use(network)

    def _use(self, network: YoloNet | None) -> None:
        """Take a network into use; fast copies of the one before are forgotten."""
        self.network_ = None if network is None else network.to(self._device).eval()
        self._inference = None

    def _network(self) -> YoloNet:
        if self.network_ is None:
            raise ModelError(
                "a detector with weights", "one that was never trained", "call fit, load or from_pretrained"
            )
        return self.network_

    def _ready(self) -> Inference:
        if self._inference is None:
            self._inference = Inference(self._network(), self.names, self.image_size)
        return self._inference

    def _thresholds(self, confidence: float | None, iou_threshold: float | None) -> Thresholds:
        return Thresholds(
            self.confidence if confidence is None else confidence,
            self.iou_threshold if iou_threshold is None else iou_threshold,
            self.max_detections,
        )

    def _validate(self, model: nn.Module, val: BoxDataset) -> dict[str, float]:
        """Validation figures of a network in training."""
        figures = _evaluate(Inference(model, self.names, self.image_size), val)
        return {"map50": figures["map50"], "map": figures["map"]}

    def _save(self, model: nn.Module, path: Path, **about: Any) -> Path:
        meta = {
            "kind": type(self).__name__,
            "config": {**self._config(), "names": list(self.names)},
            "names": list(self.names),
        }
        return save_checkpoint(path, {k: t.detach().cpu() for k, t in model.state_dict().items()}, {**meta, **about})

    def _class_id(self, name: str) -> int:
        if name not in self.names:
            raise unknown("class", name, self.names)
        return self.names.index(name)


def _evaluate(inference: Inference, dataset: BoxDataset) -> dict[str, Any]:
    found = [inference.find(load_image(sample.image), EVALUATION) for sample in dataset]
    return evaluate_boxes(dataset.samples, found, inference.names)


def _splits(
    data: BoxDataset | str | Path, val: BoxDataset | None, names: tuple[str, ...] | None
) -> tuple[BoxDataset, BoxDataset | None]:
    """Read the training pictures and, where the dataset has them, the validation pictures."""
    if isinstance(data, BoxDataset):
        return data, val
    train = load_boxes(data, "train", names=names)
    if val is None and any(re.fullmatch(r"val(\d{4})?", name) for name in list_splits(data)):
        val = load_boxes(data, "val", names=train.names)
    return train, val


def _loss(model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
    """The loss of one batch of `TrainingPictures`."""
    images = batch["images"].float() / 255
    return detection_loss(model(images), batch["boxes"], batch["classes"], batch["mask"])
