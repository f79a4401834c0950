"""Stochastic pooling: the draws' frequencies, their gradient, the mean of the test against float64, the ends."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from striate.core import layers, ops
from striate.core.checks import UsageError
from striate.core.testing import assert_exact_enough

kernel = pytest.mark.kernel

RAW = {
    "stochastic_pool2d": lambda: (
        torch.rand(2, 4, 5, 6).requires_grad_(), torch.tensor([7]), [3, 3], [2, 2], [1, 1],
    ),
    "stochastic_pool2d_mean": lambda: (torch.rand(2, 4, 5, 6).requires_grad_(), [3, 3], [2, 2], [1, 1]),
    "stochastic_pool2d_mean_gradient": lambda: (
        torch.randn(2, 4, 3, 3), torch.rand(2, 4, 5, 6), [3, 3], [2, 2], [1, 1],
    ),
}  # fmt: skip

COMPILE = {
    "stochastic pool": (lambda x: ops.stochastic_pool2d(x, 3, 2, 1), ((8, 64, 64, 64),)),
    "stochastic pool, int64": (lambda x: ops.stochastic_pool2d(x, 2), ((8, 64, 64, 64),), {"wide": True}),
    "stochastic pool's mean": (lambda x: ops.stochastic_pool2d(x, 3, 2, 1, False), ((8, 64, 64, 64),)),
    "stochastic pool's mean, fp32": (
        lambda x: ops.stochastic_pool2d(x, 2, training=False), ((8, 64, 64, 64),), {"dtype": torch.float32},
    ),
}  # fmt: skip

WINDOWS = {
    "2x2": {"kernel": 2},
    "overlapping, padded": {"kernel": 3, "stride": 2, "padding": 1},
    "stride 1, unequal": {"kernel": (3, 2), "stride": 1, "padding": (1, 0)},
    "gaps between windows": {"kernel": 2, "stride": 3},
    "window above 255: wide places": {"kernel": (20, 16), "stride": 3, "padding": (10, 8)},
}
CASES = pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS.keys())


def image(dtype=torch.float32):
    torch.manual_seed(0)
    return torch.randn(2, 5, 7, 8).to(dtype).requires_grad_()  # half of it negative


@kernel
@pytest.mark.parametrize("window", list(WINDOWS.values())[:4], ids=list(WINDOWS)[:4])
def test_the_mean_agrees_with_float64(window) -> None:
    # Worst seen: 0.2 of the tolerance.
    assert_exact_enough(lambda x: ops.stochastic_pool2d(x, **window, training=False), [image()], terms=9)


@kernel
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_precision(dtype) -> None:
    x = image(dtype)
    assert_exact_enough(lambda x: ops.stochastic_pool2d(x, 3, 2, 1, training=False), [x], terms=9)
    y = ops.stochastic_pool2d(x, 2)
    assert y.dtype == dtype
    assert torch.all((y.unsqueeze(-1) == windows_of(x, 2)).any(-1))


def windows_of(x, size):
    """Return the ReLU of windows side by side, (N, C, OH, OW, size * size), and a zero for windows without any."""
    parts = x.detach().float().unfold(2, size, size).unfold(3, size, size).flatten(4).relu()
    return parts.to(x.dtype)


@kernel
@CASES
def test_the_gradient_goes_to_what_was_drawn(window) -> None:
    x = torch.rand(2, 5, 7, 8).add(0.1).requires_grad_()  # positive and all different: a value tells its place
    y = ops.stochastic_pool2d(x, **window)
    incoming = torch.randn(y.shape)
    (dx,) = torch.autograd.grad(y, x, incoming)
    expected = torch.zeros(2, 5, 56, device="cpu")
    for n in range(2):
        for c in range(5):
            flat = x[n, c].detach().cpu().flatten()
            at = (y[n, c].detach().cpu().flatten()[:, None] == flat).nonzero()
            assert len(at) == y[n, c].numel()
            expected[n, c].index_add_(0, at[:, 1], incoming[n, c].cpu().flatten())
    torch.testing.assert_close(dx.cpu().flatten(2), expected, atol=2e-6, rtol=2e-6)


def chi_square(road) -> float:
    """Return chi-square of 20,000 draws from windows (1, 2, 3, 4), on 3 degrees of freedom."""
    torch.manual_seed(0)
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).repeat(1, 4, 50, 100)
    with ops.kernels(road):
        y = ops.stochastic_pool2d(x, 2)
    seen = torch.stack([(y == v).sum() for v in (1, 2, 3, 4)]).double().cpu()
    assert seen.sum() == y.numel() == 20_000
    expected = torch.tensor([0.1, 0.2, 0.3, 0.4], device="cpu") * 20_000
    return ((seen - expected) ** 2 / expected).sum().item()


@kernel
def test_frequencies_are_the_probabilities() -> None:
    assert chi_square("auto") < 16.3  # exceeded once in a thousand seeds


def test_frequencies_on_the_road_of_torch() -> None:
    assert chi_square("torch") < 16.3


@kernel
def test_neighbouring_windows_draw_independently() -> None:
    torch.manual_seed(0)
    y = ops.stochastic_pool2d(torch.tensor([1.0, 1 + 2**-20]).repeat(1, 1, 100, 200), (1, 2)).flatten() > 1
    bits = y.double() - 0.5
    for step in (1, 200):
        assert abs((bits * bits.roll(step)).mean().item()) < 4 * 0.25 / bits.numel() ** 0.5


@kernel
def test_the_seed_repeats_a_draw_and_tiles_and_offsets_do_not_change_it(request, monkeypatch) -> None:
    from striate.core.kernels import launch

    x = torch.rand(2, 20, 6, 7)

    def drawn():
        torch.manual_seed(3)
        return ops.stochastic_pool2d(x, 2)

    first = drawn()
    assert not torch.equal(ops.stochastic_pool2d(x, 2), first)
    request.getfixturevalue("small_tiles")
    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    assert torch.equal(drawn(), first)


@kernel
def test_many_programs_int64_offsets_strides(small_tiles, monkeypatch) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    x = torch.randn(1, 6, 5, 20).transpose(1, 3)[:, 1:].detach().requires_grad_()
    assert_exact_enough(lambda x: ops.stochastic_pool2d(x, 2, training=False), [x], terms=4)
    assert small_tiles.names == ["stochastic_pool_forward"] * 2 + ["stochastic_pool_mean_backward"]


@kernel
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # NumPy's, of inf * 0
@pytest.mark.parametrize("training", [True, False], ids=["draw", "mean"])
@pytest.mark.parametrize("road", ["auto", "torch"])
def test_zeros_nan_infinity(road, training) -> None:
    x = torch.ones(1, 1, 2, 10)
    x[..., :2] = 0.0
    x[..., 2:4] = -1.0
    x[..., 1, 5] = float("nan")
    x[..., 0, 6] = float("inf")
    x.requires_grad_()
    with ops.kernels(road):
        y = ops.stochastic_pool2d(x, 2, training=training)
        y[..., [0, 1, 4]].sum().backward()
    torch.testing.assert_close(
        y.detach().cpu().flatten(), torch.tensor([0, 0, torch.nan, torch.nan, 1], device="cpu"), equal_nan=True
    )
    assert torch.all(x.grad[..., :4] == 0)
    assert x.grad[..., 8:].sum() == 1


@kernel
@pytest.mark.parametrize("training", [True, False], ids=["draw", "mean"])
def test_channels_last_expanded_gradient_empty_batch(training) -> None:
    x = torch.rand(2, 5, 6, 8, requires_grad=True)
    out = ops.stochastic_pool2d(x, 2, training=training)
    assert out.is_contiguous(memory_format=torch.channels_last)
    out.sum().backward()
    # Pooling a doubled image doubles the result, so that sum of x dx = sum of y (Euler).
    assert (x * x.grad).sum().item() == pytest.approx(out.sum().item(), rel=1e-5)
    empty = torch.zeros(0, 5, 4, 4, requires_grad=True)
    ops.stochastic_pool2d(empty, 2, training=training).sum().backward()
    assert empty.grad.shape == empty.shape


@kernel
def test_errors_say_what_was_expected() -> None:
    with pytest.raises(UsageError, match="padding from 0 to half the window"):
        ops.stochastic_pool2d(image(), 2, padding=2)
    with pytest.raises(UsageError, match="a window that fits into the padded image"):
        ops.stochastic_pool2d(image(), 9)


def test_the_mean_on_the_road_of_torch_is_the_formula() -> None:
    a = image().detach().double()
    with ops.kernels("torch"):
        y = ops.stochastic_pool2d(a, 2, training=False)
    a = a.relu()
    expected = F.avg_pool2d(a * a, 2) / F.avg_pool2d(a, 2)
    torch.testing.assert_close(y, expected.nan_to_num())


def test_the_layer_draws_in_training_only() -> None:
    layer, x = layers.StochasticPool2d(3, 2, padding=1), image()
    assert layer.extra_repr() == "kernel_size=3, stride=2, padding=1"
    y = layer(x).unsqueeze(-1)
    assert torch.all(((y == x.flatten()) | (y == 0)).any(-1))
    torch.testing.assert_close(layer.eval()(x), ops.stochastic_pool2d(x, 3, 2, 1, training=False))
