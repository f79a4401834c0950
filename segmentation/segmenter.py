"""`Segmenter`: learn a class for every pixel from pictures and masks, find them on other pictures."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast, overload

import torch
from torch import nn

from ..core.checks import UsageError, fraction, unknown
from ..core.class_network import Normalized, channel_numbers
from ..core.classifier import Classifier
from ..core.datasets.load_masks import load_masks, training_mask_splits
from ..core.datasets.masks import MaskDataset
from ..core.estimator import Estimator
from ..core.history import History, Progress
from ..core.images import MAX_PIXELS, Source, load_image
from ..core.optimize import PRECISIONS
from ..core.recipe import make_options
from ..core.training import fit
from .class_weights import median_frequency
from .data import MaskAugmentation, TrainingMasks
from .export import export_segmenter
from .inference import Inference, Views, views_of
from .label_map import LabelMap
from .loss import SegmentationLoss
from .model import NETWORKS, borrow, build_network, statistics
from .tiling import TILES, Tiles

MONITORS = ("miou", "dice", "pixel_accuracy", "loss")


class Segmenter(Estimator):
    """A fully convolutional network that gives a class to every pixel of pictures of any size.

    Args:
        names: Class names by class id; empty takes them from the data given to `fit`.
        network: A key of `model.NETWORKS`: "pyramid", or FCN "fcn32s", "fcn16s", "fcn8s".
        backbone: Of an FCN, a key of `core.models.MODELS`; None is VGG-16.
        options: Keywords of the network ({"size": "n"}), or of the backbone.
        image_size: (height, width) of the parts that training cuts out of pictures, multiples of 32.
        mean: Of each channel, subtracted from pictures in [0, 1]; None takes the training pictures'.
        std: Of each channel, divided by; None likewise.
        colours: RGB of the classes in drawings; None takes `class_colours.class_colours`.
        whole_pixels: Pictures of more pixels are predicted in tiles.
        tile: Side of a tile, from 64 pixels, rounded up to a multiple of the network's stride.
        overlap: Of neighbouring tiles, likewise; three eighths of it are rim, see `tiling`.
        precision: See `core.optimize.optimize`.

    `save`, `load`, `from_pretrained` and `to` are `core.estimator.Estimator`'s.

    Attributes:
        network_: Takes pictures in [0, 1] and gives scores (N, classes, H, W); None before `fit` or `load`.
        history_: What the last `fit` did; None before.

    Example:
        >>> Segmenter(names=("background", "nucleus")).network
        'pyramid'
    """

    task = "segment"
    class_layers = "network.network.classes."

    def __init__(
        self,
        names: Iterable[str] = (),
        *,
        network: str = "pyramid",
        backbone: str | None = None,
        options: Mapping[str, Any] | None = None,
        image_size: tuple[int, int] = (256, 256),
        mean: Iterable[float] | None = None,
        std: Iterable[float] | None = None,
        colours: Iterable[Iterable[int]] | None = None,
        whole_pixels: int = TILES.whole_pixels,
        tile: int = TILES.tile,
        overlap: int = TILES.overlap,
        precision: str = "auto",
    ) -> None:
        for kind, name, known in (("network", network, NETWORKS), ("precision", precision, PRECISIONS)):
            if name not in known:
                raise unknown(kind, name, known)
        self.names, self.network, self.backbone, self.options = tuple(names), network, backbone, dict(options or {})
        if len(image_size) != 2 or any(side % 32 or not 32 <= side <= 4096 for side in image_size):
            fix = "pass (256, 256), say"
            raise UsageError("image_size as (height, width), multiples of 32 up to 4096", repr(image_size), fix)
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.mean, self.std = channel_numbers("mean", mean, 3), channel_numbers("std", std, 3)
        self.colours = None if colours is None else tuple((int(r), int(g), int(b)) for r, g, b in colours)
        Tiles(whole_pixels, tile, overlap).check()
        self.whole_pixels, self.tile, self.overlap, self.precision = whole_pixels, tile, overlap, precision
        self.network_: nn.Module | None = None
        self.history_: History | None = None
        self.device = torch.device("cpu")
        self._inference: Inference | None = None

    def _build(self, names: tuple[str, ...]) -> Normalized:
        mean, std = self.mean or (0.0,) * 3, self.std or (1.0,) * 3
        return build_network(self.network, len(names), mean, std, backbone=self.backbone, options=self.options)

    def _use(self, network: nn.Module | None) -> None:
        super()._use(network)
        self._inference = None  # its fast copies are of the network before

    def fit(
        self,
        data: MaskDataset | str | Path,
        *,
        val: MaskDataset | None = None,
        run_dir: str | Path | None = None,
        resume: bool = False,
        augmentation: MaskAugmentation | str = "photos",
        loss: str = "cross_entropy",
        balance: float = 0.0,
        classifier: Classifier | None = None,
        monitor: str = "miou",
        on_progress: Callable[[Progress], None] | None = None,
        **options: Any,
    ) -> Segmenter:
        """Learn from pictures and masks; the weights of the best epoch on `val` are kept.

        A segmenter that has weights goes on from them; for other classes only the last layers start anew. One whose
        training fails or is interrupted stays as it was.

        Args:
            data: A dataset, or the folder of one: then its splits "train" and, if there is one, "val" are taken.
            val: Pictures to judge by; None judges by the training loss.
            run_dir: Folder for history, weights and the state to resume from; None writes nothing.
            resume: Go on with the training in `run_dir`.
            augmentation: How pictures are changed, or a key of `data.PRESETS`.
            loss: Names of `loss.LOSSES` joined by "+", such as "cross_entropy+dice".
            balance: Power of the median frequency weights of the classes, 0 to 1: 1 are Eigen and Fergus's, 0.5 their
                square roots, 0 none.
            classifier: Of an FCN's kind of backbone; a fresh FCN starts with its weights.
            monitor: The figure of `val` that decides which epoch is best, one of `MONITORS`.
            on_progress: Called after every step and epoch.
            options: Fields of `core.recipe.TrainingOptions`: epochs, batch_size, learning_rate, ...

        Raises:
            UsageError: An option that does not exist or is out of range, or a classifier for a network without one.
            DataError: No pictures, or classes that the segmenter does not have.
            ModelError: A classifier without weights, or of another kind.
            TrainingError: The loss is not finite.
        """
        recipe = make_options(**options)
        fraction("balance", balance)
        if monitor not in MONITORS:
            raise unknown("monitor", monitor, MONITORS)
        fresh = self.network_ is None
        train, val = training_mask_splits(data, val, names=self.names if self.names and fresh else None)
        pictures = TrainingMasks(train, self.image_size, augmentation, recipe.seed)
        weights = torch.from_numpy(median_frequency(train) ** balance) if balance else None
        pixel_loss = SegmentationLoss(loss, weights)
        found = ((), ()) if self.mean and self.std else statistics(train)
        mean, std = self.mean or found[0], self.std or found[1]

        def learn(network: nn.Module) -> History:
            if fresh and classifier is not None:
                borrow(cast(Normalized, network), classifier)
            return fit(
                network,
                pictures,
                pixel_loss,
                options=recipe,
                validate=None if val is None else lambda model: self._validate(model, val),
                monitor="loss" if val is None else monitor,
                run_dir=None if run_dir is None else Path(run_dir),
                resume=resume,
                identity={
                    "network": [self.network, self.backbone, repr(self.options), *self.image_size, *train.names],
                    "augmentation": asdict(pictures.augmentation),
                    "loss": [loss, balance],
                    "normalization": [*mean, *std],
                    "data": train.fingerprint(),
                    "val": None if val is None else [val.fingerprint(), monitor],
                },
                save_weights=lambda model, path: self._save(model, path),
                on_progress=on_progress,
            )

        self._learn(train.names, recipe.seed, learn, mean=mean, std=std)
        return self

    @overload
    def predict(
        self, source: list[Source], *, probabilities: bool = False, flip: bool = False,
        scales: Iterable[float] = (1.0,), channels: str = "rgb", max_pixels: int = MAX_PIXELS,
    ) -> list[LabelMap]: ...  # fmt: skip

    @overload
    def predict(
        self, source: Source, *, probabilities: bool = False, flip: bool = False,
        scales: Iterable[float] = (1.0,), channels: str = "rgb", max_pixels: int = MAX_PIXELS,
    ) -> LabelMap: ...  # fmt: skip

    def predict(
        self, source: Source | list[Source], *, probabilities: bool = False, flip: bool = False,
        scales: Iterable[float] = (1.0,), channels: str = "rgb", max_pixels: int = MAX_PIXELS,
    ) -> LabelMap | list[LabelMap]:  # fmt: skip
        """Give a class to every pixel of one picture, or of each of a list.

        Args:
            source: Path, bytes, PIL picture, array or tensor; see `core.images.load_image`.
            probabilities: Keep the probability of every class for every pixel: 4 bytes each, 2 in tiles.
            flip: Average the probabilities over the picture and its mirror image: twice the time.
            scales: Sizes of the picture to average over, such as (0.75, 1, 1.25).
            channels: Order of arrays, "rgb" or "bgr".
            max_pixels: Largest picture; besides it, its copy and the labels memory grows with its width only. 20,000 x
                20,000 pixels by `nuclei`: 3.7 GB at most, of which the picture is 1.2, its copy 1.2, the labels 0.4.

        Raises:
            ModelError: A segmenter without weights.
            ImageError: A picture that cannot be read.
            UsageError: No scale, or one from outside 0.1 to 4.
        """
        views = views_of(flip, scales)
        sources = source if isinstance(source, list) else [source]
        found = [self._predict(one, views, probabilities, channels, max_pixels) for one in sources]
        return found if isinstance(source, list) else found[0]

    def _predict(self, source: Source, views: Views, probabilities: bool, channels: str, max_pixels: int) -> LabelMap:
        ready, started = self._ready(), time.perf_counter()
        image = load_image(source, channels=channels, max_pixels=max_pixels)
        loaded = time.perf_counter()
        found = ready.predict(image, views, probabilities=probabilities)
        speed = {"load": 1e3 * (loaded - started), "network": 1e3 * (time.perf_counter() - loaded)}
        name = str(source) if isinstance(source, str | Path) else None
        return LabelMap(found.labels, self.names, self.colours or (), found.probabilities, name, speed)

    def evaluate(
        self,
        data: MaskDataset | str | Path,
        split: str = "val",
        *,
        boundary: bool = False,
        flip: bool = False,
        scales: Iterable[float] = (1.0,),
    ) -> dict[str, Any]:
        """Measure labels on pictures with masks.

        Args:
            data: A dataset, or the folder of one.
            split: Which split of the folder.
            boundary: Measure edges too.
            flip: As `predict`'s.
            scales: Likewise.

        Returns:
            "miou", "pixel_accuracy", "dice", "class_iou" and more; see `metrics.SegmentationMetric.result`.

        Raises:
            ModelError: A segmenter without weights.
            DataError: A dataset that cannot be read, or whose classes are not the segmenter's.
        """
        dataset = data if isinstance(data, MaskDataset) else load_masks(data, split, names=self.names)
        return self._ready().evaluate(dataset, views_of(flip, scales), boundary=boundary)

    def export(self, path: str | Path, *, size: tuple[int, int] | None = None) -> float:
        """Write an ONNX file that takes one picture and returns the scores of every class for every pixel.

        Args:
            path: Ends in .onnx.
            size: (height, width) of the pictures it is for, multiples of the network's stride; None is `image_size`.

        Returns:
            The largest relative difference to this network on 16 pictures.

        Raises:
            ModelError: A segmenter without weights.
            UsageError: A size that does not fit the stride.
            ExportError: Missing packages, or a file that does not agree with the network.
        """
        network, about = cast(Normalized, self._trained()), {"kind": type(self).__name__, **self.config()}
        return export_segmenter(copy.deepcopy(network), path, size or self.image_size, about)

    def _ready(self) -> Inference:
        if self._inference is None:
            self._inference = self._infer(self._trained())
        return self._inference

    def _infer(self, network: nn.Module) -> Inference:
        tiles = Tiles(self.whole_pixels, self.tile, self.overlap)
        return Inference(cast(Normalized, network), self.names, self.precision, tiles)

    def _validate(self, network: nn.Module, val: MaskDataset) -> dict[str, float]:
        """Validation figures of a network in training."""
        figures = self._infer(network).evaluate(val)
        return {name: figures[name] for name in ("miou", "dice", "pixel_accuracy")}
