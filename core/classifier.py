"""`Classifier`: learn classes from labelled pictures, name them on others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .augment_batch import BatchAugmentation, preset
from .checks import DataError, UsageError, fraction, unknown
from .class_inference import BATCH, ClassInference
from .class_loss import Adversary, ClassLoss
from .class_network import Normalized, channel_numbers, check_size, class_balance, prepare, scale
from .class_pictures import ClassPictures
from .classification import Classification
from .datasets.classes import ClassDataset
from .datasets.load_classes import load_classes, training_class_splits
from .estimator import Estimator
from .history import History, Progress
from .images import Source, load_image
from .models import MODELS, build
from .optimize import PRECISIONS
from .recipe import make_options
from .training import fit
from .views import VIEWS

MONITORS = ("top1", "top5", "val_loss", "loss")


class Classifier(Estimator):
    """A convolutional network that names what a picture shows.

    Args:
        names: Class names by class id; empty takes them from the data given to `fit`.
        network: A key of `core.models.MODELS`.
        image_size: Side of the square that the network sees; None is the network's own.
        channels: 1 for grey, 3 for colour; None is the network's own.
        options: The network's own keywords, such as {"dropout": 0.5}.
        mean: Of each channel, subtracted from pictures in [0, 1]; None takes the network's own, or the pictures'.
        std: Of each channel, divided by; None likewise.
        views: "one"; "flip" averages over the picture and its mirror image, "shift" over both moved by a pixel, too.
        precision: See `core.optimize.optimize`.

    `save`, `load`, `from_pretrained` and `to` are `core.estimator.Estimator`'s.

    Attributes:
        network_: Takes pictures in [0, 1] and gives scores (N, classes); None before `fit` or `load`.
        history_: What the last `fit` did; None before.

    Example:
        >>> Classifier(names=("cat", "dog"), network="lenet5").image_size
        28
    """

    task = "classify"

    def __init__(
        self,
        names: Iterable[str] = (),
        *,
        network: str = "small",
        image_size: int | None = None,
        channels: int | None = None,
        options: Mapping[str, Any] | None = None,
        mean: Iterable[float] | None = None,
        std: Iterable[float] | None = None,
        views: str = "one",
        precision: str = "auto",
    ) -> None:
        choices = ("network", network, MODELS), ("views", views, VIEWS), ("precision", precision, PRECISIONS)
        for kind, name, known in choices:
            if name not in known:
                raise unknown(kind, name, known)
        self.names, self.network = tuple(names), network
        self.image_size, self.channels = image_size or MODELS[network].image_size, channels or MODELS[network].channels
        if self.channels not in (1, 3) or not 8 <= self.image_size <= 4096:
            got = f"{self.channels} channels of {self.image_size} pixels"
            raise UsageError("1 or 3 channels of 8 to 4096 pixels", got, "change channels or image_size")
        self.options = dict(options or {})
        self.mean, self.std = channel_numbers("mean", mean, self.channels), channel_numbers("std", std, self.channels)
        self.views, self.precision = views, precision
        self.network_: nn.Module | None = None
        self.history_: History | None = None
        self.device = torch.device("cpu")
        self._inference: ClassInference | None = None

    @property
    def class_layers(self) -> str:  # type: ignore[override]
        """What the names of the tensors contain that depend on the classes."""
        with torch.device("meta"):
            return f"network.{self._build(('a', 'b')).network.head}."

    @property
    def side(self) -> int:
        """Side of the square that is cut from a picture; the network sees the middle `image_size` of it."""
        return round(self.image_size / MODELS[self.network].shown)

    def _build(self, names: tuple[str, ...]) -> Normalized:
        try:
            network = build(self.network, len(names), self.channels, self.image_size, **self.options)
        except TypeError as error:
            raise UsageError(f"options of {self.network!r}", str(error), "see its class in core.models") from error
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Normalized(network, self.mean or (0.0,) * self.channels, self.std or (1.0,) * self.channels)

    def _use(self, network: nn.Module | None) -> None:
        super()._use(network)
        self._inference = None  # its fast copy is of the network before

    def fit(
        self,
        data: ClassDataset | str | Path,
        *,
        val: ClassDataset | None = None,
        run_dir: str | Path | None = None,
        resume: bool = False,
        augmentation: BatchAugmentation | str = "none",
        smoothing: float = 0.0,
        class_weights: bool = False,
        l1: float = 0.0,
        train_layers: int | None = None,
        body_rate: float = 1.0,
        monitor: str = "top1",
        adversary: Adversary | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        **options: Any,
    ) -> Classifier:
        """Learn from labelled pictures; the weights of the best epoch on `val` are kept.

        A classifier that has weights goes on from them; for other classes only the last layer starts anew. One whose
        training fails or is interrupted stays as it was.

        Args:
            data: A dataset, or the folder of one: then its splits "train" and, if there is one, "val" are taken.
            val: Pictures to judge by; None judges by the training loss.
            run_dir: Folder for history, weights and the state to resume from; None writes nothing.
            resume: Go on with the training in `run_dir`.
            augmentation: How pictures are changed, or a word such as "objects"; see `core.augment_batch.preset`.
            smoothing: Label smoothing, in [0, 1].
            class_weights: Weigh classes by the inverse of how often they occur.
            l1: Strength of the sum of absolute weights; L2 is `weight_decay`.
            train_layers: Train this many of the last layers that have weights and freeze the others; None trains all.
            body_rate: Learning rate of all layers but the last, as a multiple of its own.
            monitor: The figure of `val` that decides which epoch is best, one of `MONITORS`.
            adversary: Learn from pictures that it changed, such as `adversarial.AdversarialTraining(epsilon=8 / 255)`.
            on_progress: Called after every step and epoch.
            options: Fields of `core.recipe.TrainingOptions`: epochs, batch_size, learning_rate, ...

        Raises:
            UsageError: An option that does not exist or is out of range.
            DataError: No pictures, or classes that the classifier does not have.
            TrainingError: The loss is not finite.
        """
        recipe = make_options(**options)
        fraction("smoothing", smoothing)
        augmentation = preset(augmentation)
        if monitor not in MONITORS:
            raise unknown("monitor", monitor, MONITORS)
        train, val = training_class_splits(data, val, self.names, fixed=self.network_ is None)
        pictures = ClassPictures(train, self.side, self.channels)
        pictures.drop_unreadable()
        train = pictures.dataset
        mean, std = scale(self.network, pictures, self.mean, self.std)
        weights = class_balance(train) if class_weights else None
        classes, size = len(train.names), self.image_size
        loss = ClassLoss(augmentation, size, classes, recipe.seed, smoothing, weights, l1, adversary)
        fresh = self.network_ is None

        def learn(network: nn.Module) -> History:
            assert isinstance(network, Normalized)
            check_size(network, self.network, self.channels, self.image_size)
            frozen = prepare(network, pictures if fresh else None, body_rate, train_layers)
            history = fit(
                network,
                pictures,
                loss,
                options=recipe,
                validate=None if val is None else lambda model: self._validate(model, val),
                monitor="loss" if val is None else monitor,
                run_dir=None if run_dir is None else Path(run_dir),
                resume=resume,
                identity={
                    "network": [self.network, self.image_size, self.channels, repr(self.options), *train.names],
                    "augmentation": asdict(augmentation),
                    "loss": [smoothing, class_weights, l1, train_layers, body_rate],
                    **({"adversary": adversary.settings()} if adversary else {}),
                    "normalization": [*mean, *std],
                    "data": train.fingerprint(),
                    "val": None if val is None else [val.fingerprint(), monitor],
                },
                save_weights=lambda model, path: self._save(model, path),
                on_progress=on_progress,
            )
            for parameter in frozen:
                parameter.requires_grad_(True)
            return history

        self._learn(train.names, recipe.seed, learn, mean=mean, std=std)
        return self

    @overload
    def predict(self, source: list[Source], *, channels: str = "rgb") -> list[Classification]: ...

    @overload
    def predict(self, source: Source, *, channels: str = "rgb") -> Classification: ...

    def predict(self, source: Source | list[Source], *, channels: str = "rgb") -> Classification | list[Classification]:
        """Name what a picture shows, or each of a list.

        Args:
            source: Path, bytes, PIL picture, array or tensor; see `core.images.load_image`.
            channels: Order of arrays, "rgb" or "bgr".

        Raises:
            ModelError: A classifier without weights.
            ImageError: A picture that cannot be read.
        """
        sources = source if isinstance(source, list) else [source]
        found = [
            Classification(row, self.names, str(one) if isinstance(one, str | Path) else None)
            for one, row in zip(sources, self.predict_proba(sources, channels=channels), strict=True)
        ]
        return found if isinstance(source, list) else found[0]

    def predict_proba(
        self, sources: list[Source], *, channels: str = "rgb", dropout_samples: int = 0
    ) -> NDArray[np.float32]:
        """Return the probabilities of the classes, float32 (len(sources), classes).

        Args:
            sources: As `predict`'s.
            channels: As `predict`'s.
            dropout_samples: Average over so many passes with dropout left on (Gal and Ghahramani 2016); 0 for none.
        """
        ready, rows = self._ready(), [np.zeros((0, len(self.names)), np.float32)]
        for start in range(0, len(sources), BATCH):
            images = [load_image(one, channels=channels) for one in sources[start : start + BATCH]]
            rows.append(ready.probabilities(images, dropout_samples))
        return np.concatenate(rows)

    def features(self, sources: list[Source], layer: str) -> NDArray[np.float32]:
        """Return what a layer says about pictures, float32 (len(sources), D); maps are averaged over their pixels.

        Args:
            sources: As `predict`'s.
            layer: A name in the network's `maps`, or of one of its modules, such as "fc1".

        Raises:
            UsageError: No such layer.
        """
        parts = [sources[start : start + BATCH] for start in range(0, len(sources), BATCH)]
        rows = [self._ready().features([load_image(one) for one in part], layer) for part in parts]
        return np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)

    def first_maps(self, source: Source) -> NDArray[np.float32]:
        """Return what the first convolution makes of a picture, float32 (K, H, W); (0, 1, 1) where there is none."""
        return self._ready().first_maps(load_image(source))

    def evaluate(self, data: ClassDataset | str | Path, split: str = "val") -> dict[str, Any]:
        """Measure accuracy on labelled pictures.

        Args:
            data: A dataset, or the folder of one.
            split: Which split of the folder.

        Returns:
            "top1", "top5", "loss", "calibration_error", "confusion", "per_class"; see `class_metrics.class_figures`.

        Raises:
            ModelError: A classifier without weights.
            DataError: A dataset that cannot be read, or whose classes are not the classifier's.
        """
        dataset = data if isinstance(data, ClassDataset) else load_classes(data, split, names=self.names)
        if dataset.names != self.names:
            fix = "read it with names=classifier.names"
            raise DataError(f"pictures of the classes {self.names}", f"{dataset.names}", fix)
        if len(dataset) == 0:
            raise DataError("pictures to measure on", f"none in {dataset.root}", "choose another split")
        return self._ready().figures(dataset)

    def _ready(self) -> ClassInference:
        if self._inference is None:
            self._inference = self._infer(self._trained())
        return self._inference

    def _infer(self, network: nn.Module) -> ClassInference:
        return ClassInference(network, self.side, self.image_size, self.channels, self.views, self.precision)

    def _validate(self, network: nn.Module, val: ClassDataset) -> dict[str, float]:
        """Validation figures of a network in training."""
        figures = self._infer(network).figures(val)
        return {"top1": figures["top1"], "top5": figures["top5"], "val_loss": figures["loss"]}
