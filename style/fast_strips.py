"""`FastNetwork` on pictures of any size: layer by layer, each in strips of rows.

An instance norm asks for the mean of the whole picture, so that tiles that go through all layers one after the other
would be painted each in its own contrast. Here a layer is computed of all strips before the next one begins: what comes
out is the whole picture's, whatever the strips, and beside two maps only one strip with its margins is in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core import ops
from ..core.checks import UsageError, fraction
from .fast_network import FastNetwork, Residual, Stage, usual_grain, with_grain

STRIP = 2**22
"""Numbers that a strip has, of the larger of what a layer takes and gives: 16 MiB."""


@dataclass
class Steady:
    """Statistics of the pictures before, so that a video does not flicker as things come and go.

    Attributes:
        weight: Of what came before, in [0, 1); 0 is each picture for itself.
        kept: (mean, variance) (N, C) of each norm in order.

    Raises:
        UsageError: A weight out of range.
    """

    weight: float
    kept: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        fraction("steady", self.weight)
        if self.weight == 1:
            raise UsageError("steady below 1", "1", "no picture after the first would count; pass 0.8, say")

    def mixed(self, number: int, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Return the statistics of a norm with those before, and keep them."""
        if number == len(self.kept):
            self.kept.append((mean, variance))
        old_mean, old_variance = self.kept[number]
        self.kept[number] = (mean.lerp(old_mean, self.weight), variance.lerp(old_variance, self.weight))
        return self.kept[number]


class _Painter:
    """One pass of the network over a batch."""

    def __init__(self, strip: int, steady: Steady | None) -> None:
        self.strip, self.steady, self.norms = strip, steady, 0

    def layer(self, layer: nn.Module, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Compute a layer whose maps have a size."""
        if isinstance(layer, Residual):
            return self.stage(layer.second, self.stage(layer.first, x, size), size).add_(x)
        assert isinstance(layer, Stage)
        return self.stage(layer, x, size)

    def stage(self, stage: Stage, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Convolve strip by strip, take the statistics of the whole, then finish strip by strip."""
        found = x.new_empty(x.shape[0], stage.conv.out_channels, *size)
        widest = max(found.shape[1], x.shape[1] * int(stage.conv.stride[0]) ** 2)
        step = max(1, self.strip // (x.shape[0] * widest * size[1]))
        spans = [slice(start, min(start + step, size[0])) for start in range(0, size[0], step)]
        for rows in spans:
            found[:, :, rows] = ops.conv2d(_seen(stage, x, rows, size), stage.conv.weight, None, stage.conv.stride)
        scale, shift = self._affine(stage, found)
        for rows in spans:
            part = found[:, :, rows]
            part.mul_(scale).add_(shift) if scale is not None else part.add_(shift)
            if stage.activation is not None:
                part.copy_(ops.activation(part, stage.activation))
        return found

    def _affine(self, stage: Stage, maps: Tensor) -> tuple[Tensor | None, Tensor]:
        """Take the mean from maps; return what they are multiplied by, None for nothing, and what is added then."""
        if stage.norm is None:
            assert stage.conv.bias is not None
            return None, stage.conv.bias[:, None, None]
        mean = own = maps.mean((2, 3))
        # Twice the speed of torch.var_mean on a CPU, and as exact: the mean is gone before anything is squared.
        variance = torch.linalg.vector_norm(maps.sub_(own[:, :, None, None]), dim=(2, 3)).square() / maps[0, 0].numel()
        if self.steady is not None:
            mean, variance = self.steady.mixed(self.norms, mean, variance)
        self.norms += 1
        scale = stage.norm.weight / (variance + stage.norm.eps).sqrt()
        return scale[:, :, None, None], (stage.norm.bias + (own - mean) * scale)[:, :, None, None]


@torch.no_grad()
def paint_in_strips(
    network: FastNetwork,
    images: Tensor,
    grain: Tensor | None = None,
    *,
    strip: int = STRIP,
    steady: Steady | None = None,
) -> Tensor:
    """Paint pictures of any size from 16 pixels a side.

    Args:
        network: On the device of the pictures.
        images: float32 (N, 3, H, W) in [0, 1].
        grain: float32 (N or 1, 1, H, W) in [0, 1]; None takes `usual_grain`.
        strip: Numbers in a strip; the answer does not depend on it.
        steady: Of the pictures before, changed in place; None for no pictures before.

    Returns:
        float32 (N, 3, H, W) in [0, 1].
    """
    size = (int(images.shape[2]), int(images.shape[3]))
    painter, x = _Painter(strip, steady), with_grain(images, usual_grain(*size) if grain is None else grain)
    sizes = [size]
    for layer in network.layers:
        if isinstance(layer, Stage) and layer.conv.stride[0] > 1:
            size = (-(-size[0] // 2), -(-size[1] // 2))
            sizes.append(size)
        if isinstance(layer, Stage) and layer.enlarge > 1:
            sizes.pop()
            size = sizes[-1]
        x = painter.layer(layer, x, size)
    return x


def bytes_per_pixel(network: FastNetwork) -> float:
    """Return what painting takes for each pixel: the maps beside the widest layer, picture, grain and painting.

    A residual block holds three maps of a sixteenth of the pixels: what it was given, its first and its second.
    """
    full, half, quarter = (int(network.layers[i].conv.out_channels) for i in range(3))  # type: ignore[union-attr, arg-type]
    return 4 * (max(full + half / 4, 3 * quarter / 16) + 4 * 4)


def _seen(stage: Stage, x: Tensor, rows: slice, size: tuple[int, int]) -> Tensor:
    """Return what the convolution sees for some rows of what it gives, mirrored at the picture's edges."""
    half, stride, enlarge = int(stage.conv.padding[0]), int(stage.conv.stride[0]), stage.enlarge
    height, width = size if enlarge > 1 else x.shape[2:]
    first, last = rows.start * stride - half, (rows.stop - 1) * stride + half + 1
    right = (size[1] - 1) * stride + half + 1 - width
    top, bottom = max(0, first), min(last, height)
    found = x[:, :, top // enlarge : -(-bottom // enlarge)]
    if enlarge > 1:
        found = ops.upsample(found, enlarge)[:, :, top % enlarge :][:, :, : bottom - top, :width]
    return F.pad(found, (half, max(0, right), top - first, last - bottom), mode="reflect")
