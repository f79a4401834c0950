"""Style transfer by Gram matrices (Gatys, Ecker and Bethge 2015 and 2016)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.checks import UsageError, fraction, positive, unknown
from ..core.images import Source, load_image, resize, to_tensor
from ..core.optimize import PRECISIONS, has_bfloat16
from ..core.pixels import RULES
from .colours import COLOURS, luminance, with_luminance
from .features import SHIPPED, Features, load_features
from .inputs import Layers, covering, fingerprint, layer_weights, mask_tensors, pairs, shares
from .losses import mixed
from .memory import needed
from .objective import Grams, Objective, Region, Weights
from .paint import Canvas, Job, OnStep, paint
from .painting import Painting
from .scales import fitted, plan
from .styles import Styles

STARTS = ("content", "noise", "style")


class StyleTransfer:
    """Paints one picture in the style of others.

        painting = StyleTransfer(size=512, seed=0).fit("starry_night.jpg").transform("house.jpg")
        painting.save("painting.png")

    Args:
        size: Longer side of the painting; None for the content's own.
        smallest: Longer side of the coarsest scale is at least this; 0 paints at one size only.
        steps: At the coarsest scale; see `scales.plan`.
        content_weight: Of the content; 0 keeps only what the start brings along.
        style_weight: Of the style.
        tv_weight: Of smoothness.
        strength: From 0, the content as it is, to 1, the full style.
        style_scale: Size of the style pictures, relative to the painting's; smaller ones give finer strokes.
        init: What is begun from: "content", "noise" or "style".
        colours: "style", or the content's kept: "luminance", "affine", "histogram".
        features: A name or file for `load_features`, or what it returned.
        pooling: "max", "average", or None for the network's own; only with a name or a file.
        normalized: Weigh the channels so that each has mean 1 over the style pictures.
        style_layers: Names, or names with weights; None for the features' own.
        content_layers: Likewise.
        optimizer: "lbfgs" or "adam".
        rate: Of the optimizer; None for its own.
        tile: Side of tiles that the picture is computed in; None for tiles only where the memory asks for them.
        memory_gb: That may be taken; None for a share of what is free.
        precision: Of the maps, "fp32", "bf16", or "auto": "bf16" on a CPU that multiplies it in hardware. Gram
            matrices, losses and pixels are float32 in either; losses reached were equal within 0.5 %.
        seed: Of the noise.
        device: "cpu" or "cuda", where a step is a CUDA graph; in it Gram matrices are torch's, not our kernel's.

    Attributes:
        styles_: uint8 (H, W, 3) each, of `fit`.
        weights_: Of the styles; they sum to 1.
        grams_: For each style, for each longer side of a scale, the Gram matrix (C, C) of each layer.

    Raises:
        UsageError: A number or a name out of range.
    """

    def __init__(
        self,
        *,
        size: int | None = 512,
        smallest: int = 128,
        steps: int = 200,
        content_weight: float = 1.0,
        style_weight: float = 10.0,
        tv_weight: float = 1.0,
        strength: float = 1.0,
        style_scale: float = 1.0,
        init: str = "content",
        colours: str = "style",
        features: str | Path | Features = SHIPPED,
        pooling: str | None = None,
        normalized: bool = False,
        style_layers: Layers = None,
        content_layers: Layers = None,
        optimizer: str = "lbfgs",
        rate: float | None = None,
        tile: int | None = None,
        memory_gb: float | None = None,
        precision: str = "auto",
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.size, self.smallest, self.steps = size, smallest, steps
        self.content_weight, self.style_weight, self.tv_weight = content_weight, style_weight, tv_weight
        self.strength, self.style_scale, self.init, self.colours = strength, style_scale, init, colours
        self.features, self.pooling, self.normalized = features, pooling, normalized
        self.style_layers, self.content_layers = style_layers, content_layers
        self.optimizer, self.rate, self.tile, self.memory_gb = optimizer, rate, tile, memory_gb
        self.precision, self.seed, self.device = precision, seed, device
        self._check()
        self.styles_: list[NDArray[np.uint8]] = []
        self.weights_: list[float] = []
        self.grams_: list[dict[int, Grams]] = []

    def fit(self, styles: Source | Sequence[Source], weights: Sequence[float] | None = None) -> Self:
        """Measure the Gram matrices of one or several styles.

        Args:
            styles: A picture as `load_image` takes it, or a list of pictures.
            weights: Of each; None for equal ones.

        Raises:
            ImageError: A picture that cannot be read.
            UsageError: Weights that are not one each, negative, or all zero.
        """
        many: Sequence[Any] = styles if isinstance(styles, list | tuple) else [styles]
        if len(many) == 0:
            raise UsageError("at least one style", "none", "pass a picture, or a list of pictures")
        pictures = [load_image(style) for style in many]
        weights = shares(weights, len(pictures))
        features = self._load()
        self._weights(features)  # says now which layers are not known
        self.features_, self.features_sha256_ = features, features.fingerprint()
        features.computing_in(self._dtype())
        self.styles_, self.weights_ = pictures, weights
        self._styles = Styles(
            features, self._weights(), pictures, scale=self.style_scale, colours=self.colours, tile=self.tile,
            memory=self._budget(),
        )  # fmt: skip
        self.grams_ = self._styles.grams
        if self.normalized:
            self._styles.balance()
        if self.size is not None and self.colours == "style":
            for number in range(len(pictures)):
                for scale in plan(self.size, self.steps, self.smallest):
                    self._styles.at(number, scale.side)
        return self

    def transform(
        self,
        content: Source,
        *,
        masks: Sequence[NDArray[Any]] | None = None,
        on_step: OnStep | None = None,
        every: int = 1,
        state: Mapping[str, Any] | None = None,
    ) -> Painting:
        """Paint a picture.

        Args:
            content: As `load_image` takes it.
            masks: Where each style goes, one (H, W) of the content's size for each: bool, uint8 (255 is fully) or
                float in [0, 1]; `labels == 3` of a Segmenter's labels is one. None mixes the styles everywhere.
            on_step: Called every `every` steps with a `Progress`; True ends the painting, which is then returned.
            every: Steps between two reports, and between two looks at whether the loss is still finite.
            state: Of a painting that was ended, to go on with it.

        Raises:
            UsageError: Nothing fitted, a picture too small or too long, or the state of another painting.
            DataError: Masks that do not fit.
        """
        if not self.styles_:
            raise UsageError("a style", "none", "call fit(style) first")
        picture = load_image(content)
        canvases = self._canvases(*picture.shape[:2])
        regions = None if masks is None else mask_tensors(masks, picture.shape[:2], len(self.styles_))
        weights = self._weights()
        job = Job(
            self.features_,
            weights.layers,
            canvases,
            start=lambda height, width: self._start(picture, height, width),
            objective=lambda number, tile: self._objective(picture, canvases[number], regions, weights, tile),
            finish=lambda pixels: self._finish(picture, pixels),
            optimizer=self.optimizer,
            rate=self.rate,
            tile=self.tile,
            memory=self._budget(),
            settings={
                **self._settings(),
                "content_size": list(picture.shape[:2]),
                "content_sha256": fingerprint(picture),
                "mask_sha256": regions and [fingerprint(mask.numpy()) for mask in regions],
            },
        )
        return paint(job, on_step, every, state)

    def memory(self, height: int, width: int) -> int:
        """Estimate the bytes that painting a content of this size takes, without tiles and the network's weights."""
        features = self.features_ if self.styles_ else self._load().computing_in(self._dtype())
        side = self.size or max(height, width)
        return needed(features, self._weights(features).layers, *fitted(height, width, side), self.tile)

    def _check(self) -> None:
        for name in ("content_weight", "style_weight", "tv_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UsageError(f"{name} not below 0", repr(getattr(self, name)), f"pass {name}=1, say")
        if self.content_weight == 0 and self.style_weight == 0:
            raise UsageError("a weight above 0", "content_weight 0 and style_weight 0", "raise one of them")
        fraction("strength", self.strength)
        positive("style_scale", self.style_scale)
        for name, known in (("init", STARTS), ("colours", COLOURS), ("optimizer", RULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise unknown(name, str(getattr(self, name)), known)
        for name in ("size", "rate", "memory_gb"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))
        if self.pooling is not None and isinstance(self.features, Features):
            raise UsageError(
                "pooling only with features by name", repr(self.pooling), "load_features(pooling=) does it"
            )
        if self.tile is not None and self.tile < 64:
            raise UsageError("tiles of at least 64 pixels", str(self.tile), "pass tile=512, or leave it out")
        plan(self.size or 1, self.steps, self.smallest)

    def _load(self) -> Features:
        given = self.features
        loaded = deepcopy(given) if isinstance(given, Features) else load_features(given, pooling=self.pooling)
        return loaded.to(torch.device(self.device))

    def _dtype(self) -> torch.dtype:
        fast = self.device == "cpu" and has_bfloat16(torch.device(self.device))
        return torch.bfloat16 if self.precision == "bf16" or (self.precision == "auto" and fast) else torch.float32

    def _budget(self) -> float | None:
        return None if self.memory_gb is None else self.memory_gb * 2**30

    def _weights(self, features: Features | None = None) -> Weights:
        features = features or self.features_
        style = layer_weights(features, self.style_layers, features.style_layers, "style_layers")
        content = layer_weights(features, self.content_layers, features.content_layers, "content_layers")
        return Weights(self.content_weight, self.style_weight, self.tv_weight, style, content, self.strength)

    def _settings(self) -> dict[str, Any]:
        keywords = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        keywords = {k: v.item() if isinstance(v, np.generic) else v for k, v in keywords.items()}
        for name in ("device", "memory_gb", "tile"):  # where it is painted, not what
            keywords.pop(name)
        for name in {"style_layers", "content_layers", "layers"} & {*keywords}:
            keywords[name] = keywords[name] and dict(pairs(keywords[name]))
        shapes = [list(style.shape[:2]) for style in self.styles_]
        known = {"features": self.features_.name, "features_sha256": self.features_sha256_, "style_sizes": shapes}
        return {**keywords, **known, "style_sha256": [*map(fingerprint, self.styles_)], "weights": self.weights_}

    def _canvases(self, height: int, width: int) -> tuple[Canvas, ...]:
        least = self.features_.least_side(self._weights().layers)
        scales = plan(self.size or max(height, width), self.steps, self.smallest)
        sizes = [fitted(height, width, scale.side) for scale in scales]
        if min(sizes[-1]) < least:
            got = f"{height} x {width}, painted as {sizes[-1][0]} x {sizes[-1][1]}"
            fix = f"pass a larger size, a picture less long, or layers before {self._weights().layers[-1]}"
            raise UsageError(f"pictures of at least {least} pixels a side for {self.features_.name}", got, fix)
        large = [size for size in sizes if min(size) >= least]  # the coarsest of them takes the first one's steps
        return tuple(Canvas(*size, scale.steps) for size, scale in zip(large, scales, strict=False))

    def _start(self, picture: NDArray[np.uint8], height: int, width: int) -> Tensor:
        if self.init == "noise":
            return self._seen(self._noise(height, width))
        begun = covering(self.styles_[0], height, width) if self.init == "style" else resize(picture, (height, width))
        return self._seen(to_tensor(begun).to(self.device))

    def _noise(self, height: int, width: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        return torch.rand(1, 3, height, width, generator=generator).to(self.device)

    def _seen(self, content: Tensor) -> Tensor:
        return luminance(content) if self.colours == "luminance" else content

    def _finish(self, picture: NDArray[np.uint8], pixels: Tensor) -> Tensor:
        if self.colours != "luminance":
            return pixels
        size = (pixels.shape[2], pixels.shape[3])
        return with_luminance(to_tensor(resize(picture, size)).to(pixels), pixels)

    def _objective(
        self, picture: NDArray[np.uint8], canvas: Canvas, masks: list[Tensor] | None, weights: Weights, tile: int | None
    ) -> Objective:
        side = max(canvas.height, canvas.width)
        content = to_tensor(resize(picture, (canvas.height, canvas.width))).to(self.device)
        targets = [self._styles.at(number, side, content) for number in range(len(self.styles_))]
        if masks is None:
            regions = [Region(None, mixed(targets, self.weights_))]
        else:
            sized = [torch.nn.functional.interpolate(m, content.shape[2:], mode="area").to(content) for m in masks]
            regions = [Region(mask, target) for mask, target in zip(sized, targets, strict=True)]
        grey = self.colours == "luminance"
        return Objective(self.features_, weights, self._seen(content), regions, tile=tile, monochrome=grey)
