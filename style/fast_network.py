"""The network that paints in one pass: Johnson, Alahi and Fei-Fei 2016, with the norms of Ulyanov et al. 2016.

    picture, grain -> 9x9 -> 3x3 / 2 -> 3x3 / 2 -> residual blocks -> twice: enlarge, 3x3 -> 9x9 -> sigmoid -> painting

Each convolution but the last is followed by an instance norm: what a map weighs in a picture, its contrast, is the
style's and not the content's. Differs from Johnson et al. because maps are enlarged by repeating and then convolved:
transposed convolutions of stride 2 cover some pixels more often than others, which is seen as a chequerboard (Odena et
al. 2016); because the sigmoid's range is that of the pixels; and because a fourth channel comes with the picture, of
noise, as Ulyanov et al. 2016 ("Texture Networks") have it: from a flat sky alone no strokes could be made.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..core import ops
from ..core.checks import UsageError, whole
from ..core.layers import Conv2d

STRIDE = 4
LEAST = 4 * STRIDE
"""Smallest side of pictures in training: the residual blocks see 4 x 4 of them."""


SEED = 0
"""Of the grain that paintings are made with: the same picture gives the same painting, and a video stands still."""


class InstanceNorm2d(nn.InstanceNorm2d):
    """`torch.nn.InstanceNorm2d` of a picture's own statistics, through `ops.batch_norm`."""

    def forward(self, input: Tensor) -> Tensor:
        count = input.shape[0]
        alike = input.reshape(1, -1, *input.shape[2:])
        weight, bias = self.weight.repeat(count), self.bias.repeat(count)
        return ops.batch_norm(alike, weight, bias, None, None, True, 0.0, self.eps).view_as(input)


class Stage(nn.Module):
    """Enlarge, convolve over mirrored edges, normalize, activate: (N, before, H, W) -> (N, after, ..., ...).

    Args:
        before: Channels that come.
        after: Channels that go.
        window: Side of the convolution, odd.
        stride: Of the convolution.
        enlarge: Each pixel is repeated so many times down and along.
        norm: Whether an instance norm follows; the convolution has no bias then, which the norm would take away.
        activation: One of `ops.ACTIVATIONS`, or None.
    """

    def __init__(
        self, before: int, after: int, window: int, *, stride: int = 1, enlarge: int = 1, norm: bool = True,
        activation: str | None = "relu",
    ) -> None:  # fmt: skip
        super().__init__()
        half = window // 2
        self.conv = Conv2d(before, after, window, stride, half, bias=not norm, padding_mode="reflect")
        self.norm = InstanceNorm2d(after, affine=True) if norm else None
        self.enlarge, self.activation = enlarge, activation

    def forward(self, x: Tensor) -> Tensor:
        """Compute the maps, in training; `fast_strips` computes them of pictures of any size."""
        x = self.conv(ops.upsample(x, self.enlarge) if self.enlarge > 1 else x)
        x = x if self.norm is None else self.norm(x)
        return x if self.activation is None else ops.activation(x, self.activation)


class Residual(nn.Module):
    """x + norm(conv(relu(norm(conv(x)))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = Stage(channels, channels, 3), Stage(channels, channels, 3, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the maps."""
        return x + self.second(self.first(x))


class FastNetwork(nn.Module):
    """Pictures (N, 3, H, W) in [0, 1] -> paintings of the same shape; sides are multiples of 4, at least 16.

    Args:
        widths: Channels at full, half and a quarter of the size.
        blocks: Residual blocks.

    Raises:
        UsageError: Not three widths, or a number that is not whole and above 0.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64), blocks: int = 5) -> None:
        super().__init__()
        if len(widths) != 3:
            raise UsageError("three widths, at full, half and a quarter of the size", f"{widths}", "pass (16, 32, 64)")
        for width in widths:
            whole("widths", width)
        whole("blocks", blocks)
        full, half, quarter = widths
        self.layers = nn.Sequential(
            Stage(4, full, 9),
            Stage(full, half, 3, stride=2),
            Stage(half, quarter, 3, stride=2),
            *(Residual(quarter) for _ in range(blocks)),
            Stage(quarter, half, 3, enlarge=2),
            Stage(half, full, 3, enlarge=2),
            Stage(full, 3, 9, norm=False, activation="sigmoid"),
        )

    def forward(self, images: Tensor, grain: Tensor | None = None) -> Tensor:
        """Paint a batch, in training.

        Args:
            images: (N, 3, H, W).
            grain: (N, 1, H, W) in [0, 1]; None draws it.
        """
        grain = torch.rand_like(images[:, :1]) if grain is None else grain
        found: Tensor = self.layers(with_grain(images, grain))
        return found.to(images.dtype)


def with_grain(images: Tensor, grain: Tensor) -> Tensor:
    """Return what the first layer takes, around 0: pictures (N, 3, H, W), and grain (N or 1, 1, H, W) in [0, 1]."""
    return torch.cat((images, grain.to(images).expand(len(images), -1, -1, -1)), 1) - 0.5


def usual_grain(height: int, width: int) -> Tensor:
    """Return the grain of paintings, float32 (1, 1, H, W) in [0, 1]."""
    return torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(SEED))
