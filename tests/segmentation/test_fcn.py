"""FCN: starts as the paper says, fuses what it says, over any backbone."""

from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from striate.core.checks import ModelError, UsageError
from striate.core.layers import Conv2d, Dropout, Linear, MaxPool2d, ReLU
from striate.core.models import MODELS, Model, build
from striate.segmentation.fcn import Crop, Fcn, bilinear_deconvolution


def small(scale: int = 8, **keywords: object) -> Fcn:
    torch.manual_seed(0)
    return Fcn(5, scale=scale, backbone="resnet18", **keywords).eval()  # type: ignore[arg-type]


def fill(network: Fcn) -> Fcn:
    for name, parameter in network.classes.named_parameters():
        if "score" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return network


@torch.inference_mode()
def test_deconvolution_starts_as_bilinear_resizing() -> None:
    x = torch.randn(2, 3, 6, 7)
    ours = bilinear_deconvolution(3)(x)
    theirs = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    assert ours.shape == theirs.shape
    # At the border the deconvolution mixes in zeros, resizing repeats the last pixel.
    torch.testing.assert_close(ours[:, :, 1:-1, 1:-1], theirs[:, :, 1:-1, 1:-1], atol=1e-6, rtol=0)


@torch.inference_mode()
def test_scores_start_at_zero_and_layers_that_are_learned_are_there() -> None:
    network = small()
    assert not network(torch.rand(1, 3, 64, 96)).any()
    assert list(network.classes) == ["score32", "up32", "score16", "up16", "score8"]
    assert list(small(16).classes) == ["score32", "up32", "score16"]
    assert list(small(32).classes) == ["score32"]
    assert all(parameter.requires_grad for parameter in network.parameters())


@torch.inference_mode()
def test_finer_nets_add_finer_scores() -> None:
    """FCN-8s = score8 + up(score16 + up(score32)), written out with torch."""
    network = fill(small())
    x = torch.rand(1, 3, 96, 64)
    maps = network.backbone(x)
    score = {s: network.classes[f"score{s}"](maps[f"layer{i}"]) for s, i in ((32, 4), (16, 3), (8, 2))}
    up = {s: network.classes[f"up{s}"].weight for s in (32, 16)}
    mid = F.conv_transpose2d(score[32], up[32], stride=2, padding=1) + score[16]
    expected = F.conv_transpose2d(mid, up[16], stride=2, padding=1) + score[8]
    assert expected.shape == (1, 5, 12, 8)
    torch.testing.assert_close(network(x), expected)


def test_vgg_is_scored_where_the_paper_scores_it() -> None:
    with torch.device("meta"):
        network = Fcn(21, backbone="vgg16")
        assert network(torch.zeros(1, 3, 64, 96)).shape == (1, 21, 8, 12)
    assert [(info.name, info.channels, info.stride) for info in network.used] == [
        ("classifier.5", 4096, 32), ("pool4", 512, 16), ("pool3", 256, 8),
    ]  # fmt: skip
    # 134.5 M in Long et al. 2015, table 2 (VGG-16's 138.4 M, without fc8, with the scores)
    assert 134.2e6 < sum(p.numel() for p in network.parameters()) < 134.6e6


@pytest.mark.parametrize(
    ("backbone", "strides", "least"),
    [
        ("alexnet", [32, 16, 8], 64),
        ("googlenet", [32, 16, 8], 32),
        ("mobilenet", [32, 16, 8], 32),
        ("squeezenet1.1", [16, 8], 32),
        ("small", [8], 32),
    ],
)
def test_backbones_of_every_family(backbone: str, strides: list[int], least: int) -> None:
    with torch.device("meta"):
        network = Fcn(5, backbone=backbone)
        for size in ((least, least), (128, 224)):
            scores = network(torch.zeros(2, 3, *size))
            assert scores.shape[:2] == (2, 5)
            assert all(abs(side - whole / 8) <= 1 for side, whole in zip(scores.shape[2:], size, strict=True))
    assert [info.stride for info in network.used] == strides
    assert network.least == least


@torch.inference_mode()
def test_a_trained_classifier_gives_its_weights() -> None:
    torch.manual_seed(1)
    classifier = build("resnet18", 9)
    network = small().borrow(classifier)
    theirs = classifier.state_dict()
    mine = network.backbone.state_dict()
    assert all(torch.equal(t, theirs[name]) for name, t in mine.items())
    with pytest.raises(ModelError, match=r"a classifier 'resnet18' with options.*one without conv1"):
        small().borrow(build("mobilenet", 9))


class Tiny(nn.Module):
    """A classifier of 64 x 64 pixels with a hidden linear layer, at a thousandth of VGG's size."""

    head = "classifier.3"
    maps: ClassVar[dict[str, str]] = {f"pool{i + 1}": f"features.{3 * i + 2}" for i in range(5)}

    def __init__(self, classes: int, in_channels: int = 3) -> None:
        super().__init__()
        layers = [(Conv2d(4 if i else in_channels, 4, 3, 1, 1), ReLU(), MaxPool2d(2)) for i in range(5)]
        self.features = nn.Sequential(*(layer for three in layers for layer in three))
        self.classifier = nn.Sequential(Linear(4 * 2 * 2, 6), ReLU(), Dropout(), Linear(6, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).flatten(1))


@torch.inference_mode()
def test_hidden_layers_of_a_classifier_come_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "tiny", Model(Tiny, 64))
    torch.manual_seed(0)
    classifier = Tiny(9).eval()
    network = Fcn(4, backbone="tiny").eval().borrow(classifier)
    assert [info.name for info in network.used] == ["classifier.2", "pool4", "pool3"]
    x = torch.rand(1, 3, 64, 64)
    read = network.backbone(x)["classifier.2"]
    assert read.shape == (1, 6, 3, 3)  # windows of 2 x 2, padded by 1
    torch.testing.assert_close(read[0, :, 1, 1], classifier.classifier[:3](classifier.features(x).flatten(1))[0])


def test_maps_of_unlike_size_are_cut_or_repeated() -> None:
    x = torch.arange(6.0).view(1, 1, 2, 3)
    assert Crop()(x, torch.zeros(1, 1, 1, 2)).tolist() == [[[[0, 1]]]]
    assert Crop()(x, torch.zeros(1, 1, 3, 4)).tolist() == [[[[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5]]]]
    assert Crop()(x, torch.zeros(1, 1, 3, 2)).tolist() == [[[[0, 1], [3, 4], [3, 4]]]]


def test_what_fcn_does_not_have() -> None:
    with pytest.raises(UsageError, match="scale 8, 16 or 32; got 4; choose one"):
        Fcn(5, scale=4)
    with pytest.raises(
        UsageError, match=r"a map at stride 32; got 'small' with strides \[2, 4, 8\]; choose a backbone"
    ):
        Fcn(5, scale=32, backbone="small")
