"""Networks by name: sizes, scales, starts, and what is refused."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from striate.core.checks import ModelError, UsageError
from striate.core.classifier import Classifier
from striate.core.datasets.masks import MaskDataset
from striate.core.optimize import optimize
from striate.segmentation.model import NETWORKS, borrow, build_network, statistics
from striate.segmentation.pyramid import SIZES, Pyramid


def made(name: str, **keywords: object) -> torch.nn.Module:
    torch.manual_seed(0)
    keywords = keywords or ({"backbone": "resnet18"} if NETWORKS[name].backbone else {"options": {"size": "n"}})
    network = build_network(name, 5, **keywords)  # type: ignore[arg-type]
    for parameter in network.network.network.classes.parameters():  # type: ignore[union-attr, operator]
        torch.nn.init.normal_(parameter, std=0.05)
    return network


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_scores_are_as_large_as_the_picture_and_half_in_training(name: str) -> None:
    network = made(name)
    x = torch.rand(2, 3, 64, 96)
    assert network.train()(x).shape == (2, 5, 32, 48)
    scores = network.eval()(x)
    assert scores.shape == (2, 5, 64, 96)
    inner = network.network.network  # type: ignore[union-attr]
    coarse = inner(network.normalize(x))  # type: ignore[operator]
    expected = F.interpolate(coarse, size=(64, 96), mode="bilinear", align_corners=False)
    torch.testing.assert_close(scores, expected)


@pytest.mark.parametrize("name", ["pyramid", "fcn8s"])
def test_the_fast_copy_computes_the_same(name: str) -> None:
    network = made(name).eval()
    x = torch.rand(1, 3, 96, 64)
    with torch.inference_mode():
        expected = network(x)
    torch.testing.assert_close(optimize(network, x)(x), expected, atol=1e-4, rtol=1e-4)


def test_sizes_are_what_they_say() -> None:
    with torch.device("meta"):
        counts = {size: sum(p.numel() for p in Pyramid(11, size=size).parameters()) for size in SIZES}
    assert {size: round(count / 1e6, 1) for size, count in counts.items()} == {"n": 0.6, "s": 3.2}


def test_a_fine_pyramid_scores_at_half_the_size_and_sees_the_stem() -> None:
    torch.manual_seed(0)
    network = Pyramid(3, size="n", fine=True).eval()
    assert network.scale == 2
    seen = []
    network.steps[3].lateral.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        assert network(x).shape == (1, 3, 32, 48)
        torch.testing.assert_close(seen[0], network.stem(x))


def test_what_a_pixel_sees_is_bounded() -> None:
    """No layer averages over the whole picture, or tiles could not agree with it."""
    torch.manual_seed(0)
    network = Pyramid(2, size="n").eval()
    x = torch.rand(1, 3, 64, 1536)
    y = x.clone()
    y[:, :, :, 1400:] = 0
    with torch.inference_mode():
        first, second = network(x), network(y)
    assert torch.equal(first[..., :150], second[..., :150])
    assert not torch.equal(first, second)


def test_backbone_and_options_reach_their_network() -> None:
    with torch.device("meta"):
        fcn = build_network("fcn16s", 3, backbone="vgg11", options={"dropout": 0.1}).network.network
        assert fcn.backbone.get_submodule("classifier.5").p == 0.1  # type: ignore[union-attr, operator]
        assert fcn.scale == 16  # type: ignore[union-attr]
        assert build_network("fcn32s", 3).network.network.name == "vgg16"  # type: ignore[union-attr]


def test_what_networks_refuse() -> None:
    with pytest.raises(UsageError, match=r"network to be one of pyramid, fcn32s.*'fcn4s'"):
        build_network("fcn4s", 3)
    with pytest.raises(UsageError, match=r"a backbone for fcn32s, fcn16s, fcn8s; got backbone 'vgg16' for 'pyramid'"):
        build_network("pyramid", 3, backbone="vgg16")
    with pytest.raises(UsageError, match=r"options of 'pyramid'; got .*depth"):
        build_network("pyramid", 3, options={"depth": 3})
    with pytest.raises(UsageError, match=r"size to be one of n, s; got 'x'"):
        build_network("pyramid", 3, options={"size": "x"})


def test_classifiers_to_start_from() -> None:
    classifier = Classifier(names=("a", "b"), network="resnet18", image_size=32)
    with pytest.raises(ModelError, match="a classifier with weights; got one that was never trained"):
        borrow(build_network("fcn32s", 3, backbone="resnet18"), classifier)
    with pytest.raises(UsageError, match="an FCN to start from a classifier; got Pyramid; pass network='fcn8s'"):
        borrow(build_network("pyramid", 3, options={"size": "n"}), classifier)


def test_statistics_are_those_of_the_pixels() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (7, 9, 3)).astype(np.uint8), np.full((20, 3, 3), (10, 20, 30), np.uint8)]
    mean, std = statistics(MaskDataset(pictures, [p[:, :, 0] % 2 for p in pictures], ("a", "b")))
    pixels = np.concatenate([p.reshape(-1, 3) for p in pictures]) / 255
    np.testing.assert_allclose(mean, pixels.mean(0), atol=1e-4)
    np.testing.assert_allclose(std, pixels.std(0), atol=1e-4)
    grey = [np.full((4, 4, 3), 128, np.uint8)]
    assert min(statistics(MaskDataset(grey, [np.zeros((4, 4), np.uint8)], ("a", "b")))[1]) > 0
