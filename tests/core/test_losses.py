"""The lectures' losses against torch, scikit-learn and by hand, in float64, with both kinds of weights."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import hinge_loss, log_loss
from torch import Tensor

from striate.core import losses
from striate.core.checks import UsageError
from striate.core.layers import Conv2d, Highway, Linear, SeparableConv2d, dilated_conv2d, fill


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SCORES, TARGET = drawn(6, 4), torch.tensor([0, 3, 1, 1, 2, 0])
MAPS, MASKS = drawn(2, 4, 3, 5), torch.arange(30).view(2, 3, 5) % 4
CLASS_WEIGHT = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)
CLASSIFYING = {
    "cross_entropy": losses.cross_entropy,
    "multinomial_logistic": lambda s, t, **k: losses.multinomial_logistic(s.softmax(1), t, **k),
    "infogain": lambda s, t, **k: losses.infogain(s.softmax(1), t, torch.eye(4, dtype=s.dtype), **k),
}


@pytest.mark.parametrize("name", CLASSIFYING)
@pytest.mark.parametrize(("scores", "target"), [(SCORES, TARGET), (MAPS, MASKS)], ids=["image", "pixel"])
def test_three_ways_to_the_log_likelihood(name: str, scores: Tensor, target: Tensor) -> None:
    loss = CLASSIFYING[name]
    torch.testing.assert_close(loss(scores, target), F.cross_entropy(scores, target))
    weighed = F.cross_entropy(scores, target, CLASS_WEIGHT, reduction="none").mean()
    torch.testing.assert_close(loss(scores, target, class_weight=CLASS_WEIGHT), weighed)
    example = drawn(len(scores), seed=1).abs()
    each = F.cross_entropy(scores, target, reduction="none").flatten(1 if scores.dim() > 2 else 0)
    each = each.mean(1) if scores.dim() > 2 else each
    torch.testing.assert_close(loss(scores, target, example_weight=example), (each * example).sum() / example.sum())


def test_cross_entropy_is_stable() -> None:
    scores = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    loss = losses.cross_entropy(scores, torch.tensor([0, 0]))
    loss.backward()
    assert loss.item() == 1e4
    assert scores.grad.isfinite().all()
    assert losses.multinomial_logistic(torch.tensor([[0.0, 1.0]]), torch.tensor([0])).item() == pytest.approx(
        -math.log(1e-20), rel=1e-5
    )


def test_against_scikit_learn() -> None:
    p = SCORES.softmax(1)
    assert losses.multinomial_logistic(p, TARGET).item() == pytest.approx(log_loss(TARGET, p.numpy(), labels=range(4)))
    two = torch.stack((-SCORES[:, 0], SCORES[:, 0]), 1)
    sides = torch.tensor([0, 1, 1, 0, 1, 0])
    # One against all over two mirrored scores counts the binary hinge twice.
    expected = 2 * hinge_loss(2 * sides.numpy() - 1, SCORES[:, 0].numpy())
    assert losses.hinge(two, sides).item() == pytest.approx(expected)


@pytest.mark.parametrize("norm", [1, 2])
def test_hinge_by_hand(norm: int) -> None:
    total = 0.0
    for row, true in zip(SCORES.tolist(), TARGET.tolist(), strict=True):
        for k, score in enumerate(row):
            total += float(CLASS_WEIGHT[k]) * max(0.0, 0.5 - (score if k == true else -score)) ** norm
    got = losses.hinge(SCORES, TARGET, norm=norm, margin=0.5, class_weight=CLASS_WEIGHT)
    assert got.item() == pytest.approx(total / 6)


def test_infogain_pays_for_likely_mistakes() -> None:
    gain = torch.eye(4, dtype=torch.float64)
    gain[1, 2] = 0.5
    p = SCORES.softmax(1)
    expected = np.mean([-float((gain[t] * p[i].log()).sum()) for i, t in enumerate(TARGET.tolist())])
    assert losses.infogain(p, TARGET, gain).item() == pytest.approx(expected)


def test_sigmoid_euclidean_and_smooth_l1_are_torchs() -> None:
    other = drawn(6, 4, seed=2)
    yes = (other > 0).double()
    torch.testing.assert_close(
        losses.sigmoid_cross_entropy(SCORES, yes), 4 * F.binary_cross_entropy_with_logits(SCORES, yes)
    )
    torch.testing.assert_close(losses.euclidean(SCORES, other), 4 * F.mse_loss(SCORES, other) / 2)
    torch.testing.assert_close(losses.smooth_l1(SCORES, other), 4 * F.smooth_l1_loss(SCORES, other))
    torch.testing.assert_close(
        losses.smooth_l1(SCORES, other, sigma=3), 4 * F.smooth_l1_loss(SCORES, other, beta=1 / 9)
    )
    columns = ((SCORES - other).square() * CLASS_WEIGHT / 2).sum(1)
    example = torch.tensor([1.0, 0, 0, 2, 0, 0])
    got = losses.euclidean(SCORES, other, class_weight=CLASS_WEIGHT, example_weight=example)
    torch.testing.assert_close(got, (columns[0] + 2 * columns[3]) / 3)


def test_contrastive_is_a_margin_loss() -> None:
    first, second = drawn(5, 3), drawn(5, 3, seed=3)
    same = torch.tensor([1, 0, 1, 0, 0])
    distance = F.pairwise_distance(first, second, eps=0)
    expected = torch.where(same.bool(), distance**2, (2 - distance).clamp(min=0) ** 2).mean() / 2
    torch.testing.assert_close(losses.contrastive(first, second, same, margin=2), expected)
    equal = first.clone().requires_grad_(True)
    losses.contrastive(equal, first, torch.zeros(5)).backward()
    assert equal.grad.isfinite().all()


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: losses.cross_entropy(x, TARGET, class_weight=CLASS_WEIGHT),
        lambda x: losses.hinge(x, TARGET, norm=2, example_weight=torch.arange(1.0, 7)),
        lambda x: losses.sigmoid_cross_entropy(x, torch.full_like(x, 0.3)),
        lambda x: losses.smooth_l1(x, torch.zeros_like(x), class_weight=CLASS_WEIGHT),
        lambda x: losses.contrastive(x, torch.ones_like(x), TARGET > 1, margin=3),
        lambda x: losses.infogain(x.softmax(1), TARGET, CLASS_WEIGHT.diag()),
    ],
)
def test_gradients(loss) -> None:
    assert torch.autograd.gradcheck(loss, SCORES.clone().requires_grad_(True))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: losses.cross_entropy(SCORES, TARGET[:5]), r"class numbers \(6,\) for scores \(6, 4\)"),
        (lambda: losses.hinge(SCORES, TARGET.double()), "got torch.float64"),
        (lambda: losses.hinge(SCORES, TARGET, norm=3), "norm 1 or 2; got 3"),
        (lambda: losses.infogain(SCORES, TARGET, torch.eye(3)), r"a gain matrix \(4, 4\); got \(3, 3\)"),
        (lambda: losses.euclidean(SCORES, SCORES[:, :2]), r"two tensors \(N, C, ...\) of one shape"),
        (lambda: losses.smooth_l1(SCORES, SCORES, sigma=0), "sigma above 0; got 0"),
        (
            lambda: losses.cross_entropy(SCORES, TARGET, example_weight=torch.ones(4)),
            r"example_weight \(6,\); got \(4,\)",
        ),
    ],
)
def test_bad_input(call, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()


def test_fillers() -> None:
    torch.manual_seed(0)
    layer = Conv2d(50, 40, 5)
    assert fill(layer, "xavier").weight.abs().max().item() <= math.sqrt(6 / (50 * 25 + 40 * 25))
    assert fill(layer, "xavier").weight.std().item() == pytest.approx(math.sqrt(2 / (90 * 25)), rel=0.02)
    assert fill(layer, "he").weight.std().item() == pytest.approx(math.sqrt(2 / (50 * 25)), rel=0.02)
    assert fill(layer, "gaussian", std=0.3, bias=0.1).weight.std().item() == pytest.approx(0.3, rel=0.02)
    assert layer.bias.unique().tolist() == pytest.approx([0.1])
    assert fill(Linear(3, 3), "constant", value=2).weight.unique().tolist() == [2]
    with pytest.raises(UsageError, match="filler to be one of xavier, he, gaussian, constant; got 'msra'"):
        fill(layer, "msra")
    with pytest.raises(UsageError, match="std of 0 or more; got -1"):
        fill(layer, "gaussian", std=-1)


def test_a_highway_carries_and_transforms() -> None:
    layer, x = Highway(5).double(), drawn(3, 5)
    gate = torch.sigmoid(F.linear(x, layer.gate.weight, layer.gate.bias))
    turned = F.linear(x, layer.transform.weight, layer.transform.bias).relu()
    torch.testing.assert_close(layer(x), gate * turned + (1 - gate) * x)
    torch.nn.init.constant_(layer.gate.bias, -50)
    torch.testing.assert_close(layer(x), x)


def test_separable_and_dilated_convolutions() -> None:
    layer = SeparableConv2d(6, 10, stride=2)
    x = torch.randn(2, 6, 9, 8)
    assert layer(x).shape == (2, 10, 5, 4)
    assert sum(p.numel() for p in layer.parameters()) == 6 * 9 + 6 * 10 + 10
    dense = F.conv2d(x, layer.pointwise.weight * layer.depthwise.weight.transpose(0, 1), layer.pointwise.bias, 2, 1)
    torch.testing.assert_close(layer(x), dense, atol=1e-5, rtol=1e-5)
    holes = dilated_conv2d(6, 4, dilation=3)
    assert holes(x).shape == (2, 4, 9, 8)
    torch.testing.assert_close(holes(x), F.conv2d(x, holes.weight, holes.bias, padding=3, dilation=3))
