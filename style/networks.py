"""Trunks whose maps are compared: VGG's of any widths, and SqueezeNet 1.1.

A trunk is called with the names of the maps that are wanted and computes no layer beyond the last of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from ..core import ops
from ..core.checks import UsageError, unknown
from ..core.layers import AvgPool2d, Conv2d, MaxPool2d
from ..core.models.squeezenet import Fire, SqueezeNet

POOLINGS = ("max", "average")
VGG_COUNTS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
VGG_WIDTHS = (64, 128, 256, 512, 512)


class Trunk(nn.Module):
    """What all trunks tell of their maps.

    Attributes:
        channels: Of each map, by name, in the order in which they are computed.
        strides: Pixels of the picture to one of the map.
    """

    channels: dict[str, int]
    strides: dict[str, int]

    def check(self, names: Iterable[str]) -> None:
        """Raise UsageError for the name of a map that there is not."""
        for name in names:
            if name not in self.channels:
                raise unknown("layer", name, self.channels)

    def map_size(self, name: str, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of a map for pictures of a size."""
        return height // self.strides[name], width // self.strides[name]

    def pool(self, pooling: str, window: int, ceil_mode: bool = False) -> nn.Module:
        """Make a pooling layer of stride 2; UsageError for an unknown one."""
        if pooling not in POOLINGS:
            raise unknown("pooling", pooling, POOLINGS)
        if pooling == "max":
            return MaxPool2d(window, 2, ceil_mode=ceil_mode)
        return AvgPool2d(window, 2, ceil_mode=ceil_mode)


class VggTrunk(Trunk):
    """The convolutions of a VGG (Simonyan and Zisserman 2015): "relu1_1" to "relu5_4", "pool1" to "pool5".

    Average pooling is the choice of Gatys, Ecker and Bethge 2015 (section 2).

    Args:
        widths: Channels of each block.
        counts: Convolutions of each block.
        pooling: "max" or "average".
        padding_mode: Of all convolutions, as torch.nn.Conv2d takes it.
        first_padding: Of the first one; None for the same. Zeros draw a frame around the picture.
    """

    def __init__(
        self,
        widths: Sequence[int] = VGG_WIDTHS,
        counts: Sequence[int] = VGG_COUNTS["vgg19"],
        *,
        pooling: str = "max",
        padding_mode: str = "zeros",
        first_padding: str | None = None,
    ) -> None:
        super().__init__()
        if len(widths) != len(counts) or min((*widths, *counts), default=0) < 1:
            raise UsageError("as many widths as counts, all above 0", f"{widths}, {counts}", "pass five of each")
        self.channels, self.strides = {}, {}
        layers: dict[str, nn.Module] = {}
        before = 3
        for block, (width, count) in enumerate(zip(widths, counts, strict=True), 1):
            for number in range(1, count + 1):
                mode = padding_mode if layers or first_padding is None else first_padding
                layers[f"relu{block}_{number}"] = Conv2d(before, width, 3, padding=1, padding_mode=mode)  # type: ignore[arg-type]
                before = width
            layers[f"pool{block}"] = self.pool(pooling, 2)
            for name in [*layers][-count - 1 :]:
                self.channels[name], self.strides[name] = width, 2 ** (block - (name[0] == "r"))
        self.layers = nn.ModuleDict(layers)

    def forward(self, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """Compute maps (N, C, H, W) of normalized pictures (N, 3, H, W)."""
        wanted, x = set(names), images
        found: dict[str, Tensor] = {}
        for name, layer in self.layers.items():
            if len(found) == len(wanted):
                break
            x = layer(x)
            if name[0] == "r":
                x = ops.activation(x, "relu", inplace=True)  # a convolution's input gradient needs no output
            if name in wanted:
                found[name] = x
        return found


class SqueezeTrunk(Trunk):
    """SqueezeNet 1.1 (Iandola et al. 2016) without its classifier: "relu1", "fire2" to "fire9".

    Args:
        pooling: "max" or "average".
    """

    def __init__(self, *, pooling: str = "max") -> None:
        super().__init__()
        plain = SqueezeNet("1.1", classes=1)
        names = {path.removeprefix("features."): name for name, path in plain.maps.items()}
        self.channels, self.strides, self.ends = {}, {}, {}
        width, stride = 64, 2
        layers: list[nn.Module] = []
        for i, layer in enumerate(plain.features):
            pooled = isinstance(layer, nn.MaxPool2d)
            layers.append(self.pool(pooling, 3, ceil_mode=True) if pooled else layer)
            stride *= 2 if pooled else 1
            width = 8 * layer.squeeze.out_channels if isinstance(layer, Fire) else width
            if str(i) in names:
                name = names[str(i)]
                self.channels[name], self.strides[name], self.ends[name] = width, stride, i
        self.features = nn.Sequential(*layers)

    def map_size(self, name: str, height: int, width: int) -> tuple[int, int]:
        """Return (height, width): the first convolution loses a side, poolings take what is left over as a cell."""
        sides = []
        for side in (height, width):
            side = (side - 3) // 2 + 1
            for _ in range(self.strides[name].bit_length() - 2):
                side = -(-(side - 3) // 2) + 1
            sides.append(side)
        return sides[0], sides[1]

    def forward(self, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """Compute maps (N, C, H, W) of normalized pictures (N, 3, H, W)."""
        wanted = {self.ends[name]: name for name in names}
        found, x = {}, images
        for i in range(max(wanted) + 1):
            x = self.features[i](x)
            if i in wanted:
                found[wanted[i]] = x
        return found
