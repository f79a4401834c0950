"""FCN-32s, 16s and 8s (Long, Shelhamer and Darrell 2015) over the core's classifiers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.checks import ModelError, UsageError
from ..core.layers import Conv2d, ConvTranspose2d
from ..core.models import MODELS, build, feature_maps
from ..core.tracing import Tracer
from .convolutional import convolutionalize

PROBE = 256
"""Side of the picture whose maps tell the strides: 2^8, so that rounding in a stem does not matter."""


class MapInfo(NamedTuple):
    """A named map of a backbone: its channels, and pixels of the picture between two of its own."""

    name: str
    channels: int
    stride: int


class Crop(nn.Module):
    """Cut a map to the size of another, or repeat its last row and column where a backbone rounded up."""

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """Return (N, C, h, w) of the other's height and width."""
        down, along = other.shape[2] - x.shape[2], other.shape[3] - x.shape[3]
        x = x[:, :, : other.shape[2], : other.shape[3]]
        return F.pad(x, (0, max(along, 0), 0, max(down, 0)), mode="replicate") if max(down, along) > 0 else x


class Fcn(nn.Module):
    """(N, C, H, W) -> scores (N, classes, H / scale, W / scale).

    The classifier's hidden linear layers become convolutions (`convolutionalize`); a 1x1 scores its last map at stride
    32; FCN-16s adds the scores of a map at stride 16 to twice their size, FCN-8s those at 8: of the last pooling there,
    or the last map where a backbone does not pool. Score layers start at 0, deconvolutions as bilinear resizing, and
    are learned (sections 4.2 and 4.3). Dropout is where the classifier has it. A backbone that stops at a smaller
    stride is scored from there on.

    Differs from the paper: windows are padded by half instead of 100 pixels around the picture, which add a third of
    work at 500 pixels and are cut off again; the last, fixed deconvolution is `PixelNet`'s resizing, which is the same
    but at the border, where zeros would be mixed in.

    Maps are laid over each other and over the picture from corner to corner, which is where they are in backbones that
    pad by half: VGG, GoogLeNet, ResNet, DenseNet, MobileNet. Convolutions and poolings without padding begin further
    in: the cells of AlexNet's maps lie 3.5 pixels off at stride 8 and 7.5 at 16, SqueezeNet's 5.5 and 9.5, and so do
    the edges that are found with them, until the score layers have learned some of it.

    Args:
        classes: Number of classes.
        in_channels: Of the pictures.
        scale: Stride of the finest map that is scored: 32, 16 or 8.
        backbone: A key of `core.models.MODELS`.
        options: The backbone's own keywords.

    Raises:
        UsageError: A scale that FCN does not have, or a backbone without a map at this stride.
    """

    head = "classes"
    stride = 32

    def __init__(
        self,
        classes: int,
        in_channels: int = 3,
        scale: int = 8,
        backbone: str = "vgg16",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if scale not in (8, 16, 32):
            raise UsageError("scale 8, 16 or 32", repr(scale), "choose one of them")
        self.scale, self.name, self.options = scale, backbone, {"in_channels": in_channels, **(options or {})}
        found, self.least = backbone_maps(backbone, self.options)
        self.used = [info for stride in (32, 16, 8) if stride >= scale for info in _at(found, stride)]
        if not _at(found, scale):
            have = sorted({info.stride for info in found})
            fix = "choose a backbone such as vgg16 or resnet18, or a smaller scale"
            raise UsageError(f"a backbone with a map at stride {scale}", f"{backbone!r} with strides {have}", fix)
        whole = convolutional_backbone(build(backbone, 2, **self.options), backbone)
        self.backbone = feature_maps(whole, [info.name for info in self.used])
        layers: dict[str, nn.Module] = {}
        for info in self.used:
            score = Conv2d(info.channels, classes, 1)
            nn.init.zeros_(score.weight)
            nn.init.zeros_(score.bias)  # type: ignore[arg-type]
            layers[f"score{info.stride}"] = score
            if info.stride > scale:
                layers[f"up{info.stride}"] = bilinear_deconvolution(classes)
        self.classes, self.crop = nn.ModuleDict(layers), Crop()

    def forward(self, images: Tensor) -> Tensor:
        """Compute the scores."""
        maps = self.backbone(images)
        scores = None
        for info in self.used:
            here = self.classes[f"score{info.stride}"](maps[info.name])
            scores = here if scores is None else self.crop(scores, here) + here
            if info.stride > self.scale:
                scores = self.classes[f"up{info.stride}"](scores)
        assert scores is not None
        return scores

    def borrow(self, classifier: nn.Module) -> Fcn:
        """Take the weights of a trained classifier of the same kind, all but its last layer; returns itself.

        Raises:
            ModelError: A classifier of another kind.
        """
        whole = convolutional_backbone(classifier, self.name).state_dict()
        mine = self.backbone.state_dict()
        other = [name for name in mine if name not in whole or whole[name].shape != mine[name].shape]
        if other:
            expected = f"a classifier {self.name!r} with options {self.options}"
            raise ModelError(expected, f"one without {', '.join(other[:3])}", "pass the network it was built from")
        self.backbone.load_state_dict({name: whole[name] for name in mine})
        return self


def convolutional_backbone(network: nn.Module, name: str) -> nn.Module:
    """Turn hidden linear layers, if a classifier has any, into padded convolutions."""
    if not _hidden(network):
        return network.eval()
    side = MODELS[name].image_size
    return convolutionalize(network.eval(), (side, side), same=True)


def backbone_maps(name: str, options: Mapping[str, Any]) -> tuple[list[MapInfo], int]:
    """Return the named maps of a classifier, and the smallest side of a picture that it takes, a multiple of 32.

    Where a classifier has hidden linear layers, what its last layer reads is the last map. Computed without values, on
    torch's "meta" device.
    """
    with torch.device("meta"):
        network = build(name, 2, **options)
        whole = convolutional_backbone(network, name)
        names = [*getattr(network, "maps", {}), *_hidden(network)]
        part = feature_maps(whole, names)
        maps = part(torch.zeros(1, options["in_channels"], PROBE, PROBE))
        least = next(side for side in range(32, PROBE + 1, 32) if _takes(part, options["in_channels"], side))
    return [MapInfo(n, maps[n].shape[1], 2 ** round(math.log2(PROBE / maps[n].shape[2]))) for n in names], least


def _takes(network: nn.Module, channels: int, side: int) -> bool:
    """Whether a picture of that side leaves at least a pixel of every map."""
    try:
        network(torch.zeros(1, channels, side, side, device="meta"))
    except RuntimeError:
        return False
    return True


def bilinear_deconvolution(classes: int) -> ConvTranspose2d:
    """Return a deconvolution that doubles maps (N, classes, h, w) and starts as bilinear resizing, each class alone.

    Its 4x4 filter is the outer product of (1, 3, 3, 1) / 4 with itself.
    """
    layer = ConvTranspose2d(classes, classes, 4, stride=2, padding=1, bias=False)
    taps = torch.tensor((0.25, 0.75, 0.75, 0.25), device=layer.weight.device)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(classes, device=taps.device)[:, :, None, None] * torch.outer(taps, taps))
    return layer


def _hidden(network: nn.Module) -> list[str]:
    """Name the layer that a classifier's last one reads, where linear layers stand before that; else nothing."""
    modules = dict(network.named_modules())
    nodes = [node for node in Tracer().trace(network).nodes if node.op == "call_module"]
    linear = [node for node in nodes if isinstance(modules[str(node.target)], nn.Linear)]
    return [str(linear[-1].all_input_nodes[0].target)] if len(linear) > 1 else []


def _at(maps: list[MapInfo], stride: int) -> list[MapInfo]:
    """Return the map to score at a stride, if there is one: behind the last hidden layer or pooling, or the last."""
    found = [info for info in maps if info.stride == stride]
    behind = [info for info in found if info.name.startswith(("pool", "classifier"))]
    return (behind or found)[-1:]
