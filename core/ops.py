"""The one place that chooses between Triton and torch.

Every operation takes the road of its first tensor: a CPU tensor goes to torch by a plain call, a CUDA tensor to our
Triton kernels. `TRITON_INTERPRET=1` makes a CPU tensor count as CUDA (Triton's interpreter runs the kernels in NumPy).
The switch is visible: `STRIATE_KERNELS=triton|torch|auto`, or `with kernels("torch"):`, and `roads()` tells what is
taken. Nothing slips back to torch in silence: what the kernels cannot do raises.

Both environment variables are read once, at the first operation: triton itself reads `TRITON_INTERPRET` only when it is
first imported, and asking the environment costs 0.7 us a call, as much as the rest of the choice together.

The kernels answer in channels_last strides, whatever the input's; torch answers in the strides of its input.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from threading import local

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import UsageError, unknown

Pair = int | tuple[int, ...]  # one number, or (vertical, horizontal)

SWITCHES = ("auto", "triton", "torch")

# Names of ops.activation; `slope` reaches only leaky_relu (its negative slope) and elu (its alpha).
ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "hardtanh": F.hardtanh,
    "elu": F.elu,
    "gelu": F.gelu,
    "mish": F.mish,
}
SLOPED = ("leaky_relu", "elu")


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
    return {name: dict(row) for name in ("conv2d", "batch_norm", "activation", "max_pool2d", "avg_pool2d", "upsample")}


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
    *,
    precision: str | None = None,
) -> Tensor:
    """Cross-correlate images with filters, as `torch.nn.functional.conv2d`.

    Args:
        x: (N, C, H, W), float32, float16 or bfloat16.
        weight: (K, C / groups, R, S), dtype of x (under autocast both are cast).
        bias: (K,) or None.
        stride: Step between outputs, one number or (vertical, horizontal).
        padding: Zeros around the image, one number, a pair, "valid" or "same".
        dilation: Step between the filter's taps.
        groups: Channels are split into that many independent convolutions; `groups == C` is depthwise.
        precision: How the kernels multiply float32: "ieee", "tf32", "tf32x3", or None to follow
            `torch.backends.cudnn.allow_tf32`. Torch's CPU road is always exact.

    Returns:
        (N, K, OH, OW), dtype of x.

    Raises:
        UsageError: Sizes, dtypes or devices that do not fit the kernels (on torch's road, torch's own errors).
    """
    if not uses_triton(x):
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    from .kernels import conv, conv_backward, depthwise, launch

    del conv_backward  # imported because importing it registers the gradients
    x, weight, bias, window = launch.filter_window(x, weight, bias, stride, padding, dilation, groups)
    family = depthwise if weight.shape[1] == 1 and groups > 1 else conv
    return family.conv2d(x, weight, bias, *window, groups, launch.precision(precision))


def batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize every channel over batch and pixels, then scale and shift it (Ioffe and Szegedy 2015, algorithm 1).

    Args:
        x: (N, C, H, W), float32, float16 or bfloat16.
        weight: (C,) scale, or None for ones.
        bias: (C,) shift, or None for zeros.
        running_mean: (C,) float32, updated in place while training with weight `momentum`; may be None then.
        running_var: (C,) float32, likewise; takes the unbiased variance, while x is divided by the biased one.
        training: Normalize with the batch's own statistics instead of the running ones.
        momentum: Weight of the new batch in the running statistics.
        eps: Added to the variance.

    Returns:
        (N, C, H, W), dtype of x.
    """
    if not uses_triton(x):
        return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    from .kernels import norm, norm_backward

    del norm_backward  # imported because importing it registers the gradient
    return norm.batch_norm(x, weight, bias, running_mean, running_var, training, momentum, eps)


def activation(x: Tensor, name: str, slope: float = 0.01, *, inplace: bool = False) -> Tensor:
    """Apply an elementwise non-linearity; NaN goes in, NaN comes out.

    Args:
        x: Any shape, float32, float16 or bfloat16.
        name: One of `ACTIVATIONS`.
        slope: The negative slope of leaky_relu, alpha of elu; the others do not read it.
        inplace: Lets torch's road reuse x's memory for relu, leaky_relu and silu; the kernels write a new tensor.
    """
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    if not uses_triton(x):
        options = {"inplace": True} if inplace and name in ("relu", "leaky_relu", "silu") else {}
        return ACTIVATIONS[name](x, slope, **options) if name in SLOPED else ACTIVATIONS[name](x, **options)
    from .kernels import activation as family

    return family.activation(x, name, slope)


def max_pool2d(
    x: Tensor,
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Take the maximum of every window; ties go to the first, NaN wins, padding is minus infinity.

    Args:
        x: (N, C, H, W).
        kernel: Window, one number or (height, width).
        stride: Step between windows, `kernel` if None.
        padding: Rows and columns of minus infinity around the image, at most half the window.
        dilation: Step between a window's elements.
        ceil_mode: Keep windows that only partly fit.
    """
    if not uses_triton(x):
        return F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
    from .kernels import pooling

    return pooling.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)


def avg_pool2d(
    x: Tensor,
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    count_include_pad: bool = True,
    ceil_mode: bool = False,
    divisor_override: int | None = None,
) -> Tensor:
    """Take the mean of every window; `count_include_pad` says whether the padding's zeros count in the divisor."""
    if not uses_triton(x):
        return F.avg_pool2d(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)
    from .kernels import pooling

    return pooling.avg_pool2d(x, kernel, stride, padding, count_include_pad, ceil_mode, divisor_override)


def upsample(
    x: Tensor,
    scale: float | tuple[float, ...] | None = None,
    size: Pair | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """Resize images by a factor or to a size, with the arithmetic of `torch.nn.functional.interpolate`.

    Args:
        x: (N, C, H, W).
        scale: Factor, one number or (vertical, horizontal); exactly one of `scale` and `size`.
        size: Output size, one number or (height, width).
        mode: "nearest" or "bilinear".
        align_corners: For bilinear only: whether the corner pixels' centres coincide.
    """
    if mode not in ("nearest", "bilinear"):
        raise unknown("upsample mode", mode, ("nearest", "bilinear"))
    if mode == "nearest" and align_corners:
        raise UsageError("align_corners for bilinear only", "mode='nearest'", "leave align_corners out")
    if not uses_triton(x):
        corners = bool(align_corners) if mode == "bilinear" else None
        return F.interpolate(x, size, scale, mode, corners)
    from .kernels import upsample as family

    return family.upsample(x, scale, size, mode, bool(align_corners))
