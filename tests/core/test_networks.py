"""Whole networks on the kernels: the reference's weights give the reference's outputs, gradients and statistics."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from striate.benchmarks.networks import NETWORKS
from striate.core import layers, ops

# Narrow and on small pictures: the interpreter takes 0.2 ms an operation, and depth is what is tested.
SIZES = {"ResNet-18": (2, 40), "ResNet-50": (1, 40), "VGG-16": (1, 32), "MobileNet": (2, 33), "tiny YOLO": (1, 64)}
KEYWORDS = {"VGG-16": {"hidden": 16}, "tiny YOLO": {"width": 2}}


def references(name: str) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Return the network in plain torch, in float64, and on our layers, all with the same weights."""
    torch.manual_seed(0)
    keywords = {"width": 4} | KEYWORDS.get(name, {})
    plain = NETWORKS[name](nn, 5, **keywords)
    ours = NETWORKS[name](layers, 5, **keywords)
    ours.load_state_dict(plain.state_dict())
    return plain, copy.deepcopy(plain).double(), ours


def run(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return outputs, gradients and statistics after one step of training mode and one of inference."""
    x = x.clone().requires_grad_()
    torch.manual_seed(1)
    out = network.train(not any(isinstance(m, nn.Dropout) for m in network.modules()))(x)
    out.square().mean().backward()
    found = {"out": out, "x": x.grad, "inference": network.eval()(x.detach())}
    found |= {f"gradient of {name}": p.grad for name, p in network.named_parameters()}
    return found | {name: b for name, b in network.named_buffers() if b.is_floating_point()}


def distance(a: Tensor, b: Tensor) -> float:
    """Return the relative distance of two tensors."""
    return ((a.double() - b.double()).norm() / b.double().norm().clamp(min=1e-30)).item()


@pytest.mark.kernel
@pytest.mark.parametrize("name", NETWORKS)
def test_same_weights_same_outputs_same_gradients(name: str) -> None:
    plain, exact, ours = references(name)
    batch, size = SIZES[name]
    x = torch.randn(batch, 3, size, size)
    with ops.kernels("torch"):
        truth, theirs = run(exact, x.double()), run(plain, x)
    for key, value in run(ours, x).items():
        # No worse than five times torch's own error: batch norm over one or two pictures amplifies rounding from layer
        # to layer, so that no fixed limit would do.
        limit = 5 * distance(theirs[key], truth[key]) + 3e-5
        assert distance(value, truth[key]) < limit, key
