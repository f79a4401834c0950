"""LeNet-5 exactly as in 1998, and the networks for small pictures."""

import pytest
import torch
from torch import nn

from striate.core.checks import UsageError
from striate.core.models import summarize
from striate.core.models.lenet import DIGITS, TABLE_I, LeNet5
from striate.core.models.small import Mlp, SmallNet


def test_lenet_of_1998() -> None:
    network = LeNet5()
    counts = {name: sum(p.numel() for p in layer.parameters()) for name, layer in network.named_children()}
    counted = {name: count for name, count in counts.items() if count}
    assert counted == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48120, "f6": 10164}
    assert sum(map(len, TABLE_I)) == 60
    assert [len(sources) for sources in TABLE_I] == [3] * 6 + [4] * 9 + [6]
    shapes = {row.name: row.shape for row in summarize(network, (1, 32, 32)).rows}
    assert shapes["c1"] == (6, 28, 28)
    assert shapes["s2"] == (6, 14, 14)
    assert shapes["c3"] == (16, 10, 10)
    assert shapes["s4"] == (16, 5, 5)
    assert shapes["c5"] == (120, 1, 1)
    fields = {row.name: row.receptive_field for row in summarize(network, (1, 32, 32)).rows}
    assert [fields[name] for name in ("c1", "s2", "c3", "s4", "c5")] == [5, 6, 14, 16, 32]


def test_third_layer_of_lenet_reads_only_its_table() -> None:
    c3 = LeNet5().c3
    x = torch.randn(2, 6, 14, 14)
    dense = nn.Conv2d(6, 16, 5)
    with torch.no_grad():
        dense.weight.zero_()
        number = 0
        for to, sources in enumerate(TABLE_I):
            for source in sources:
                dense.weight[to, source] = c3.weight[number]
                number += 1
        dense.bias.copy_(c3.bias)
    torch.testing.assert_close(c3(x), dense(x))


def test_radial_basis_scores_are_negated_distances() -> None:
    output = LeNet5().output
    assert output.codes.shape == (10, 84)
    assert set(output.codes.unique().tolist()) == {-1.0, 1.0}
    assert len(set(DIGITS)) == 10
    scores = output(output.codes)
    assert scores.argmax(1).tolist() == list(range(10))
    assert scores.diagonal().abs().max() == 0
    assert LeNet5(classes=26).output.codes.shape == (26, 84)


def test_whitening_gives_patches_of_variance_one() -> None:
    torch.manual_seed(0)
    images = 4 * torch.randn(200, 3, 8, 8).cumsum(2).cumsum(3)  # so that LEAST_VARIANCE is small beside them
    network = SmallNet(10)
    network.start(images)
    white = network.whiten(images) - network.whiten.bias[:, None, None]
    flat = white[:, :12, ::2, ::2].permute(1, 0, 2, 3).flatten(1)
    covariance = (flat - flat.mean(1, keepdim=True)).cov()
    torch.testing.assert_close(covariance, torch.eye(12), atol=0.05, rtol=0)
    torch.testing.assert_close(network.whiten.weight[:12], -network.whiten.weight[12:])
    assert not network.whiten.weight.requires_grad


def test_weights_of_a_linear_classifier_are_templates() -> None:
    network = Mlp(4, 3, 8, hidden=())
    templates = network.templates()
    assert templates.shape == (4, 3, 8, 8)
    with torch.no_grad():
        network.layers[0].bias.zero_()
    image = templates[2] / templates[2].norm()
    assert network(image[None]).argmax() == 2


def test_a_residual_of_two_in_each_group() -> None:
    network = SmallNet(widths=(8, 16), depth=3).eval()
    group, x = network.group2, torch.randn(2, 8, 10, 10)
    before = group.act1(group.norm1(group.pool(group.conv1(x))))
    expected = torch.nn.functional.silu(group.norm3(group.conv3(group.act2(group.norm2(group.conv2(before))))) + before)
    torch.testing.assert_close(group(x), expected)
    assert sum(p.numel() for p in SmallNet(depth=3).parameters()) == 3_190_466
    with pytest.raises(UsageError, match="a depth of 2 or 3 convolutions in a group; got 4"):
        SmallNet(depth=4)
