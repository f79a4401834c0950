"""Roads: which one a tensor takes, how it is switched, and how the raw operations are joined to torch."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from striate.core import ops
from striate.core.checks import UsageError
from striate.tests.core.families import gather

kernel = pytest.mark.kernel
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
in_plain_process = pytest.mark.skipif(INTERPRETED, reason="says what happens without the interpreter")


def fresh(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, because the environment is read once."""
    clean = {k: v for k, v in os.environ.items() if k not in ("STRIATE_KERNELS", "TRITON_INTERPRET")}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=clean | environment, check=False
    )


def test_a_cpu_tensor_goes_to_torch_without_importing_triton() -> None:
    code = (
        "import sys, torch\n"
        "from striate.core import ops, layers\n"
        "assert not ops.uses_triton(torch.zeros(1))\n"
        "layers.Conv2d(3, 4, 3)(torch.zeros(1, 3, 8, 8)).sum().backward()\n"
        "assert not any(m.startswith('striate.core.kernels') for m in sys.modules)\n"
    )
    run = fresh(code)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("environment", "cpu", "cuda"),
    [
        ({}, "torch", "triton"),
        ({"STRIATE_KERNELS": "torch"}, "torch", "torch"),
        ({"STRIATE_KERNELS": "triton"}, "error: triton needs CUDA", "triton"),
        ({"TRITON_INTERPRET": "1"}, "triton (interpreted)", "triton"),
        ({"TRITON_INTERPRET": "1", "STRIATE_KERNELS": "triton"}, "triton (interpreted)", "triton"),
        ({"TRITON_INTERPRET": "1", "STRIATE_KERNELS": "torch"}, "torch", "torch"),
    ],
    ids=["nothing set", "torch", "triton", "interpreter", "interpreter, triton", "interpreter, torch"],
)
def test_roads_follow_the_environment(environment, cpu, cuda) -> None:
    pytest.importorskip("triton")
    run = fresh("from striate.core import ops; print(ops.roads()['conv2d'])", **environment)
    assert run.returncode == 0, run.stderr
    assert eval(run.stdout) == {"cpu": cpu, "cuda": cuda, "switch": environment.get("STRIATE_KERNELS", "auto")}


def test_an_unknown_switch_is_refused() -> None:
    run = fresh("from striate.core import ops; ops.roads()", STRIATE_KERNELS="tritn")
    assert (
        "expected STRIATE_KERNELS to be one of auto, triton, torch; got 'tritn'; did you mean 'triton'?" in run.stderr
    )
    with pytest.raises(UsageError, match="kernels to be one of auto, triton, torch; got 'cudnn'"), ops.kernels("cudnn"):
        pass


def test_roads_list_every_operation() -> None:
    public = {name for name in ops.__all__ if callable(getattr(ops, name)) and name.islower()}
    assert (
        set(ops.roads())
        == set(ops.OPERATIONS)
        == public - {*("figures", "float32_products", "kernels", "roads", "state", "uses_triton")}
    )
    with ops.kernels("torch"):
        assert ops.roads()["upsample"] == {"cpu": "torch", "cuda": "torch", "switch": "torch"}


def test_the_copy_engine_is_listed_where_it_can_run() -> None:
    using = {name for name, row in ops.OPERATIONS.items() if "conv_tma" in (*row.forward, *row.backward)}
    assert using == {"conv2d", "conv_transpose2d", "fused_conv2d", "fused_conv_transpose2d", "linear"}


def test_the_switch_ends_with_its_block_even_on_an_error() -> None:
    with ops.kernels("auto"):
        with contextlib.suppress(KeyError), ops.kernels("torch"):
            assert not ops.uses_triton(torch.zeros(1))
            raise KeyError
        assert {row["switch"] for row in ops.roads().values()} == {"auto"}


@in_plain_process
def test_triton_without_a_gpu_is_refused() -> None:
    with ops.kernels("triton"), pytest.raises(UsageError, match=r"expected a CUDA tensor.*got a tensor on cpu"):
        ops.activation(torch.zeros(3), "relu")


@in_plain_process
def test_a_kernel_called_by_hand_without_a_gpu_is_refused() -> None:
    pytest.importorskip("triton")
    from striate.core.kernels import activation

    with pytest.raises(UsageError, match="expected a CUDA tensor for a Triton kernel; got a tensor on cpu"):
        activation.apply(torch.zeros(3), "relu", 0.0)


@kernel
def test_the_interpreter_counts_as_cuda(count_launches) -> None:
    ops.activation(torch.zeros(3), "relu")
    assert count_launches.names == ["activation_forward"]
    with ops.kernels("torch"):
        ops.activation(torch.zeros(3), "relu")
    assert count_launches.names == ["activation_forward"]


@kernel
@pytest.mark.parametrize("groups", [1, 4], ids=["product", "depthwise"])
def test_autocast_casts_convolutions_and_gives_float32_gradients(groups) -> None:
    x = torch.randn(1, 4, 5, 5, requires_grad=True)
    weight = torch.randn(4, 4 // groups, 3, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = ops.conv2d(x, weight, torch.zeros(4), groups=groups)
    out.float().sum().backward()
    assert out.dtype == torch.bfloat16
    assert x.grad.dtype == weight.grad.dtype == torch.float32


@kernel
def test_precision_follows_the_flag_of_torch(monkeypatch) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert launch.precision(None) == "tf32"
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert launch.precision(None) == "ieee"
    assert launch.precision("tf32x3") == "tf32x3"


RAW = gather("RAW")


def import_families() -> None:
    folder = Path(import_module("striate.core.kernels").__path__[0])
    for file in folder.glob("*.py"):
        import_module(f"striate.core.kernels.{file.stem}")


@kernel
def test_every_raw_operation_is_declared_by_a_family() -> None:
    import_families()
    known = {n.split("::")[1].split(".")[0] for n in torch._C._dispatch_get_all_op_names() if n.startswith("striate::")}
    assert known == set(RAW)


@kernel
@pytest.mark.parametrize("name", RAW)
def test_opcheck(name) -> None:
    import_families()
    torch.library.opcheck(getattr(torch.ops.striate, name).default, RAW[name]())


@kernel
def test_second_derivatives_are_refused() -> None:
    x = torch.randn(3, requires_grad=True)
    with pytest.raises(UsageError, match="a first derivative from the Triton kernels; got create_graph=True"):
        torch.autograd.grad(ops.activation(x, "silu").sum(), x, create_graph=True)


@kernel
def test_compiled_by_dynamo_without_a_break(count_launches) -> None:
    def network(x, weight):
        return ops.max_pool2d(ops.activation(ops.conv2d(x, weight, padding=1), "silu"), 2).square().sum()

    x, weight = torch.randn(1, 3, 4, 4, requires_grad=True), torch.randn(4, 3, 3, 3, requires_grad=True)
    expected = torch.autograd.grad(network(x, weight), (x, weight))
    found = torch.autograd.grad(torch.compile(network, backend="aot_eager", fullgraph=True)(x, weight), (x, weight))
    torch.testing.assert_close(found, expected)
    assert (
        count_launches.names[: len(count_launches.names) // 2] == count_launches.names[len(count_launches.names) // 2 :]
    )


@kernel
def test_the_operations_trace_with_fake_tensors() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        x = torch.empty(2, 3, 8, 8)
        out = ops.max_pool2d(ops.activation(ops.conv2d(x, torch.empty(5, 3, 3, 3)), "relu"), 2)
    assert out.shape == (2, 5, 3, 3)
    assert out.is_contiguous(memory_format=torch.channels_last)
