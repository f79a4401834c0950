"""The kernels on an NVIDIA GPU: every family against float64, every tile of the tables, determinism, streams of steps.

What the interpreter cannot show: tf32, real bfloat16, several programs at once, compiled code. Not yet run on a GPU.
"""

from __future__ import annotations

import pytest
import torch

from striate.core import layers, ops
from striate.core.testing import assert_exact_enough, results

pytestmark = pytest.mark.gpu

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=["fp32", "fp16", "bf16"])

# (image, filters, taps, keywords)
CASES = {
    **{f"{n} filters, full device": ((8, n, 56, 56), n, 3, {"padding": 1}) for n in (128, 64, 32, 16)},
    "1x1": ((4, 256, 28, 28), 64, 1, {}),
    "stride 2": ((4, 64, 56, 55), 128, 3, {"stride": 2, "padding": 1}),
    "pictures": ((4, 3, 112, 111), 64, 7, {"stride": 2, "padding": 3}),
    "small map": ((1, 512, 7, 7), 512, 3, {"padding": 1}),
    "dilation": ((2, 64, 28, 28), 64, 3, {"padding": 2, "dilation": 2}),
    "channels not a multiple of 8": ((2, 20, 26, 26), 255, 1, {}),
    "groups": ((2, 128, 28, 28), 128, 3, {"padding": 1, "groups": 32}),
    "depthwise": ((4, 96, 28, 29), 96, 3, {"padding": 1, "groups": 96}),
}


def problem(case, dtype, precision):
    shape, filters, taps, keywords = case
    torch.manual_seed(0)
    channels = shape[1] // keywords.get("groups", 1)
    terms = channels * taps**2
    weight = torch.randn(filters, channels, taps, taps) / terms**0.5
    tensors = [torch.randn(shape), weight, torch.randn(filters)]
    tensors = [t.cuda().to(dtype).requires_grad_() for t in tensors]
    pixels = shape[0] * shape[2] * shape[3]
    return lambda x, w, b: ops.conv2d(x, w, b, precision=precision, **keywords), tensors, max(terms, pixels)


@DTYPES
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_convolution(case, dtype) -> None:
    function, tensors, terms = problem(case, dtype, "ieee")
    assert_exact_enough(function, tensors, terms=terms)


@pytest.mark.parametrize(("precision", "tf32"), [("tf32", True), ("tf32x3", False)])
def test_convolution_on_tensor_cores_in_float32(precision, tf32) -> None:
    function, tensors, terms = problem(CASES["stride 2"], torch.float32, precision)
    assert_exact_enough(function, tensors, terms=terms, tf32=tf32)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_twice_the_same_to_the_bit(case) -> None:
    function, tensors, _ = problem(case, torch.bfloat16, "ieee")
    for first, second in zip(*(results(function, tensors, torch.bfloat16) for _ in range(2)), strict=True):
        assert torch.equal(first, second)


@DTYPES
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
def test_batch_norm(dtype, training) -> None:
    def function(x, weight, bias):
        kind = torch.float64 if x.dtype == torch.float64 else torch.float32
        running = [torch.zeros(48, device=x.device, dtype=kind), torch.ones(48, device=x.device, dtype=kind)]
        return ops.batch_norm(x, weight, bias, *running, training)

    torch.manual_seed(0)
    tensors = [torch.randn(s).cuda().to(dtype).requires_grad_() for s in ((8, 48, 31, 29), (48,), (48,))]
    assert_exact_enough(function, tensors, terms=8 * 31 * 29)


@DTYPES
@pytest.mark.parametrize("name", ops.ACTIVATIONS)
def test_activation(name, dtype) -> None:
    x = torch.cat([torch.linspace(-8, 8, 9999), torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0, 6.0, float("nan")])])
    assert_exact_enough(lambda x: ops.activation(x, name), [x.cuda().to(dtype).requires_grad_()])


@DTYPES
@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.max_pool2d(x, 3, 2, 1),
        lambda x: ops.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        lambda x: ops.upsample(x, 2),
        lambda x: ops.upsample(x, 2, mode="bilinear"),
        lambda x: ops.upsample(x, size=(17, 61), mode="bilinear", align_corners=True),
    ],
    ids=["max", "mean", "nearest", "bilinear", "bilinear, corners"],
)
def test_pooling_and_resizing(function, dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 70, 31, 28).cuda().to(dtype).requires_grad_()
    assert_exact_enough(function, [x], terms=61 * 61)


def test_a_network_trains_as_on_torchs_road_and_in_mixed_precision() -> None:
    def train(switch: str, mixed: bool) -> list[float]:
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            layers.Conv2d(3, 32, 3, padding=1), layers.BatchNorm2d(32), layers.SiLU(), layers.MaxPool2d(2),
            layers.Conv2d(32, 64, 3, padding=1), layers.BatchNorm2d(64), layers.ReLU(), layers.Upsample(scale_factor=2),
            layers.Conv2d(64, 1, 1),
        ).cuda()  # fmt: skip
        x, target = torch.randn(4, 3, 32, 32).cuda(), torch.randn(4, 1, 32, 32).cuda()
        optimizer = torch.optim.SGD(network.parameters(), 0.05)
        losses = []
        for _ in range(10):
            with ops.kernels(switch), torch.autocast("cuda", torch.bfloat16, enabled=mixed):
                loss = (network(x).float() - target).square().mean()
                optimizer.zero_grad()
                loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    reference = train("torch", False)
    assert train("auto", False) == pytest.approx(reference, rel=1e-2)
    assert train("auto", True) == pytest.approx(reference, rel=5e-2)
