"""ResNet, ResNeXt, and both with squeeze-and-excitation; named as torchvision's.

He, Zhang, Ren and Sun 2016; Xie, Girshick, Dollar, Tu and He 2017; Hu, Shen and Sun 2018.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from ..checks import UsageError, unknown
from ..layers import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Linear, MaxPool2d, ReLU, Sigmoid

BLOCKS = {
    18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3),
}  # fmt: skip


class SqueezeExcitation(nn.Module):
    """Weigh each channel by what the whole map says (Hu et al. 2018, figure 2): (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.avgpool = AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = Conv2d(channels, channels // reduction, 1), Conv2d(channels // reduction, channels, 1)
        self.activation, self.scale_activation = ReLU(), Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Squeeze, excite, scale."""
        return x * self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside the identity (He et al. 2016, figure 5 left)."""

    expansion = 1

    def __init__(self, before: int, width: int, stride: int, *, plain: bool, excite: bool, **_: object) -> None:
        super().__init__()
        self.conv1, self.bn1 = Conv2d(before, width, 3, stride, 1, bias=False), BatchNorm2d(width)
        self.conv2, self.bn2 = Conv2d(width, width, 3, 1, 1, bias=False), BatchNorm2d(width)
        self.relu1, self.relu2 = ReLU(), ReLU()
        self.se = SqueezeExcitation(width) if excite else None
        self.downsample = None if plain else _shortcut(before, width, stride)
        self.plain = plain

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(F(x) + x), or relu(F(x)) in a plain network."""
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return _join(self, y, x, self.relu2)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 of four times the width, beside the identity (figure 5 right)."""

    expansion = 4

    def __init__(
        self, before: int, width: int, stride: int, *, plain: bool, excite: bool, groups: int, base: int, first: bool
    ) -> None:
        super().__init__()
        inner = width * base // 64 * groups
        strides = (stride, 1) if first else (1, stride)
        self.conv1, self.bn1 = Conv2d(before, inner, 1, strides[0], bias=False), BatchNorm2d(inner)
        self.conv2 = Conv2d(inner, inner, 3, strides[1], 1, groups=groups, bias=False)
        self.bn2 = BatchNorm2d(inner)
        self.conv3, self.bn3 = Conv2d(inner, 4 * width, 1, bias=False), BatchNorm2d(4 * width)
        self.relu1, self.relu2, self.relu3 = ReLU(), ReLU(), ReLU()
        self.se = SqueezeExcitation(4 * width) if excite else None
        self.downsample = None if plain else _shortcut(before, 4 * width, stride)
        self.plain = plain

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(F(x) + x), or relu(F(x)) in a plain network."""
        y = self.relu2(self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x))))))
        return _join(self, self.bn3(self.conv3(y)), x, self.relu3)


class ResNet(nn.Module):
    """(N, C, 224, 224) -> (N, classes).

    Args:
        depth: 18 or 34 with basic blocks; 50, 101 or 152 with bottlenecks.
        classes: Number of classes.
        in_channels: Of the pictures.
        groups: Of the bottlenecks' 3x3, ResNeXt's cardinality.
        base: Channels of a group where the block's width is 64: 64, or 4 for ResNeXt 32x4d and 8 for 32x8d.
        excite: Squeeze-and-excitation at the end of every block.
        stride_first: A bottleneck's stride is in its first 1x1, as He et al. have it; torchvision's is in the 3x3.
        plain: Leave out all shortcuts: the paper's plain networks.
        small: A 3x3 stem without pooling, for pictures of 32 pixels.
    """

    head = "fc"
    maps: ClassVar[dict[str, str]] = {name: name for name in ("relu", "layer1", "layer2", "layer3", "layer4")}

    def __init__(
        self,
        depth: int = 50,
        classes: int = 1000,
        in_channels: int = 3,
        groups: int = 1,
        base: int = 64,
        excite: bool = False,
        stride_first: bool = False,
        plain: bool = False,
        small: bool = False,
    ) -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise unknown("depth", str(depth), map(str, BLOCKS))
        if depth < 50 and (groups, base, stride_first) != (1, 64, False):
            got = f"groups {groups}, base {base}, stride_first {stride_first} at depth {depth}"
            raise UsageError("groups, base and stride_first for bottlenecks, depth 50 and more", got, "leave them out")
        block: type[BasicBlock] | type[Bottleneck] = BasicBlock if depth < 50 else Bottleneck
        stem = (3, 1, 1) if small else (7, 2, 3)
        self.conv1, self.bn1, self.relu = Conv2d(in_channels, 64, *stem, bias=False), BatchNorm2d(64), ReLU()
        self.maxpool = nn.Identity() if small else MaxPool2d(3, 2, 1)
        before = 64
        for stage, count in enumerate(BLOCKS[depth]):
            width, blocks = 64 * 2**stage, []
            for number in range(count):
                stride = 2 if stage and number == 0 else 1
                blocks.append(
                    block(
                        before, width, stride, plain=plain, excite=excite, groups=groups, base=base, first=stride_first
                    )
                )
                before = width * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool, self.fc = AdaptiveAvgPool2d(1), Linear(before, classes)
        for module in self.modules():
            if isinstance(module, Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Compute the scores."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(self.avgpool(x).flatten(1))


def _shortcut(before: int, after: int, stride: int) -> nn.Module | None:
    if stride == 1 and before == after:
        return None
    return nn.Sequential(Conv2d(before, after, 1, stride, bias=False), BatchNorm2d(after))


def _join(block: BasicBlock | Bottleneck, y: Tensor, x: Tensor, relu: nn.Module) -> Tensor:
    if block.se is not None:
        y = block.se(y)
    if block.plain:
        return relu(y)
    return relu(y + (x if block.downsample is None else block.downsample(x)))
