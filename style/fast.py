"""`FastStyle`: a style is learned once, for minutes; then any picture is painted in it in a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..core.checks import UsageError, whole
from ..core.estimator import Estimator
from ..core.history import History, Progress
from ..core.images import MAX_PIXELS, Source, load_image, to_image
from ..core.recipe import make_options
from ..core.training import fit
from .fast_data import ContentCrops, content_sources
from .fast_loss import SHORTEST, FastLoss, measure, small, style_target
from .fast_network import STRIDE, FastNetwork
from .fast_paint import Options, paint
from .fast_strips import Steady
from .features import SHIPPED, Features, load_features
from .inputs import Layers, fingerprint, layer_weights, pairs
from .objective import Weights
from .painting import Painting

PREVIEW = 256
"""Longer side of the picture that is painted after every pass."""
PASS = 50
"""Steps between two saves; "epoch" in the history. Of a few hundred pictures no pass over all means anything."""
RECIPE: dict[str, Any] = {"optimizer": "adam", "weight_decay": 0.0, "warmup_epochs": 1.0, "ema_decay": 0.99}
"""What differs from `core.recipe.TrainingOptions`, beside what `FastStyle.fit` names."""
OnPreview = Callable[[int, NDArray[np.uint8]], None]


class FastStyle(Estimator):
    """Learns to paint in one style, in one pass of a network (Johnson, Alahi and Fei-Fei 2016).

        painter = FastStyle().fit("starry_night.jpg", "photographs/", run_dir="runs/night")
        painter.transform("house.jpg", strength=0.8).save("painting.png")

    Args:
        widths: Channels of the network at full, half and a quarter of the size.
        blocks: Its residual blocks.
        style_size: Longer side to which the style is resized, never enlarged: the scale of the strokes.
        crop: Side of the parts of pictures that are learned on, a multiple of 4 and at least 64.
        content_weight: Of the content.
        style_weight: Of the style.
        tv_weight: Of smoothness.
        features: A name or file for `load_features`, or what it returned; asked for by `fit` and `evaluate` only.
        style_layers: Names, or names with weights; None for the features' own.
        content_layers: Likewise.

    `save`, `load`, `from_pretrained` and `to` are `core.estimator.Estimator`'s.

    Attributes:
        network_: Paints pictures in [0, 1]; None before `fit` or `load`.
        history_: What the last `fit` did; None before. An epoch is a pass, at most `PASS` steps.

    Raises:
        UsageError: A number out of range.

    Example:
        >>> FastStyle(blocks=3).widths
        (16, 32, 64)
    """

    task = "style-fast"
    class_layers = ""
    names = ()

    def __init__(
        self,
        *,
        widths: Sequence[int] = (16, 32, 64),
        blocks: int = 5,
        style_size: int = 384,
        crop: int = 128,
        content_weight: float = 4.0,
        style_weight: float = 10.0,
        tv_weight: float = 1.0,
        features: str | Path | Features = SHIPPED,
        style_layers: Layers = None,
        content_layers: Layers = None,
    ) -> None:
        self.widths, self.blocks, self.style_size, self.crop = tuple(widths), blocks, style_size, crop
        self.content_weight, self.style_weight, self.tv_weight = content_weight, style_weight, tv_weight
        self.features, self.style_layers, self.content_layers = features, style_layers, content_layers
        whole("style_size", style_size)
        whole("crop", crop, 64)
        if crop % STRIDE:
            raise UsageError(f"crop as a multiple of {STRIDE}", repr(crop), "pass crop=128, say")
        for name in ("content_weight", "style_weight", "tv_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UsageError(f"{name} not below 0", repr(getattr(self, name)), f"pass {name}=1, say")
        if content_weight == 0 and style_weight == 0:
            raise UsageError("a weight above 0", "content_weight 0 and style_weight 0", "raise one of them")
        self._build(())  # says now which widths cannot be
        self.network_: nn.Module | None = None
        self.history_: History | None = None
        self.device = torch.device("cpu")

    def config(self) -> dict[str, Any]:
        """Return the constructor's keywords as JSON data; features by name."""
        found = super().config()
        found["features"] = self.features.name if isinstance(self.features, Features) else str(self.features)
        layers = {name: found[name] for name in ("style_layers", "content_layers")}
        return {**found, **{name: given and dict(pairs(given)) for name, given in layers.items()}}

    def _build(self, names: tuple[str, ...]) -> FastNetwork:
        return FastNetwork(self.widths, self.blocks)

    def fit(
        self,
        style: Source,
        content: str | Path | Sequence[Source],
        *,
        steps: int = 2000,
        batch_size: int = 2,
        learning_rate: float = 2e-3,
        run_dir: str | Path | None = None,
        resume: bool = False,
        preview: Source | None = None,
        on_preview: OnPreview | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        **options: Any,
    ) -> Self:
        """Learn a style; a painter that has weights goes on from them. One whose training fails stays as it was.

        Args:
            style: A picture as `load_image` takes it.
            content: Natural pictures to learn painting on: a folder, whose sub-folders count, or a list.
            steps: Of the optimizer, rounded up to whole passes of at most `PASS`; the weights of the best pass are
                kept.
            batch_size: Crops in a step.
            learning_rate: The highest.
            run_dir: Folder for history, weights and the state to resume from; None writes nothing.
            resume: Go on with the training in `run_dir`.
            preview: A picture that is painted after every pass, its figures in the history; None for the first of
                `content`.
            on_preview: Called with the steps done and that painting, uint8 (H, W, 3), its longer side 256 at most.
            on_progress: Called after every step and pass; an epoch of `Progress` is a pass.
            options: Fields of `core.recipe.TrainingOptions` but epochs; `RECIPE` has those that differ from its own.

        Raises:
            UsageError: Steps, options or layers that cannot be.
            DataError: No pictures.
            ImageError: A picture that cannot be read.
            TrainingError: The loss is not finite, or the folder holds another training.
        """
        whole("steps", steps)
        if "epochs" in options:
            raise UsageError("steps in place of epochs", f"epochs={options['epochs']!r}", "pass steps=2000, say")
        passes = -(-steps // PASS)
        recipe = make_options(
            **{**RECIPE, **options}, epochs=passes, batch_size=batch_size, learning_rate=learning_rate
        )
        each = -(-steps // passes)
        crops = ContentCrops(content, self.crop, each * recipe.batch_size, recipe.seed)
        picture = load_image(style)
        loss = self._loss(picture, bfloat16=recipe.precision == "bf16")
        shown = small(crops.sources[0] if preview is None else preview, PREVIEW)

        def learn(network: nn.Module) -> History:
            done = 0

            def look(progress: Progress) -> None:
                nonlocal done
                done = (progress.epoch - 1) * each + progress.step
                if on_progress is not None:
                    on_progress(progress)

            def judge(model: nn.Module) -> dict[str, float]:
                figures, painted = measure(model, loss, shown)
                if on_preview is not None:
                    on_preview(done, to_image(painted))
                return {f"preview_{name}": value for name, value in figures.items()}

            seen = {"style": fingerprint(picture), "content": crops.names, "features": loss.features.fingerprint()}
            return fit(
                network, crops, loss, options=recipe, validate=judge, monitor="loss",
                run_dir=None if run_dir is None else Path(run_dir), resume=resume,
                identity={"config": self.config(), **seen}, save_weights=self._save, on_progress=look,
            )  # fmt: skip

        self._learn((), recipe.seed, learn)
        return self

    @overload
    def transform(
        self, content: list[Source], *, size: int | None = None, strength: float = 1.0, colours: str = "style",
        max_pixels: int = MAX_PIXELS,
    ) -> list[Painting]: ...  # fmt: skip

    @overload
    def transform(
        self, content: Source, *, size: int | None = None, strength: float = 1.0, colours: str = "style",
        max_pixels: int = MAX_PIXELS,
    ) -> Painting: ...  # fmt: skip

    def transform(
        self, content: Source | list[Source], *, size: int | None = None, strength: float = 1.0,
        colours: str = "style", max_pixels: int = MAX_PIXELS,
    ) -> Painting | list[Painting]:  # fmt: skip
        """Paint a picture, or each of a list.

        Args:
            content: As `load_image` takes it, of any size.
            size: Longer side of the painting; None for the content's own. Strokes have the same number of pixels
                whatever the size.
            strength: From 0, the content as it is, to 1, the painting: the two are blended.
            colours: "style", or "luminance" to keep the content's.
            max_pixels: Largest picture that is loaded.

        Raises:
            ModelError: A painter without weights.
            ImageError: A picture that cannot be read, or one that wants more memory than there is: 160 bytes a pixel
                at usual widths.
            UsageError: An option out of range.
        """
        network, options = self._painting(), Options(size, strength, colours)
        settings = {**self.config(), **asdict(options)}
        found = []
        for source in content if isinstance(content, list) else [content]:
            image = load_image(source, max_pixels=max_pixels)
            found.append(Painting(paint(network, image, options).cpu(), [], settings))
        return found if isinstance(content, list) else found[0]

    def transform_frames(
        self,
        frames: Iterable[NDArray[np.uint8]],
        *,
        size: int | None = None,
        strength: float = 1.0,
        colours: str = "style",
        steady: float = 0.8,
    ) -> Iterator[NDArray[np.uint8]]:
        """Paint the pictures of a video one after the other.

        What keeps a video quiet is that every picture is painted by the same network without chance, with statistics
        that follow those of the pictures before. Motion is not followed: strokes stay with the screen where the content
        says nothing.

        Args:
            frames: uint8 (H, W, 3), of one size.
            size: As in `transform`.
            strength: Likewise.
            colours: Likewise.
            steady: Weight of the statistics of the pictures before, in [0, 1); 0 paints each for itself.

        Raises:
            ModelError: A painter without weights.
            UsageError: An option out of range.
        """
        network, options, memory = self._painting(), Options(size, strength, colours), Steady(steady)
        return (to_image(paint(network, load_image(frame), options, memory)) for frame in frames)

    def evaluate(self, style: Source, content: str | Path | Sequence[Source], *, size: int = 256) -> dict[str, float]:
        """Measure paintings as `fit` does, on pictures as they are.

        Args:
            style: That was learned.
            content: A folder, whose sub-folders count, or a list of pictures.
            size: Longer side of the pictures.

        Returns:
            Means over the pictures: "loss" and its parts "content", "style", "tv", weights included, and
            "style_before", the style's part of the pictures before they are painted.

        Raises:
            ModelError: A painter without weights.
            DataError: No pictures.
            UsageError: A size below 64.
        """
        whole("size", size, SHORTEST)
        network, loss = self._painting(), self._loss(load_image(style))
        rows = [measure(network, loss, small(one, size))[0] for one in content_sources(content)]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    def _painting(self) -> FastNetwork:
        return cast(FastNetwork, self._trained())

    def _loss(self, style: NDArray[np.uint8], *, bfloat16: bool = False) -> FastLoss:
        given = self.features
        features = deepcopy(given) if isinstance(given, Features) else load_features(given)
        style_layers = layer_weights(features, self.style_layers, features.style_layers, "style_layers")
        content_layers = layer_weights(features, self.content_layers, features.content_layers, "content_layers")
        weights = Weights(self.content_weight, self.style_weight, self.tv_weight, style_layers, content_layers)
        least = features.least_side(weights.layers)
        if self.crop < least:
            fix = f"pass crop={-(-least // STRIDE) * STRIDE}, or layers before {weights.layers[-1]}"
            raise UsageError(f"crops of at least {least} pixels for {features.name}", str(self.crop), fix)
        return FastLoss(features, weights, style_target(features, weights, style, self.style_size), bfloat16=bfloat16)
