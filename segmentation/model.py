"""Networks by name, and what each becomes: pictures in [0, 1] whose sides fit its stride, to scores of every pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from ..core import ops
from ..core.checks import ModelError, UsageError, unknown
from ..core.class_network import Normalized
from ..core.classifier import Classifier
from ..core.datasets.masks import MaskDataset
from .fcn import Fcn
from .pyramid import Pyramid

BACKBONE = "vgg16"
"""Long et al. 2015, section 4.1: the best of the three they tried."""


class Kind(NamedTuple):
    """A kind of network.

    Attributes:
        make: Takes `classes`, and the network's own keywords.
        backbone: It stands on a classifier of `core.models`, its keyword `backbone`.
    """

    make: Callable[..., nn.Module]
    backbone: bool = False


NETWORKS: dict[str, Kind] = {
    "pyramid": Kind(Pyramid),
    **{f"fcn{scale}s": Kind(partial(Fcn, scale=scale), backbone=True) for scale in (32, 16, 8)},
}
"""Networks by name. Each has `stride`, of which sides of pictures are multiples, `least`, the smallest side, and
`classes`, the layers that depend on the classes."""

TRAINED_AT = 2
"""In training scores come at half the size. A step of "pyramid" at 352 x 480 takes 127 ms a picture on one core of an
EPYC with AVX512-BF16, in place of 171 at full size."""

LOOKED_AT = 500
"""Pictures that mean and standard deviation are taken from, evenly spread."""


class Resize(nn.Module):
    """Bring scores to the size of the pictures, or in training to a part of it; bilinear, and not learned."""

    def forward(self, scores: Tensor, images: Tensor) -> Tensor:
        """Return (N, classes, H, W), in training (N, classes, H / 2, W / 2)."""
        step = TRAINED_AT if self.training else 1
        return ops.upsample(scores, size=(images.shape[2] // step, images.shape[3] // step), mode="bilinear")


class PixelNet(nn.Module):
    """A network whose scores are brought to the size of its pictures: (N, C, H, W) -> (N, classes, H, W)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.resize = network, Resize()
        self.stride, self.least = int(cast(int, network.stride)), int(cast(int, network.least))

    def forward(self, images: Tensor) -> Tensor:
        """Compute the scores."""
        return self.resize(self.network(images), images)


def build_network(
    name: str,
    classes: int,
    mean: Iterable[float] = (0.0, 0.0, 0.0),
    std: Iterable[float] = (1.0, 1.0, 1.0),
    *,
    backbone: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Normalized:
    """Make a network by name, with random weights; it takes pictures in [0, 1].

    Args:
        name: A key of `NETWORKS`.
        classes: Number of classes.
        mean: Of the channels, subtracted.
        std: Of the channels, divided by.
        backbone: A key of `core.models.MODELS`, for the networks that stand on one; None is `BACKBONE`.
        options: The network's own keywords; for one with a backbone, the backbone's.

    Raises:
        UsageError: An unknown name, a backbone where none goes, or options that the network does not have.
    """
    if name not in NETWORKS:
        raise unknown("network", name, NETWORKS)
    kind = NETWORKS[name]
    if backbone is not None and not kind.backbone:
        known = ", ".join(other for other in NETWORKS if NETWORKS[other].backbone)
        raise UsageError(f"a backbone for {known}", f"backbone {backbone!r} for {name!r}", "leave one of them out")
    keywords = {"backbone": backbone or BACKBONE, "options": options} if kind.backbone else dict(options or {})
    try:
        network = kind.make(classes, **keywords)
    except TypeError as error:
        raise UsageError(f"options of {name!r}", str(error), "see its class in striate.segmentation") from error
    net = PixelNet(network.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    return Normalized(net, mean, std)


def borrow(network: Normalized, classifier: Classifier) -> None:
    """Let an FCN start with the weights of a trained classifier.

    Raises:
        UsageError: A network without a backbone.
        ModelError: A classifier without weights, or of another kind.
    """
    inner = cast(PixelNet, network.network).network
    if not isinstance(inner, Fcn):
        raise UsageError("an FCN to start from a classifier", type(inner).__name__, "pass network='fcn8s'")
    if classifier.network_ is None:
        raise ModelError("a classifier with weights", "one that was never trained", "fit or load it first")
    inner.borrow(cast(Normalized, classifier.network_).network)


def statistics(dataset: MaskDataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of the channels over the pixels of pictures in [0, 1], to four digits."""
    sums = np.zeros((3, 3))  # number, sum and sum of squares
    for index in range(0, len(dataset), -(-len(dataset) // LOOKED_AT)):
        levels = np.arange(256) / 255
        for channel, plane in enumerate(np.moveaxis(dataset.image(index), 2, 0)):
            counts = np.bincount(plane.ravel(), minlength=256)
            sums[:, channel] += counts.sum(), counts @ levels, counts @ levels**2
    mean = sums[1] / sums[0]
    std = np.sqrt(np.maximum(sums[2] / sums[0] - mean**2, 0))
    return tuple(np.round(mean, 4).tolist()), tuple(np.maximum(np.round(std, 4), 1 / 255).tolist())
