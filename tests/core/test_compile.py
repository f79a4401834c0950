"""Third tier: every kernel and tile of the tables is compiled for A100 (sm_80) and H100 (sm_90), without a GPU.

The launchers are run with `launch.run` replaced by a recorder, so what is compiled is exactly what would be launched.
Not under the interpreter, where triton.jit gives no kernels to compile. ptxas comes with the triton wheel.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("the interpreter replaces the kernels this tier compiles", allow_module_level=True)
triton = pytest.importorskip("triton", reason="Triton has no wheel for this platform")

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from striate.core import ops  # noqa: E402
from striate.core.kernels import conv, conv_backward, launch, tiles  # noqa: E402

SHARED_MEMORY = {80: 163 * 1024, 90: 227 * 1024}  # bytes a program may have; CUDA programming guide, table 27
TYPES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16", torch.uint8: "u8", torch.int32: "i32"}


class Compiled(NamedTuple):
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
        done = subprocess.run([tool, "-v", f"--gpu-name={name}", path, "-o", os.devnull], capture_output=True, text=True)
        if done.returncode == 0:
            return Compiled(compiled.asm["ptx"], compiled.metadata.shared, done.stderr + done.stdout)
    raise AssertionError(done.stderr)


@pytest.fixture
def record(monkeypatch):
    """Return a function that runs an operation forward and backward for an architecture and lists its launches."""

    def run(arch, operation, *shapes, dtype=torch.bfloat16, gradient=True):
        launches = []

        def note(kernel, grid, *args, num_warps=4, num_stages=3, **constants):
            launches.append((kernel, args, {"num_warps": num_warps, "num_stages": num_stages}, constants))

        monkeypatch.setattr(launch, "run", note)
        monkeypatch.setattr(tiles, "architecture", lambda x: arch)
        monkeypatch.setattr(ops, "uses_triton", lambda x: True)
        tensors = [torch.empty(shape, dtype=dtype).requires_grad_(gradient) for shape in shapes]
        out = operation(*tensors)
        if gradient:
            out.backward(torch.empty_like(out))
        return launches

    return run


def check(launches, arch, folder, seen=None):
    assert launches
    for entry in launches:
        result = compile_launch(entry, arch, folder)
        label = f"{entry[0].__name__} {entry[3]} on sm_{arch}"
        assert result.spilled == 0, f"{label}: {result.spilled} bytes spilled"
        assert result.shared <= SHARED_MEMORY[arch], label
        assert "C7515" not in result.report and "serializ" not in result.report, f"{label}: {result.report}"
        assert entry[2]["num_warps"] == 4, f"{label}: flat loops were miscompiled with 8 warps"
        if seen is not None:
            seen[entry[0].__name__] = result
    return seen


ARCHITECTURES = pytest.mark.parametrize("arch", [80, 90], ids=["sm_80", "sm_90"])
# filters: one shape for each row of the tile tables; 8 x 64 x 64 pixels fill both devices
ROWS = pytest.mark.parametrize("filters", [128, 64, 32, 16])


def convolution(x, w, b, **keywords):
    return ops.conv2d(x, w, b, padding=w.shape[2] // 2, **keywords)
