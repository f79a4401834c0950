"""The networks that benchmarks and tests measure, in the shape and with the names of torchvision's where it has them.

Each takes its layers from a kit: `torch.nn` gives the reference, `striate.core.layers` ours, and
`ours.load_state_dict(reference.state_dict())` holds.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside the identity (He et al. 2016, figure 2)."""

    expansion = 1

    def __init__(self, kit: ModuleType, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = kit.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = kit.BatchNorm2d(width)
        self.conv2 = kit.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = kit.BatchNorm2d(width)
        self.relu = kit.ReLU(inplace=True)
        self.downsample = _shortcut(kit, inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(F(x) + x)."""
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride, as torchvision), 1x1 of four times the width, beside the identity (figure 5)."""

    expansion = 4

    def __init__(self, kit: ModuleType, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = kit.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = kit.BatchNorm2d(width)
        self.conv2 = kit.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = kit.BatchNorm2d(width)
        self.conv3 = kit.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = kit.BatchNorm2d(4 * width)
        self.relu = kit.ReLU(inplace=True)
        self.downsample = _shortcut(kit, inputs, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(F(x) + x)."""
        y = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return self.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


def _shortcut(kit: ModuleType, inputs: int, outputs: int, stride: int) -> nn.Module | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(kit.Conv2d(inputs, outputs, 1, stride, bias=False), kit.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """Deep residual learning (He et al. 2016, table 1): (N, 3, H, W) -> (N, classes)."""

    def __init__(
        self,
        kit: ModuleType,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, ...],
        classes: int,
        width: int,
    ) -> None:
        super().__init__()
        self.conv1 = kit.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = kit.BatchNorm2d(width)
        self.relu = kit.ReLU(inplace=True)
        self.maxpool = kit.MaxPool2d(3, 2, 1)
        inputs, stages = width, []
        for i, depth in enumerate(depths):
            blocks = []
            for j in range(depth):
                blocks.append(block(kit, inputs, width * 2**i, 2 if i and not j else 1))
                inputs = width * 2**i * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = kit.AdaptiveAvgPool2d(1)
        self.fc = kit.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def resnet18(kit: ModuleType, classes: int = 1000, width: int = 64) -> nn.Module:
    """ResNet-18: 11.7 M parameters, 1.8 GMAC at 224 x 224."""
    return ResNet(kit, BasicBlock, (2, 2, 2, 2), classes, width)


def resnet50(kit: ModuleType, classes: int = 1000, width: int = 64) -> nn.Module:
    """ResNet-50: 25.6 M parameters, 4.1 GMAC at 224 x 224."""
    return ResNet(kit, Bottleneck, (3, 4, 6, 3), classes, width)


class VGG(nn.Module):
    """Very deep networks (Simonyan and Zisserman 2015, column D): (N, 3, 224, 224) -> (N, classes)."""

    def __init__(self, kit: ModuleType, classes: int, width: int, hidden: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for i, depth in enumerate((2, 2, 3, 3, 3)):
            for _ in range(depth):
                outputs = width * min(2**i, 8)
                layers += [kit.Conv2d(inputs, outputs, 3, padding=1), kit.ReLU(inplace=True)]
                inputs = outputs
            layers.append(kit.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = kit.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            kit.Linear(49 * inputs, hidden), kit.ReLU(inplace=True), kit.Dropout(),
            kit.Linear(hidden, hidden), kit.ReLU(inplace=True), kit.Dropout(), kit.Linear(hidden, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def vgg16(kit: ModuleType, classes: int = 1000, width: int = 64, hidden: int = 4096) -> nn.Module:
    """VGG-16: 138 M parameters, 15.5 GMAC."""
    return VGG(kit, classes, width, hidden)


def _convolutions(
    kit: ModuleType, inputs: int, outputs: int, taps: int, stride: int, groups: int, act: str
) -> list[nn.Module]:
    activation = kit.LeakyReLU(0.1, inplace=True) if act == "leaky" else kit.ReLU(inplace=True)
    conv = kit.Conv2d(inputs, outputs, taps, stride, taps // 2, groups=groups, bias=False)
    return [conv, kit.BatchNorm2d(outputs), activation]


def mobilenet(kit: ModuleType, classes: int = 1000, width: int = 32) -> nn.Module:
    """MobileNet (Howard et al. 2017, table 1): 4.2 M parameters, 0.57 GMAC at 224 x 224."""
    layers, inputs = _convolutions(kit, 3, width, 3, 2, 1, "relu"), width
    for factor, stride in ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), *[(16, 1)] * 5, (32, 2), (32, 1)):
        layers += _convolutions(kit, inputs, inputs, 3, stride, inputs, "relu")
        layers += _convolutions(kit, inputs, width * factor, 1, 1, 1, "relu")
        inputs = width * factor
    return nn.Sequential(*layers, kit.AdaptiveAvgPool2d(1), nn.Flatten(), kit.Linear(inputs, classes))


def tiny_yolo(kit: ModuleType, outputs: int = 125, width: int = 16) -> nn.Module:
    """Tiny YOLOv2 (Redmon and Farhadi 2017): 15.9 M parameters, (N, 3, 416, 416) -> (N, outputs, 13, 13)."""
    layers, inputs = [], 3
    for i in range(6):
        layers += _convolutions(kit, inputs, width * 2**i, 3, 1, 1, "leaky")
        inputs = width * 2**i
        # The sixth pooling has a stride of 1 and keeps 13 x 13 by a row and a column at the end, which must not win:
        # the edge again, which is in the window already. (Zeros, which could, ONNX Runtime fuses away: 5 % off.)
        layers += [kit.MaxPool2d(2)] if i < 5 else [nn.ReplicationPad2d((0, 1, 0, 1)), kit.MaxPool2d(2, 1)]
    for _ in range(2):
        layers += _convolutions(kit, inputs, width * 64, 3, 1, 1, "leaky")
        inputs = width * 64
    return nn.Sequential(*layers, kit.Conv2d(inputs, outputs, 1))


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "ResNet-18": resnet18,
    "ResNet-50": resnet50,
    "VGG-16": vgg16,
    "MobileNet": mobilenet,
    "tiny YOLO": tiny_yolo,
}
