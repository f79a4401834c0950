"""Networks on the core's layers, by name; each names its feature maps (`feature_maps`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from ..checks import unknown
from .alexnet import AlexNet, AlexNet2012
from .densenet import DenseNet
from .features import feature_maps
from .googlenet import GoogLeNet
from .lenet import LeNet, LeNet5
from .mobilenet import MobileNet, MobileNetV2
from .resnet import ResNet
from .small import Mlp, SmallNet
from .squeezenet import SqueezeNet
from .strided import StridedNet
from .summary import Summary, summarize
from .vgg import Vgg

__all__ = ["MODELS", "Model", "Summary", "build", "feature_maps", "summarize"]

IMAGENET = 224 / 256
"""Share of the shorter side that ImageNet's networks are shown: the middle 224 pixels of 256."""


class Model(NamedTuple):
    """A network that classifies pictures.

    Attributes:
        make: Takes `classes`, `in_channels` and the network's own keywords.
        image_size: Side of the pictures it is made for.
        channels: Of the pictures it is made for.
        shown: Share of a picture's shorter side that is shown to it; above 1 it sees zeros around the picture.
        sized: It is made for one size, its keyword `image_size`.
        scale: Mean and standard deviation by which its pictures are normalized; None takes the training pictures'.
    """

    make: Callable[..., nn.Module]
    image_size: int = 224
    channels: int = 3
    shown: float = IMAGENET
    sized: bool = False
    scale: tuple[float, float] | None = None


INK = (0.1 / 1.275, 1 / 1.275)
"""Background -0.1 and ink 1.175, as in 1998 (section II.B): with the digits of MNIST about mean 0, variance 1."""

MODELS: dict[str, Model] = {
    "lenet5-1998": Model(LeNet5, 32, 1, 32 / 28, scale=INK),
    "lenet5": Model(LeNet, 28, 1, 1.0),
    "linear": Model(partial(Mlp, hidden=()), 28, 1, 1.0, sized=True),
    "mlp": Model(Mlp, 28, 1, 1.0, sized=True),
    "small": Model(SmallNet, 32, 3, 1.0),
    "strided": Model(StridedNet, 28, 1, 1.0, sized=True),
    "alexnet": Model(AlexNet),
    "alexnet-2012": Model(AlexNet2012, 227, 3, 227 / 256),
    **{f"vgg{depth}": Model(partial(Vgg, depth)) for depth in (11, 13, 16, 19)},
    **{f"vgg{depth}-bn": Model(partial(Vgg, depth, norm=True)) for depth in (11, 13, 16, 19)},
    "googlenet": Model(GoogLeNet),
    **{f"resnet{depth}": Model(partial(ResNet, depth)) for depth in (18, 34, 50, 101, 152)},
    **{f"resnext{depth}-32x4d": Model(partial(ResNet, depth, groups=32, base=4)) for depth in (50, 101)},
    **{f"se-resnet{depth}": Model(partial(ResNet, depth, excite=True)) for depth in (18, 34, 50, 101, 152)},
    **{
        f"se-resnext{depth}-32x4d": Model(partial(ResNet, depth, groups=32, base=4, excite=True)) for depth in (50, 101)
    },
    "densenet121": Model(DenseNet),
    "squeezenet1.0": Model(partial(SqueezeNet, "1.0"), 227, 3, 227 / 256),
    "squeezenet1.1": Model(partial(SqueezeNet, "1.1")),
    "mobilenet": Model(MobileNet),
    "mobilenet-v2": Model(MobileNetV2),
}


def build(
    name: str, classes: int, in_channels: int | None = None, image_size: int | None = None, **keywords: Any
) -> nn.Module:
    """Make a network by name, with random weights.

    Args:
        name: A key of `MODELS`.
        classes: Number of classes.
        in_channels: Of the pictures; None takes the network's own.
        image_size: Side of the pictures; only networks that are made for one size ask for it.
        keywords: The network's own, such as `widths` of "small".

    Raises:
        UsageError: An unknown name.
    """
    if name not in MODELS:
        raise unknown("network", name, MODELS)
    if MODELS[name].sized and image_size is not None:
        keywords["image_size"] = image_size
    return MODELS[name].make(classes=classes, in_channels=in_channels or MODELS[name].channels, **keywords)
