"""Local response normalization: the kernels against float64, forward and backward."""

from __future__ import annotations

import pytest
import torch

from striate.core import layers, ops
from striate.core.checks import UsageError
from striate.core.testing import assert_exact_enough

kernel = pytest.mark.kernel

RAW = {
    "local_response_norm": lambda: (torch.randn(2, 4, 5, 6).requires_grad_(), 5, 1e-4, 0.75, 2.0),
    "local_response_norm_gradient": lambda: (torch.randn(2, 4, 5, 6), torch.randn(2, 4, 5, 6), 5, 1e-4, 0.75, 2.0),
}

COMPILE = {"LRN": (lambda x: ops.local_response_norm(x, 5), ((8, 64, 64, 64),))}

# (shape, size, alpha, beta, k); large alphas, so that the window matters
CASES = {
    "AlexNet's": ((2, 12, 4, 3), 5, 5e-4, 0.75, 2.0),
    "a window that matters": ((2, 12, 4, 3), 5, 2.0, 0.75, 1.0),
    "an even window": ((1, 9, 3, 5), 4, 2.0, 0.5, 1.0),
    "one channel in a window": ((1, 9, 3, 5), 1, 2.0, 0.75, 1.0),
    "a window above all channels": ((1, 3, 3, 5), 9, 3.0, 0.75, 0.5),
    "signals": ((2, 7, 11), 3, 2.0, 0.75, 1.0),
    "volumes": ((1, 7, 2, 3, 4), 3, 2.0, 0.75, 1.0),
    "channels not a multiple of the block": ((1, 70, 2, 2), 5, 2.0, 0.75, 1.0),
}


def problem(case, dtype=torch.float32):
    torch.manual_seed(0)
    shape, *settings = case
    return lambda x: ops.local_response_norm(x, *settings), [torch.randn(shape).to(dtype).requires_grad_()]


@kernel
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_kernels_agree_with_float64(case) -> None:
    assert_exact_enough(*problem(case), terms=25)  # worst seen: 0.15 of the tolerance


@kernel
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_precision(dtype) -> None:
    assert_exact_enough(*problem(CASES["a window that matters"], dtype), terms=25)


@kernel
def test_many_programs_strides_and_int64_offsets(small_tiles, monkeypatch) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    function, (x,) = problem(((3, 40, 5, 8), 5, 2.0, 0.75, 1.0))
    assert_exact_enough(function, [x.detach()[..., ::2].requires_grad_()], terms=25)


@kernel
def test_nan_empty_and_an_expanded_gradient() -> None:
    x = torch.ones(1, 8, 2, 2)
    x[0, 3, 0, 0] = float("nan")
    assert ops.local_response_norm(x, 3).isnan().sum() == 3
    assert ops.local_response_norm(torch.zeros(0, 8, 2, 2), 3).shape == (0, 8, 2, 2)
    x = torch.randn(1, 8, 2, 2, requires_grad=True)
    ops.local_response_norm(x, 3).sum().backward()
    assert x.grad.isfinite().all()


def test_words_and_the_layer() -> None:
    with pytest.raises(UsageError, match="a window of at least 1 channel and k above 0; got size=0, k=1"):
        ops.local_response_norm(torch.zeros(1, 2, 3, 3), 0)
    layer, x = layers.LocalResponseNorm(5, 5e-4, 0.75, 2.0), torch.randn(2, 8, 3, 3)
    expected = torch.nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)(x)
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)
