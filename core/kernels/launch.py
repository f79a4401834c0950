"""What every kernel family shares: launching, joining with torch, checks of what the kernels can do.

Nothing here asks for a device before a tensor comes. A family declares its raw operations with `define`, joins them to
autograd with `differentiable`, and launches with `run`; the tests replace `run` to compile, without a GPU, exactly what
would have been launched.

Layout rule: feature maps enter and leave as (N, C, H, W) tensors in channels_last strides, or their like in one and
three dimensions. Kernels compute their offsets from sizes, never from strides, because torch calls a map with C == 1
or H == W == 1 contiguous in both formats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import triton
from torch import Tensor

from ..checks import UsageError, unknown

# Decided here because `triton.jit` decides at decoration, when the families are imported.
INTERPRETED: bool = bool(triton.knobs.runtime.interpret)

# Offsets are int32 below this number of elements and int64 from it on (about 10 % more address work). The last tile
# hangs over the end, and its numbers must not become negative: 65,536 is the largest tile.
INT32_MOST = 2**31
INT32_LIMIT = INT32_MOST - 65536
MOST_PROGRAMS = (INT32_MOST - 1, 65535, 65535)  # along the axes of a grid; CUDA programming guide, compute capabilities

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
PRECISIONS = ("ieee", "tf32", "tf32x3")

LIBRARY = torch.library.Library("striate", "FRAGMENT")


def run(
    kernel: Any, grid: tuple[int, ...], *args: Any, num_warps: int = 4, num_stages: int = 3, **constants: Any
) -> None:
    """Launch `kernel` on the device of its first argument.

    Raises:
        UsageError: A CPU tensor, while triton is not interpreting; a grid that no device can launch.
    """
    if any(programs > most for programs, most in zip(grid, MOST_PROGRAMS, strict=False)):
        raise UsageError(
            f"a grid of at most {' x '.join(f'{most:,}' for most in MOST_PROGRAMS)} programs",
            f"{' x '.join(f'{programs:,}' for programs in grid)} for {kernel.__name__}",
            'use smaller sizes, or take torch\'s road: with striate.core.ops.kernels("torch")',
        )
    first = args[0]
    if first.is_cuda:
        with torch.cuda.device(first.device):
            kernel[grid](*args, num_warps=num_warps, num_stages=num_stages, **constants)
    elif INTERPRETED:
        kernel[grid](*args, num_warps=num_warps, num_stages=num_stages, **constants)
    else:
        raise UsageError(
            "a CUDA tensor for a Triton kernel",
            f"a tensor on {first.device.type}",
            "move it to a GPU, or set TRITON_INTERPRET=1 before starting",
        )


def define(schema: str, launcher: Callable[..., Any], fake: Callable[..., Any]) -> Any:
    """Declare one raw operation `striate::name`: its schema, what launches it, and its shapes, dtypes and strides."""
    name = schema[: schema.index("(")]
    LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    for device in ("CUDA", "CPU"):  # CPU: for the interpreter; `run` refuses without it
        LIBRARY.impl(name, launcher, device)
    torch.library.register_fake(f"striate::{name}", fake, lib=LIBRARY)
    return getattr(torch.ops.striate, name).default


def differentiable(op: Any, setup_context: Callable[..., None], backward: Callable[..., Any]) -> Callable[..., Any]:
    """Join a raw operation to autograd and return the function to call.

    The operation gets its gradient registered for torch.compile and direct callers. Eager calls go through a
    torch.autograd.Function around the same operation: a registered gradient costs 51 us a call on the host, a Function
    12 us (measured on a slow CPU core). Second derivatives are refused, because the gradients are raw operations:
    torch's once_differentiable would notice only those that pass through the incoming gradient, and lose the others.
    """

    def once(ctx: Any, *incoming: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise UsageError(
                "a first derivative from the Triton kernels",
                "create_graph=True",
                'take torch\'s road for second derivatives: with striate.core.ops.kernels("torch")',
            )
        return backward(ctx, *incoming)

    torch.library.register_autograd(op, backward, setup_context=setup_context, lib=LIBRARY)
    members = {
        "forward": staticmethod(lambda *args: op(*args)),
        "setup_context": staticmethod(setup_context),
        "backward": staticmethod(once),
    }
    function: Any = type(op._schema.name.split("::")[1], (torch.autograd.Function,), members)

    def apply(*args: Any) -> Any:
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return op(*args)
        return function.apply(*args)

    return apply


FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def feature_map(x: Tensor) -> Tensor:
    """Return x (N, C, ...) with its channels last in memory, copied only where they are not (or x is expanded)."""
    if x.dim() in FORMATS:
        return x.contiguous(memory_format=FORMATS[x.dim()])
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def empty_map(like: Tensor, shape: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
    """Return an uninitialised (N, C, ...) tensor, channels last in memory, on the device and in the dtype of `like`."""
    n, c, *sizes = shape
    if len(shape) in FORMATS:
        form = FORMATS[len(shape)]
        return torch.empty((n, c, *sizes), dtype=dtype or like.dtype, device=like.device, memory_format=form)
    return torch.empty((n, *sizes, c), dtype=dtype or like.dtype, device=like.device).movedim(-1, 1)


def wide(*sizes: Tensor | int) -> bool:
    """Return whether any tensor, or number of elements, needs int64 offsets."""
    return any((size if isinstance(size, int) else size.numel()) >= INT32_LIMIT for size in sizes)


def upcast(x: Tensor) -> bool:
    """Return whether matrix products must take float32 copies: the interpreter multiplies bfloat16's bit patterns."""
    return INTERPRETED and x.dtype == torch.bfloat16


def precision(name: str | None) -> str:
    """Return how float32 is multiplied: the given way, or the one torch's setting for cuDNN's convolutions names."""
    if name is None:
        if torch.compiler.is_compiling():  # dynamo knows the older name only, which raises where both were set
            return "tf32" if torch.backends.cudnn.allow_tf32 else "ieee"
        setting: str = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
        return "tf32" if setting == "tf32" else "ieee"
    if name not in PRECISIONS:
        raise unknown("precision", name, PRECISIONS)
    return name


def check_dtype(x: Tensor) -> None:
    """Raise unless the kernels know x's dtype."""
    if x.dtype not in DTYPES:
        raise UsageError(
            "float32, float16 or bfloat16 for a Triton kernel",
            str(x.dtype).removeprefix("torch."),
            'convert the tensor, or take torch\'s road: with striate.core.ops.kernels("torch")',
        )


def check_map(x: Tensor, dims: int = 2) -> None:
    """Raise unless x is a tensor (N, C, ...) with `dims` more dimensions, of a known dtype."""
    check_dtype(x)
    if x.dim() != dims + 2:
        form = ", ".join(("N", "C", "D", "H", "W")[i] for i in (0, 1, *range(5 - dims, 5)))
        raise UsageError(f"a tensor ({form})", f"shape {tuple(x.shape)}", "add or remove dimensions")
