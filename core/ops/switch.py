"""Which road a tensor takes, and the table of the operations that have both.

Every operation takes the road of its first tensor: a CPU tensor goes to torch by a plain call, a CUDA tensor to our
Triton kernels. `TRITON_INTERPRET=1` makes a CPU tensor count as CUDA (Triton's interpreter runs the kernels in NumPy).
The switch is visible: `STRIATE_KERNELS=triton|torch|auto`, or `with kernels("torch"):`, and `roads()` tells what is
taken. Nothing slips back to torch in silence: what the kernels cannot do raises.

Both environment variables are read once, at the first operation: triton itself reads `TRITON_INTERPRET` only when it is
first imported, and asking the environment costs 0.7 us a call, as much as the rest of the choice together.

The kernels answer in channels_last strides, whatever the input's, but for `activation`, which keeps the strides of a
dense input; torch answers in the strides of its input.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import local
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ..checks import UsageError, unknown

Pair = int | tuple[int, ...]  # one number, or (vertical, horizontal)

SWITCHES = ("auto", "triton", "torch")

FLOATS = ("float32", "float16", "bfloat16")

# Compute capabilities x 10 for which the tests compile every kernel: A100, RTX 40, H100, B200.
ARCHITECTURES = (80, 89, 90, 100)

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., object])


class Operation(NamedTuple):
    """What `striate info --kernels` tells of an operation."""

    family: str  # file of core/kernels
    forward: tuple[str, ...]  # kernels that may run
    backward: tuple[str, ...]  # kernels of its gradients; empty where there is none to take
    dtypes: tuple[str, ...]
    limits: str


OPERATIONS: dict[str, Operation] = {}


def operation(
    family: str,
    *,
    forward: tuple[str, ...],
    backward: tuple[str, ...] = (),
    dtypes: tuple[str, ...] = FLOATS,
    limits: str = "",
) -> Callable[[AnyFunction], AnyFunction]:
    """List a function in `OPERATIONS` under its name; the function stays what it is."""

    def listed(function: AnyFunction) -> AnyFunction:
        OPERATIONS[function.__name__] = Operation(family, forward, backward, dtypes, limits)
        return function

    return listed


def figures() -> dict[str, list[dict[str, str | float]]]:
    """Return what benchmarks measured of each operation: device, against whom, their time over ours, cases."""
    return json.loads(Path(__file__).with_name("figures.json").read_text())


class _Forced(local):
    """The road of the innermost `with kernels(...)` of a thread (a ContextVar could not be traced by torch.compile)."""

    switch: str | None = None


_forced = _Forced()


# (the switch, whether triton interprets), once read. A variable and not functools.cache, which torch.compile sees
# through with a warning.
_settings: tuple[str, bool] | None = None


def _environment() -> tuple[str, bool]:
    """Return (the switch, whether triton interprets) as the environment had them at the first operation."""
    global _settings
    if _settings is not None:
        return _settings
    switch = os.environ.get("STRIATE_KERNELS", "auto")
    if switch not in SWITCHES:
        raise unknown("STRIATE_KERNELS", switch, SWITCHES)
    _settings = switch, os.environ.get("TRITON_INTERPRET", "0") == "1"
    return _settings


@contextmanager
def kernels(switch: str) -> Iterator[None]:
    """Force a road inside a `with` block, in this thread: "triton", "torch" or "auto".

    Example:
        >>> import torch
        >>> with kernels("torch"):
        ...     activation(torch.tensor([-1.0, 2.0]), "relu")
        tensor([0., 2.])
    """
    if switch not in SWITCHES:
        raise unknown("kernels", switch, SWITCHES)
    before, _forced.switch = _forced.switch, switch
    try:
        yield
    finally:
        _forced.switch = before


def uses_triton(x: Tensor) -> bool:
    """Return whether an operation on `x` takes the Triton road.

    Raises:
        UsageError: The switch says "triton", but `x` is neither on a CUDA device nor is triton interpreting.
    """
    environment, interpreted = _environment()
    switch = _forced.switch or environment
    if switch == "torch":
        return False
    reachable = x.is_cuda or (interpreted and x.device.type == "cpu")
    if switch == "triton" and not reachable:
        raise UsageError(
            "a CUDA tensor, because the kernels are switched to triton",
            f"a tensor on {x.device.type}",
            "move it to a GPU, set TRITON_INTERPRET=1 before starting, or switch to STRIATE_KERNELS=auto",
        )
    return reachable


def float32_products() -> str:
    """Return how kernels multiply float32 unless told otherwise: "tf32" or "ieee"."""
    from ..kernels import launch

    return launch.precision(None)


def state(x: Tensor) -> tuple[Any, ...]:
    """Return what else than `x` decides which kernels run: road, float32 products, autocast."""
    kind = x.device.type
    return uses_triton(x), float32_products(), torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind)


def roads() -> dict[str, dict[str, str]]:
    """Return the table of roads for `striate info`: for each operation, the road a CPU and a CUDA tensor takes now."""
    environment, interpreted = _environment()
    switch = _forced.switch or environment
    missing = find_spec("triton") is None
    triton = "error: triton is not installed" if missing else "triton"
    cpu = {"torch": "torch", "triton": "triton (interpreted)" if interpreted else "error: triton needs CUDA"}.get(
        switch, "triton (interpreted)" if interpreted else "torch"
    )
    row = {"cpu": cpu, "cuda": "torch" if switch == "torch" else triton, "switch": switch}
    return {name: dict(row) for name in OPERATIONS}
