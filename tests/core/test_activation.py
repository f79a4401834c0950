"""Activations: kernels under the interpreter against float64, kinks, NaN and infinities included."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from striate.core import ops
from striate.core.checks import UsageError
from striate.core.testing import assert_exact_enough, tolerance

kernel = pytest.mark.kernel

RAW = {
    "activation": lambda: (torch.randn(2, 4, 5, 6).requires_grad_(), "silu", 0.0),
    "activation_gradient": lambda: (torch.randn(2, 4, 5, 6), torch.randn(2, 4, 5, 6), "silu", 0.0),
}

COMPILE = {name: (partial(ops.activation, name=name), ((8, 64, 64, 64),)) for name in ops.ACTIVATIONS}
# NumPy's exp overflows to infinity with a warning, where a GPU does so quietly; the results are compared.
quiet = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")

NAMES = pytest.mark.parametrize("name", ops.ACTIVATIONS)
KINKS = [-3.0, -1.0, 0.0, 1.0, 3.0, 6.0]


@kernel
@quiet
@NAMES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=["fp32", "fp16", "bf16"])
def test_kernels_agree_with_float64(name, dtype) -> None:
    x = torch.cat([torch.linspace(-8, 8, 999), torch.tensor([*KINKS, 1e-4, -1e-4, 0.0999, -0.1001])])
    assert_exact_enough(lambda x: ops.activation(x, name, 0.2), [x.to(dtype).requires_grad_()])  # worst seen: 0.5


@kernel
@quiet
@NAMES
def test_far_out_and_not_a_number(name) -> None:
    x = torch.tensor([float("nan"), 100.0, -100.0, 1e30, -1e30, float("inf")])
    with ops.kernels("torch"):
        exact = ops.activation(x.double(), name)
    ours = ops.activation(x, name)
    assert torch.allclose(ours.double(), exact, rtol=1e-6, atol=1e-30 if name == "relu" else 1e-6, equal_nan=True)
    assert ours[0].isnan()


@kernel
@pytest.mark.parametrize("name", ["tanh", "elu"])
def test_small_values_keep_their_relative_precision(name) -> None:
    x = torch.tensor([1e-6, -1e-6, 1e-3, -1e-3, 0.05, -0.05])
    with ops.kernels("torch"):
        exact = ops.activation(x.double(), name, 1.0)
    assert torch.allclose(ops.activation(x, name, 1.0).double(), exact, rtol=5e-7, atol=0)


@kernel
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda x: x.to(memory_format=torch.channels_last), "channels_last"),
        (lambda x: x.transpose(1, 3), "permuted"),
        (lambda x: x[:, :, ::2, 1:], "with gaps"),
        (lambda x: x[:1].expand(2, -1, -1, -1), "expanded"),
        (lambda x: x[0, 0, 0, 0], "a scalar"),
        (lambda x: x[:0], "empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_strides_of_any_kind(change, why) -> None:
    x = change(torch.randn(2, 3, 4, 5)).detach().requires_grad_()
    assert_exact_enough(lambda x: ops.activation(x, "silu"), [x])
    assert ops.activation(x, "silu").stride() == torch.empty_like(x).stride()


@kernel
def test_an_expanded_gradient() -> None:
    x = torch.randn(3, 4, requires_grad=True)
    ops.activation(x, "relu").sum().backward()
    assert torch.equal(x.grad, (x > 0).float())


@kernel
def test_many_programs_and_int64_offsets(monkeypatch) -> None:
    from striate.core.kernels import activation, launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    monkeypatch.setattr(activation, "_block", lambda length: 16)
    assert_exact_enough(lambda x: ops.activation(x, "hardswish"), [torch.randn(3, 17).requires_grad_()])


@kernel
def test_float64_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="float32, float16 or bfloat16 for a Triton kernel; got float64"):
        ops.activation(torch.zeros(3, dtype=torch.float64), "relu")


def test_unknown_name() -> None:
    with pytest.raises(
        UsageError, match=r"activation to be one of relu, .*; got 'leaky_rely'; did you mean 'leaky_relu'"
    ):
        ops.activation(torch.zeros(3), "leaky_rely")


def test_torch_road_is_torch_and_may_work_in_place() -> None:
    x = torch.tensor([-2.0, 3.0])
    with ops.kernels("torch"):
        assert torch.equal(ops.activation(x, "leaky_relu", 0.5), torch.tensor([-1.0, 3.0]))
        assert torch.equal(x, torch.tensor([-2.0, 3.0]))
        assert ops.activation(x, "relu", inplace=True).data_ptr() == x.data_ptr()


def test_tolerance_of_half_types_is_their_unit() -> None:
    assert tolerance(torch.bfloat16) > tolerance(torch.float16) > tolerance(torch.float32, tf32=False)
    assert tolerance(torch.float32, tf32=True) == tolerance(torch.float16)


@kernel
@pytest.mark.parametrize("name", ["relu", "relu6", "hardtanh", "leaky_relu", "silu"])
def test_the_input_is_kept_only_where_the_output_does_not_tell_the_slope(name) -> None:
    x = torch.randn(7).requires_grad_()
    y = ops.activation(x, name)
    kept = y.grad_fn.saved_tensors[0].data_ptr()
    assert kept == (x if name == "silu" else y).data_ptr()
    assert ops.activation(x, "leaky_relu", -0.5).grad_fn.saved_tensors[0].data_ptr() == x.data_ptr()
