"""The check before whole networks are timed: it lets bfloat16 through, and nothing else."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn

from striate.benchmarks import whole_networks as whole
from striate.benchmarks.harness import Differs
from striate.benchmarks.networks import resnet18, resnet50, tiny_yolo, vgg16

# Name -> a narrow network and pictures that it takes.
SMALL = {
    "ResNet-50": (partial(resnet50, width=8), 96),
    "tiny YOLO": (partial(tiny_yolo, width=4), 96),
    "VGG-16": (partial(vgg16, width=8, hidden=64), 64),
}


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_agrees_and_a_wrong_network_does_not(name, monkeypatch) -> None:
    build, size = SMALL[name]
    monkeypatch.setitem(whole.NETWORKS, name, build)
    network = whole.settle(whole.reference(name, "cpu"), whole.images(8, size, 2, "cpu"))
    assert not network.training
    x, other = (whole.images(2, size, seed, "cpu") for seed in (0, 1))
    with torch.inference_mode():
        exact = network(x)
        whole.agree("bfloat16", copy.deepcopy(network).bfloat16()(x.bfloat16()), exact)
        whole.disagree(network(other), exact)
        with pytest.raises(Differs, match=f"{name} differs from float32 by"):
            whole.agree(name, network(other), exact)
        broken = copy.deepcopy(network)
        middle = [module for module in broken.modules() if isinstance(module, nn.Conv2d)]
        nn.init.zeros_(middle[0].weight)
        with pytest.raises(Differs):
            whole.agree(name, broken(x), exact)


def test_a_check_that_sees_nothing_is_refused() -> None:
    with pytest.raises(Differs, match=r"another picture differs by 5\.0e-02 only"):
        whole.disagree(torch.tensor([1.05]), torch.tensor([1.0]))


def test_the_first_training_step_is_compared(monkeypatch) -> None:
    monkeypatch.setitem(whole.NETWORKS, "ResNet-18", partial(resnet18, width=16))
    x, target = whole.images(8, 96, 0, "cpu"), torch.arange(8)
    exact = whole.exact_step("ResNet-18", x, target)
    mixed = whole.reference("ResNet-18", "cpu")
    whole.agree_on_step("torch", whole.first_step(mixed, whole.step(mixed, mixed, "torch", x, target)), exact)
    other = whole.exact_step("ResNet-18", whole.images(8, 96, 1, "cpu"), target)
    whole.disagree(other[1], exact[1], whole.GRADIENT_TOLERANCE)
    with pytest.raises(Differs, match="ours's first gradient differs"):
        whole.agree_on_step("ours", (exact[0], other[1]), exact)
    with pytest.raises(Differs, match="ours's first loss differs"):
        whole.agree_on_step("ours", (exact[0] * 1.01, exact[1]), exact)


def test_pictures_are_smooth_and_their_own() -> None:
    a, b = (whole.images(1, 64, seed, "cpu") for seed in (0, 1))
    assert a.is_contiguous(memory_format=torch.channels_last)
    assert whole.apart(a[..., 1:], a[..., :-1]) < 0.3
    assert whole.apart(a, b) > 1


def test_what_a_case_compiled_is_forgotten_even_where_it_failed(monkeypatch) -> None:
    resets = []
    monkeypatch.setattr(torch._dynamo, "reset", lambda: resets.append(1))
    with pytest.raises(Differs):
        whole.fresh(whole.agree, "a", torch.zeros(1), torch.ones(1))
    assert whole.fresh(list) == []
    assert len(resets) == 2
