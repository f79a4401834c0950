"""The loss of one scale: targets are measured once, then it is a function of pixels.

Pictures too large for the memory are computed in tiles (`windows`). A tile's maps are thrown away once its part of the
Gram matrices is known and computed again for the gradient, a third more work, so that the memory is that of one tile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .colours import grey
from .features import Features
from .losses import LEAST, grams, mixed, relative, squares, total_variation
from .windows import Window, check_tiles, windows

Grams = dict[str, Tensor]


@dataclass(frozen=True)
class Weights:
    """How much each part counts.

    Attributes:
        content: Of the content, over its layers' own weights.
        style: Of the style, likewise.
        tv: Of total variation.
        style_layers: Layer -> weight; they are made to sum to 1.
        content_layers: Likewise.
        strength: 0 asks for the content's own Gram matrices, 1 for the style's, between them for their mixture.
    """

    content: float
    style: float
    tv: float
    style_layers: Mapping[str, float]
    content_layers: Mapping[str, float]
    strength: float = 1.0

    @property
    def layers(self) -> list[str]:
        """All layers that have to be computed."""
        style = self.style_layers if self.style else {}
        content = self.content_layers if self.content else {}
        return [*dict.fromkeys((*style, *content))]


class Region(NamedTuple):
    """Where a style goes.

    Attributes:
        mask: float (1, 1, H, W) in [0, 1], or None for everywhere.
        target: Gram matrices over pixels.
    """

    mask: Tensor | None
    target: Grams


class Objective:
    """Pixels (1, 3, H, W) -> {"content": ..., "style relu1_1": ..., "tv": ...}, weights included.

    Args:
        features: Whose maps are compared.
        weights: Of the parts.
        content: (1, 3, H, W) in [0, 1]; None for textures.
        regions: Styles and where they go.
        tile: Side of the tiles; None computes the whole picture at once.
        monochrome: Look at the pixels without their colours; content and regions are grey then.

    Raises:
        UsageError: Tiles of a network whose maps do not begin at multiples of its stride.
    """

    def __init__(
        self,
        features: Features,
        weights: Weights,
        content: Tensor | None,
        regions: Sequence[Region],
        *,
        tile: int | None = None,
        monochrome: bool = False,
    ) -> None:
        if tile is not None:
            check_tiles(features.trunk, features.name)
        self.features, self.weights, self.tile, self.monochrome = features, weights, tile, monochrome
        self.strides = {name: features.trunk.strides[name] for name in weights.layers}
        self.regions = list(regions) if weights.style else []
        self.style = [*weights.style_layers] if self.regions else []
        self.masks: list[dict[str, Tensor]] = [{} for _ in self.regions]
        self.targets: dict[str, Tensor] = {}
        if content is not None:
            self._measure(content)

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        """Compute the parts of the loss; their sum is what is descended on."""
        weights, losses = self.weights, {}
        pixels = grey(pixels) if self.monochrome else pixels
        found, content = self._parts(pixels)
        if self.targets:
            losses["content"] = weights.content * content
        areas = [pixels.new_ones(()) if r.mask is None else r.mask.mean() for r in self.regions]
        for name in self.style:
            share = weights.style * weights.style_layers[name] / sum(weights.style_layers.values())
            parts = [relative(g[name], r.target[name]) for g, r in zip(found, self.regions, strict=True)]
            weighted = [area * part for area, part in zip(areas, parts, strict=True)]
            losses[f"style {name}"] = share * torch.stack(weighted).sum() / torch.stack(areas).sum()
        if weights.tv:
            losses["tv"] = weights.tv * total_variation(pixels)
        return losses

    @torch.no_grad()
    def grams(self, pixels: Tensor) -> list[Grams]:
        """Return each region's Gram matrices over its pixels, computed in the tiles of the loss."""
        return self._parts(pixels)[0]

    @torch.no_grad()
    def _measure(self, content: Tensor) -> None:
        names = [*self.weights.content_layers] if self.weights.content else []
        rows: dict[int, list[dict[str, Tensor]]] = {}
        for window in self._windows(content) if names else ():
            rows.setdefault(window.rows.start, []).append(self._maps(content, window, names))
        whole = [{name: torch.cat([part[name] for part in row], 3) for name in names} for row in rows.values()]
        targets = {name: torch.cat([row[name] for row in whole], 2) for name in names}
        if self.weights.strength < 1 and self.regions:
            own = self.grams(content)
            share = self.weights.strength
            self.regions = [
                Region(region.mask, mixed((region.target, gram), (share, 1 - share)))
                for region, gram in zip(self.regions, own, strict=True)
            ]
        self.targets = targets

    def _parts(self, pixels: Tensor) -> tuple[list[Grams], Tensor]:
        """Return each region's Gram matrices over pixels, and the content's loss."""
        windows = self._windows(pixels)
        again = len(windows) > 1 and torch.is_grad_enabled()
        parts = [
            checkpoint(self._window, pixels, window, use_reentrant=False, preserve_rng_state=False)
            if again
            else self._window(pixels, window)
            for window in windows
        ]
        *sums, content = (torch.stack(same).sum(0) for same in zip(*parts, strict=True))
        found = []
        for i in range(len(self.regions)):
            own = zip(self.style, sums[i * len(self.style) :], strict=False)
            found.append({name: gram / self._count(pixels, i, name) for name, gram in own})
        return found, content

    def _window(self, pixels: Tensor, window: Window) -> tuple[Tensor, ...]:
        """Return, of one tile, the sums of every region and layer, and its part of the content's loss."""
        maps = self._maps(pixels, window, [*dict.fromkeys((*self.style, *self.targets))])
        found: list[Tensor] = []
        for i, region in enumerate(self.regions):
            own = {name: maps[name] for name in self.style}
            masks = None
            if region.mask is not None:
                masks = {name: window.cut(self._mask(i, name, pixels), self.strides[name]) for name in self.style}
            found += grams(own, self.features.turns, masks).values()
        content = pixels.new_zeros(())
        for name, target in self.targets.items():
            share = self.weights.content_layers[name] / sum(self.weights.content_layers.values())
            away = squares(maps[name] - window.cut(target, self.strides[name]))
            content = content + share * away / squares(target).clamp_min(LEAST)
        return (*found, content)

    def _maps(self, pixels: Tensor, window: Window, names: Sequence[str]) -> dict[str, Tensor]:
        seen = pixels[:, :, window.outer_rows, window.outer_columns]
        maps = self.features(seen.contiguous(memory_format=torch.channels_last), names)
        return {name: window.inner(found, self.strides[name]) for name, found in maps.items()}

    def _mask(self, region: int, name: str, pixels: Tensor) -> Tensor:
        """Return a region's mask in a layer's size; made once."""
        if name not in self.masks[region]:
            mask = self.regions[region].mask
            assert mask is not None
            self.masks[region][name] = F.interpolate(mask, self._size(pixels, name), mode="area")
        return self.masks[region][name]

    def _count(self, pixels: Tensor, region: int, name: str) -> Tensor | int:
        if self.regions[region].mask is not None:
            return self._mask(region, name, pixels).sum().clamp_min(LEAST)
        height, width = self._size(pixels, name)
        return height * width

    def _size(self, pixels: Tensor, name: str) -> tuple[int, int]:
        return self.features.trunk.map_size(name, pixels.shape[2], pixels.shape[3])

    def _windows(self, pixels: Tensor) -> list[Window]:
        return windows(pixels.shape[2], pixels.shape[3], self.tile, max(self.strides.values()))


def measured(features: Features, style_layers: Mapping[str, float], picture: Tensor, tile: int | None) -> Grams:
    """Return a picture's Gram matrices over pixels.

    Args:
        features: Whose maps.
        style_layers: Names of the maps; their weights do not matter.
        picture: (1, 3, H, W) in [0, 1].
        tile: Side of the tiles that it is computed in, or None.

    Raises:
        UsageError: Tiles of a network whose maps do not begin at multiples of its stride.
    """
    weights = Weights(0.0, 1.0, 0.0, style_layers, {})
    return Objective(features, weights, None, [Region(None, {})], tile=tile).grams(picture)[0]
