"""Texture synthesis: a picture of any size with the Gram matrices of another (Gatys et al., NeurIPS 2015)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..core.checks import UsageError
from .features import SHIPPED, Features
from .inputs import Layers
from .losses import mixed
from .objective import Objective, Region
from .paint import Canvas, Job, OnStep, paint
from .painting import Painting
from .transfer import StyleTransfer

LARGEST_SIDE = 16384


class TextureSynthesis(StyleTransfer):
    """Makes more of a texture, of any size, from noise.

        TextureSynthesis(seed=1).fit("grass.png").transform(512, 768).save("more.png")

    Args:
        smallest: See `StyleTransfer`, as for all that follow.
        steps: At the coarsest scale.
        tv_weight: Of smoothness.
        texture_scale: Size of the texture's pictures, relative to their own, at the last scale.
        features: A name or file for `load_features`, or what it returned.
        pooling: "max", "average", or None for the network's own.
        normalized: Weigh the channels so that each has mean 1 over the textures.
        layers: Names, or names with weights; None for the features' own.
        optimizer: "lbfgs" or "adam".
        rate: Of the optimizer; None for its own.
        tile: Side of tiles; None for tiles only where the memory asks for them.
        memory_gb: That may be taken; None for a share of what is free.
        precision: Of the maps, "fp32", "bf16" or "auto".
        seed: Of the noise: another seed, another picture.
        device: "cpu" or "cuda".
    """

    def __init__(
        self,
        *,
        smallest: int = 64,
        steps: int = 200,
        tv_weight: float = 0.0,
        texture_scale: float = 1.0,
        features: str | Path | Features = SHIPPED,
        pooling: str | None = None,
        normalized: bool = False,
        layers: Layers = None,
        optimizer: str = "lbfgs",
        rate: float | None = None,
        tile: int | None = None,
        memory_gb: float | None = None,
        precision: str = "auto",
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.texture_scale, self.layers = texture_scale, layers
        keywords: dict[str, Any] = {
            "smallest": smallest, "steps": steps, "tv_weight": tv_weight, "style_scale": texture_scale,
            "features": features, "pooling": pooling, "normalized": normalized, "style_layers": layers,
            "optimizer": optimizer, "rate": rate, "tile": tile, "memory_gb": memory_gb, "precision": precision,
            "seed": seed, "device": device,
        }  # fmt: skip
        super().__init__(size=None, init="noise", content_weight=0.0, style_weight=1.0, **keywords)

    def transform(  # type: ignore[override]
        self,
        height: int,
        width: int,
        *,
        on_step: OnStep | None = None,
        every: int = 1,
        state: Mapping[str, Any] | None = None,
    ) -> Painting:
        """Make a picture of (height, width); on_step, every and state as `StyleTransfer.transform` has them.

        Raises:
            UsageError: Nothing fitted, a size that is too small or too large, or the state of another picture.
        """
        if not self.styles_:
            raise UsageError("a texture", "none", "call fit(texture) first")
        if max(height, width) > LARGEST_SIDE:
            raise UsageError(f"sides up to {LARGEST_SIDE}", f"{height} x {width}", "make it smaller and resize it")
        canvases = self._canvases(height, width)
        weights = self._weights()
        job = Job(
            self.features_,
            weights.layers,
            canvases,
            start=self._noise,
            objective=lambda number, tile: Objective(
                self.features_, weights, None, [Region(None, self._target(canvases, number))], tile=tile
            ),
            finish=lambda pixels: pixels,
            optimizer=self.optimizer,
            rate=self.rate,
            tile=self.tile,
            memory=self._budget(),
            settings={**self._settings(), "height": height, "width": width},
        )
        return paint(job, on_step, every, state)

    def _target(self, canvases: tuple[Canvas, ...], number: int) -> dict[str, Tensor]:
        """Return the Gram matrices for a scale: the texture shrinks with the canvas, whatever the canvas' size."""
        factor = canvases[number].height / canvases[-1].height
        sides = [max(1, round(max(style.shape[:2]) * factor)) for style in self.styles_]
        return mixed([self._styles.at(i, side) for i, side in enumerate(sides)], self.weights_)
