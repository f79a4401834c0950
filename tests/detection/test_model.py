"""The network: shapes, size, centres of the cells, start as rare objects."""

import pytest
import torch

from striate.core.checks import UsageError
from striate.core.models.darknet import Darknet
from striate.detection.model import BINS, SIZES, YoloNet, anchor_points, expected_boxes, flatten_maps


@pytest.mark.parametrize(("size", "millions"), [("n", 2.5), ("s", 6.0)])
def test_shapes_and_parameters(size: str, millions: float) -> None:
    network = YoloNet(3, size).eval()
    with torch.inference_mode():
        maps = network(torch.rand(1, 3, 64, 96))
    assert [m.classes.shape for m in maps] == [(1, 3, 8, 12), (1, 3, 4, 6), (1, 3, 2, 3)]
    assert [m.distances.shape[1] for m in maps] == [4 * BINS] * 3
    assert sum(p.numel() for p in network.parameters()) < millions * 1e6


def test_unknown_size_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"size to be one of n, s; got 'm'"):
        YoloNet(3, "m")


def test_backbone_names_its_maps() -> None:
    backbone = Darknet()
    maps = backbone(torch.rand(1, 3, 64, 64))
    for name, x in maps.items():
        assert x.shape == (1, backbone.channels[name], 64 // backbone.strides[name], 64 // backbone.strides[name])
    assert list(maps) == ["stage1", "stage2", "stage3", "stage4", "stage5"]


def test_centres_and_strides_follow_the_maps() -> None:
    maps = YoloNet(1).eval()(torch.rand(1, 3, 32, 64))
    points, strides = anchor_points(maps)
    assert points[0].tolist() == [4, 4]
    assert points[1].tolist() == [12, 4]  # x runs first
    assert points[-1].tolist() == [48, 16]
    assert strides[:, 0].tolist() == [8] * 32 + [16] * 8 + [32] * 2


def test_flattened_order_is_that_of_the_centres() -> None:
    network = YoloNet(2).eval()
    maps = network(torch.rand(1, 3, 32, 64))
    _, classes = flatten_maps(maps)
    assert torch.equal(classes[0, 9], maps[0].classes[0, :, 1, 1])  # cell x=1, y=1 of a map 8 wide
    assert torch.equal(classes[0, 32 + 5], maps[1].classes[0, :, 1, 1])


def test_expected_box_of_a_sure_distribution() -> None:
    logits = torch.full((1, 4, BINS), -30.0)
    for side, distance in enumerate((1, 2, 3, 4)):
        logits[0, side, distance] = 30
    box = expected_boxes(torch.tensor([[100.0, 50.0]]), torch.tensor([[8.0]]), logits)
    torch.testing.assert_close(box, torch.tensor([[92.0, 34, 124, 82]]))


def test_starts_as_if_objects_were_rare() -> None:
    torch.manual_seed(0)
    _, classes = flatten_maps(YoloNet(3).eval()(torch.rand(1, 3, 64, 64)))
    assert classes.sigmoid().mean() < 0.05


def test_all_sizes_are_listed() -> None:
    assert set(SIZES) == {"n", "s"}
