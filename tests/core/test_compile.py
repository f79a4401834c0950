"""Third tier: every kernel and tile of the tables is compiled for A100 (sm_80) and H100 (sm_90), without a GPU.

The launchers are run with `launch.run` replaced by a recorder, so what is compiled is exactly what would be launched.
Not under the interpreter, where triton.jit gives no kernels to compile. ptxas comes with the triton wheel.
"""

from __future__ import annotations

import os
import re
import subprocess
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

triton = pytest.importorskip("triton", reason="Triton has no wheel for this platform")

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from striate.core import ops  # noqa: E402
from striate.core.kernels import launch, tiles  # noqa: E402

pytestmark = pytest.mark.compile

SHARED_MEMORY = {80: 163 * 1024, 90: 227 * 1024}  # bytes a program may have; CUDA programming guide, table 27
TYPES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16", torch.uint8: "u8", torch.int32: "i32"}


class Launch(NamedTuple):
    """A launch that was recorded: the kernel, its arguments, num_warps and num_stages, its constants."""

    kernel: Any
    args: tuple[Any, ...]
    options: dict[str, int]
    constants: dict[str, Any]


class Compiled(NamedTuple):
    """What came of one kernel."""

    ptx: str
    shared: int
    report: str  # what ptxas -v says

    @property
    def spilled(self) -> int:
        return sum(int(n) for n in re.findall(r"(\d+) bytes spill", self.report))


def signature(kernel, args, constants):
    """Return ASTSource's view of a launch, specialized as triton's own launcher does (1 is constant, 16 divides)."""
    types, fixed, attributes = {}, {}, {}
    for place, (name, arg) in enumerate(zip(kernel.arg_names, args, strict=False)):
        if isinstance(arg, torch.Tensor):
            types[name] = "*" + TYPES[arg.dtype]
            attributes[(place,)] = [["tt.divisibility", 16]]
        elif isinstance(arg, float):
            types[name] = "fp32"
        elif arg == 1:
            types[name], fixed[(place,)] = "constexpr", 1
        else:
            types[name] = "i32"
            if arg % 16 == 0:
                attributes[(place,)] = [["tt.divisibility", 16]]
    for name, value in constants.items():
        types[name], fixed[(kernel.arg_names.index(name),)] = "constexpr", value
    return {name: types[name] for name in kernel.arg_names}, fixed, attributes


def compile_launch(record, arch: int, folder: Path) -> Compiled:
    kernel, args, options, constants = record
    types, fixed, attributes = signature(kernel, args, constants)
    source = ASTSource(fn=kernel, signature=types, constexprs=fixed, attrs=attributes)
    compiled = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    path = folder / f"{kernel.__name__}_{arch}.ptx"
    path.write_text(compiled.asm["ptx"])
    tools = Path(triton.__file__).parent / "backends/nvidia/bin"
    name = "sm_90a" if arch == 90 else f"sm_{arch}"
    for tool in sorted(tools.glob("ptxas*")):  # triton 3.7 has two; the one that knows the PTX version accepts it
        done = subprocess.run(
            [tool, "-v", f"--gpu-name={name}", path, "-o", os.devnull], capture_output=True, text=True
        )
        if done.returncode == 0:
            return Compiled(compiled.asm["ptx"], compiled.metadata.shared, done.stderr + done.stdout)
    raise AssertionError(done.stderr)


@pytest.fixture
def record(monkeypatch):
    """Return a function that runs an operation forward and backward for an architecture and lists its launches."""

    def run(arch, operation, *shapes, dtype=torch.bfloat16, gradient=True):
        launches = []

        def note(kernel, grid, *args, num_warps=4, num_stages=3, **constants):
            options = {"num_warps": num_warps, "num_stages": num_stages}
            launches.append(Launch(kernel, args, options, constants))

        monkeypatch.setattr(launch, "run", note)
        monkeypatch.setattr(tiles, "architecture", lambda x: arch)
        monkeypatch.setattr(ops, "uses_triton", lambda x: True)
        tensors = [torch.empty(shape, dtype=dtype).requires_grad_(gradient) for shape in shapes]
        out = operation(*tensors)
        if gradient:
            out.backward(torch.empty_like(out))
        return launches

    return run


ARCHITECTURES = pytest.mark.parametrize("arch", [80, 90], ids=["sm_80", "sm_90"])


def check(launches, arch, folder) -> dict[str, Compiled]:
    """Compile every launch and assert what must hold for all; return the results by kernel."""
    seen = {}
    for entry in launches:
        kernel, _, options, constants = entry
        result = compile_launch(entry, arch, folder)
        label = f"{kernel.__name__} {constants} on sm_{arch}"
        assert result.spilled == 0, f"{label}: {result.spilled} bytes spilled"
        assert result.shared <= SHARED_MEMORY[arch], label
        assert "C7515" not in result.report, f"{label}: {result.report}"
        assert "serializ" not in result.report, f"{label}: {result.report}"
        assert options["num_warps"] == 4, f"{label}: flat loops were miscompiled with 8 warps"
        seen[kernel.__name__] = result
    return seen


def convolution(**keywords):
    def function(x, w, b):
        return ops.conv2d(x, w, b, padding=w.shape[2] // 2, **keywords)

    return function


@ARCHITECTURES
@pytest.mark.parametrize("filters", [128, 64, 32, 16])
def test_convolution_row_by_row(record, tmp_path, arch, filters) -> None:
    """One number of filters for each row of the tables; 8 x 64 x 64 pixels fill both devices."""
    launches = record(arch, convolution(), (8, filters, 64, 64), (filters, filters, 3, 3), (filters,))
    tile = tiles.TILES[arch, "half"][[128, 64, 32, 16].index(filters)]
    assert (launches[0].constants["BM"], launches[0].constants["BN"]) == (tile.BM, tile.BN)
    seen = check(launches, arch, tmp_path)
    assert {"conv_forward", "conv_input_gradient", "conv_weight_gradient", "column_sums", "sum_parts"} == set(seen)
    for name in ("conv_forward", "conv_input_gradient"):
        assert ("wgmma.mma_async" in seen[name].ptx) == (arch == 90)
        assert "cp.async" in seen[name].ptx


@ARCHITECTURES
@pytest.mark.parametrize(
    ("shapes", "keywords"),
    [
        (((8, 3, 128, 128), (64, 3, 7, 7), (64,)), {"stride": 2}),
        (((1, 128, 16, 16), (128, 128, 3, 3), (128,)), {}),
        (((8, 20, 64, 64), (255, 20, 3, 3), (255,)), {"stride": 2}),
        (((8, 64, 64, 64), (64, 1, 3, 3), (64,)), {"groups": 64}),
    ],
    ids=["pictures", "a map too small for the device", "channels not a multiple of 8", "depthwise"],
)
def test_other_convolutions(record, tmp_path, arch, shapes, keywords) -> None:
    check(record(arch, convolution(**keywords), *shapes), arch, tmp_path)


@ARCHITECTURES
@pytest.mark.parametrize("precision", ["tf32", "tf32x3", "ieee"])
@pytest.mark.parametrize("filters", [64, 16])
def test_float32_convolution(record, tmp_path, arch, precision, filters) -> None:
    shapes = (8, filters, 64, 64), (filters, filters, 3, 3), (filters,)
    seen = check(record(arch, convolution(precision=precision), *shapes, dtype=torch.float32), arch, tmp_path)
    matrix = any(word in seen["conv_forward"].ptx for word in ("wgmma.mma_async", "mma.sync"))
    assert matrix == (precision != "ieee")


@ARCHITECTURES
def test_float16_and_int64_offsets(record, tmp_path, arch, monkeypatch) -> None:
    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    shapes = (8, 64, 64, 64), (64, 64, 3, 3), (64,)
    check(record(arch, convolution(), *shapes, dtype=torch.float16), arch, tmp_path)


@ARCHITECTURES
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
def test_batch_norm(record, tmp_path, arch, training) -> None:
    def function(x, weight, bias):
        return ops.batch_norm(x, weight, bias, torch.zeros(64), torch.ones(64), training)

    check(record(arch, function, (8, 64, 64, 64), (64,), (64,)), arch, tmp_path)


@ARCHITECTURES
def test_pooling_and_upsampling(record, tmp_path, arch) -> None:
    shape = (8, 64, 64, 64)
    launches = record(arch, lambda x: ops.max_pool2d(x, 3, 2, 1), shape)
    launches += record(arch, lambda x: ops.avg_pool2d(x, 3, 2, 1, count_include_pad=False), shape)
    launches += record(arch, lambda x: ops.upsample(x, 2), shape)
    launches += record(arch, lambda x: ops.upsample(x, 2, mode="bilinear"), shape)
    check(launches, arch, tmp_path)


@ARCHITECTURES
def test_activations(record, tmp_path, arch) -> None:
    launches = [
        e for name in ops.ACTIVATIONS for e in record(arch, partial(ops.activation, name=name), (8, 64, 64, 64))
    ]
    assert len(launches) == 2 * len(ops.ACTIVATIONS)
    check(launches, arch, tmp_path)


def test_no_kernel_is_left_out(record) -> None:
    """Every kernel that the sources launch is launched by one of the operations compiled above."""
    folder = Path(launch.__file__).parent
    known = {name for file in folder.glob("*.py") for name in re.findall(r"launch\.run\(\s*(\w+)", file.read_text())}
    shape = (8, 64, 64, 64)

    def norm(x, weight, bias):
        return ops.batch_norm(x, weight, bias, torch.zeros(64), torch.ones(64), True)

    launches = [
        *record(90, convolution(), shape, (64, 64, 3, 3), (64,)),
        *record(90, convolution(groups=64), shape, (64, 1, 3, 3), (64,)),
        *record(90, norm, shape, (64,), (64,)),
        *record(90, lambda x: ops.max_pool2d(x, 3, 2, 1), shape),
        *record(90, lambda x: ops.avg_pool2d(x, 3, 2, 1), shape),
        *record(90, lambda x: ops.upsample(x, 2), shape),
        *record(90, lambda x: ops.activation(x, "silu"), shape),
    ]
    assert len(known) > 15
    assert {entry.kernel.__name__ for entry in launches} == known


def test_a_spill_is_seen(record, tmp_path) -> None:
    """The check itself can fail: 128 x 256 sums in 128 threads do not fit into registers."""
    launches = record(80, convolution(), (8, 64, 64, 64), (64, 64, 3, 3), (64,), gradient=False)
    launches[0].constants.update(BM=128, BN=256)
    with pytest.raises(AssertionError, match="bytes spilled"):
        check(launches, 80, tmp_path)
