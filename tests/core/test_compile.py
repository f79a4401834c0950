"""Third tier: every kernel and tile is compiled for A100, RTX 40, H100 and B200, without a GPU.

The launchers are run with `launch.run` replaced by a recorder, so what is compiled is exactly what would be launched.
Not under the interpreter, where triton.jit gives no kernels to compile. ptxas comes with the triton wheel.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

triton = pytest.importorskip("triton", reason="Triton has no wheel for this platform")

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402
from triton.tools.tensor_descriptor import TensorDescriptor  # noqa: E402

from striate.core import ops  # noqa: E402
from striate.core.kernels import launch, tiles  # noqa: E402
from striate.tests.core.families import gather  # noqa: E402

pytestmark = pytest.mark.compile

# Bytes of shared memory a program may have; CUDA programming guide, table of compute capabilities.
SHARED_MEMORY = {80: 163 * 1024, 89: 99 * 1024, 90: 227 * 1024, 100: 227 * 1024}
ARCHITECTURES = pytest.mark.parametrize("arch", ops.ARCHITECTURES, ids=[f"sm_{arch}" for arch in ops.ARCHITECTURES])
TYPES = {
    torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16", torch.float64: "fp64", torch.uint8: "u8",
    torch.int32: "i32", torch.int64: "i64", torch.bool: "i1",
}  # fmt: skip
CASES = gather("COMPILE")


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
    ttir: str

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
        elif isinstance(arg, TensorDescriptor):
            types[name] = f"tensordesc<{TYPES[arg.base.dtype]}{list(arg.block_shape)}>"
        elif arg is None or (isinstance(arg, int) and arg == 1):
            types[name], fixed[(place,)] = "constexpr", arg
        elif isinstance(arg, float):
            types[name] = "fp32"
        else:
            types[name] = "i32" if -(2**31) <= arg < 2**31 else "i64"
            if arg % 16 == 0:
                attributes[(place,)] = [["tt.divisibility", 16]]
    for name, value in constants.items():
        types[name], fixed[(kernel.arg_names.index(name),)] = "constexpr", value
    return {name: types[name] for name in kernel.arg_names}, fixed, attributes


COMPILED: dict[str, Compiled] = {}
"""What this process has compiled: of 1,295 launches of the cases 287 are launched by another case, too."""


def compile_launch(entry: Launch, arch: int) -> Compiled:
    """Compile a launch, once; what sm_80 and sm_89 launch alike, for sm_80 only.

    Triton lowers both in the same way, and both have as many registers; what differs is how much memory may be shared,
    which `check` looks at for each. It saves a fifth of this file's five minutes.
    """
    parts = signature(entry.kernel, entry.args, entry.constants)
    keys = [repr((one, entry.kernel.__module__, entry.kernel.__name__, parts, entry.options)) for one in (arch, 80)]
    if arch == 89 and keys[1] in COMPILED:
        return COMPILED[keys[1]]
    if keys[0] not in COMPILED:
        COMPILED[keys[0]] = compile_for(arch, entry, *parts)
    return COMPILED[keys[0]]


def compile_for(arch: int, entry: Launch, types: dict, fixed: dict, attributes: dict) -> Compiled:
    source = ASTSource(fn=entry.kernel, signature=types, constexprs=fixed, attrs=attributes)
    report = io.StringIO()
    with triton.knobs.nvidia.scope(), triton.knobs.compilation.scope(), contextlib.redirect_stdout(report):
        triton.knobs.nvidia.dump_ptxas_log = True
        triton.knobs.compilation.always_compile = True  # the cache keeps no report
        compiled = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=entry.options)
    return Compiled(compiled.asm["ptx"], compiled.metadata.shared, report.getvalue(), compiled.asm["ttir"])


@pytest.fixture
def record(monkeypatch):
    """Return a function that runs an operation forward and backward for an architecture and lists its launches."""

    def run(arch, operation, shapes, *, dtype=torch.bfloat16, gradient=True, wide=False):
        launches = []

        def note(kernel, grid, *args, num_warps=4, num_stages=3, **constants):
            options = {"num_warps": num_warps, "num_stages": num_stages}
            launches.append(Launch(kernel, args, options, constants))

        monkeypatch.setattr(launch, "run", note)
        monkeypatch.setattr(tiles, "architecture", lambda x: arch)
        monkeypatch.setattr(ops.switch, "uses_triton", lambda x: True)
        if wide:
            monkeypatch.setattr(launch, "INT32_LIMIT", 0)
        tensors = [torch.zeros(shape, dtype=dtype).requires_grad_(gradient) for shape in shapes]
        outs = operation(*tensors)
        for out in outs if isinstance(outs, tuple | list) else [outs]:
            if isinstance(out, torch.Tensor) and out.requires_grad:
                out.backward(torch.empty_like(out), retain_graph=True)
        return launches

    return run


def check(launches, arch) -> dict[str, Compiled]:
    """Compile every launch and assert what must hold for all; return the results by kernel."""
    seen: dict[str, Compiled] = {}
    done = []
    for entry in launches:
        kernel, args, options, constants = entry
        key = (kernel.__name__, signature(kernel, args, constants), options)
        if key in done:
            continue
        done.append(key)
        result = compile_launch(entry, arch)
        label = f"{kernel.__name__} {constants} on sm_{arch}"
        assert "registers" in result.report, f"{label}: no report"
        assert result.spilled == 0, f"{label}: {result.spilled} bytes spilled"
        assert result.shared <= SHARED_MEMORY[arch], label
        assert "C7515" not in result.report, f"{label}: {result.report}"
        assert "serializ" not in result.report, f"{label}: {result.report}"
        if "tl.dot" in inspect.getsource(kernel.fn):
            assert options["num_warps"] == 4, f"{label}: flat loops were miscompiled with 8 warps"
        seen[kernel.__name__] = result
    return seen


@ARCHITECTURES
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_compiles(record, arch, case) -> None:
    function, shapes, *options = case
    check(record(arch, function, shapes, **(options[0] if options else {})), arch)


def ones(*dims: int):
    return tuple((1,) * d for d in dims)


# Triton makes constants of arguments that are 1, and a constant has no methods: what compiles for large sizes may not
# compile for a map of one pixel.
OF_ONE = {
    "convolution": (lambda x, w, b: ops.conv2d(x, w, b), ones(4, 4, 1)),
    "transposed": (lambda x, w, b: ops.conv_transpose2d(x, w, b), ones(4, 4, 1)),
    "volume": (lambda x, w, b: ops.conv3d(x, w, b), ones(5, 5, 1)),
    "batch norm": (lambda x, w, b: ops.batch_norm(x, w, b, torch.zeros(1), torch.ones(1)), ones(4, 1, 1)),
    "batch norm of two": (lambda x, w, b: ops.batch_norm(x, w, b, None, None, True), ((2, 1), (1,), (1,))),
    "LRN": (lambda x: ops.local_response_norm(x, 1), ones(4)),
    "max": (lambda x: ops.max_pool2d(x, 1), ones(4)),
    "mean": (lambda x: ops.avg_pool2d(x, 1), ones(4)),
    "adaptive mean": (lambda x: ops.adaptive_avg_pool2d(x, 1), ones(4)),
    "adaptive max": (lambda x: ops.adaptive_max_pool2d(x, 1), ones(4)),
    "stochastic": (lambda x: ops.stochastic_pool2d(x, 1), ones(4)),
    "stochastic, test": (lambda x: ops.stochastic_pool2d(x, 1, training=False), ones(4)),
    "upsample": (lambda x: ops.upsample(x, 1, mode="bilinear"), ones(4)),
    "concat": (lambda x, y: ops.concat([x, y]), ones(4, 4)),
    "activation": (lambda x: ops.activation(x, "silu"), ones(4)),
    "dropout": (lambda x: ops.dropout2d(x), ones(4)),
    "softmax": (lambda x: ops.softmax(x), ones(4)),
    "cross-entropy": (lambda x: ops.cross_entropy(x, torch.zeros(1, dtype=torch.int64)), ones(2)),
    "cross-entropy per pixel": (lambda x: ops.cross_entropy(x, torch.zeros(1, 1, 1, dtype=torch.int64)), ones(4)),
    "affine grid": (lambda theta: ops.affine_grid(theta, (1, 1, 1, 1)), ((1, 2, 3),)),
    "sample": (lambda x, g: ops.grid_sample(x, g, padding_mode="reflection"), ((1, 1, 1, 1), (1, 1, 1, 2))),
    "roi align": (lambda x, b: ops.roi_align(x, b, 1), ((1, 1, 1, 1), (1, 5))),
    "roi pool": (lambda x, b: ops.roi_pool(x, b, 1), ((1, 1, 1, 1), (1, 5))),
    "gram": (lambda x: ops.gram([x]), ones(4)),
    "nearest": (ops.nearest_centroid, ones(2, 2), {"gradient": False}),
    "several nearest": (lambda x, c: ops.nearest_centroids(x, c, 1), ones(2, 2), {"gradient": False}),
    "sums": (lambda x: ops.centroid_sums(x, torch.zeros(1, dtype=torch.int64), 1), ones(2), {"gradient": False}),
    "chi2": (ops.chi2_kernel, ones(2, 2), {"gradient": False}),
    "IoU": (ops.box_iou, ((1, 4), (1, 4)), {"gradient": False, "dtype": torch.float32}),
    "NMS": (lambda b, s: ops.nms(b, s, 0.5), ((1, 4), (1,)), {"gradient": False, "dtype": torch.float32}),
    "soft NMS": (ops.soft_nms, ((1, 4), (1,)), {"gradient": False, "dtype": torch.float32}),
}


@pytest.mark.parametrize("wide", [False, True], ids=["int32", "int64"])
@pytest.mark.parametrize("case", OF_ONE.values(), ids=OF_ONE.keys())
def test_sizes_of_one(record, case, wide) -> None:
    function, shapes, *options = case
    assert check(record(90, function, shapes, wide=wide, **(options[0] if options else {})), 90)


@cache
def launched_in_sources() -> set[str]:
    folder = Path(launch.__file__).parent
    return {name for file in folder.glob("*.py") for name in re.findall(r"launch\.run\(\s*(\w+)", file.read_text())}


def test_no_kernel_is_left_out(record) -> None:
    """Every kernel that the sources launch is launched by a case above, and listed by an operation."""
    seen = set()
    for function, shapes, *options in CASES.values():
        seen |= {entry.kernel.__name__ for entry in record(90, function, shapes, **(options[0] if options else {}))}
    listed = {name for row in ops.OPERATIONS.values() for name in (*row.forward, *row.backward)}
    assert len(listed) > 20
    assert launched_in_sources() - seen == set()
    assert listed == launched_in_sources()


def test_matrix_products_use_the_tensor_cores(record) -> None:
    function, shapes = CASES["128 filters"]
    words = {80: "mma.sync", 89: "mma.sync", 90: "wgmma.mma_async", 100: "tcgen05.mma"}
    for arch, word in words.items():
        seen = check(record(arch, function, shapes), arch)
        for name in ("conv_tma" if arch >= 90 else "conv_forward", "conv_input_gradient"):
            assert word in seen[name].ptx, f"{name} on sm_{arch}"
            copies = "cp.async.bulk.tensor" if name == "conv_tma" else "cp.async"
            assert copies in seen[name].ptx
    function, shapes, options = CASES["64 filters in ieee"]
    exact = check(record(90, function, shapes, **options), 90)
    assert "mma" not in exact["conv_forward"].ptx


def test_a_spill_is_seen(record) -> None:
    """The check itself can fail: 128 x 256 sums in 128 threads do not fit into registers."""
    launches = record(80, *CASES["64 filters"][:2], gradient=False)
    launches[0].constants.update(BM=128, BN=256)
    with pytest.raises(AssertionError, match="bytes spilled"):
        check(launches, 80)
