"""Compare an operation with float64 torch: forward and every gradient, with derived tolerances.

    atol = 8 * (u + sqrt(terms) * 2^-24) * max(1, rms of the exact result)

where u is half a unit in the last place of the stored (or multiplied) type and `terms` the length of the longest sum:
rounding errors of a float32 sum of independent terms grow like the root of their number, and 8 covers the largest of a
few thousand elements. Scale weights by 1 / sqrt(terms), so that results are of size 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from . import ops

UNITS = {torch.float32: 2.0**-24, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}
TF32_UNIT = 2.0**-11


def tolerance(dtype: torch.dtype, terms: int = 1, *, tf32: bool = False) -> float:
    """Return the largest error allowed in a result of size 1.

    Args:
        dtype: Type of the operands and the result.
        terms: Length of the longest sum behind one number.
        tf32: Whether float32 factors are rounded to tf32's 10 bits.

    Example:
        >>> tolerance(torch.float32, 9) < 2e-6
        True
    """
    unit = TF32_UNIT if tf32 and dtype == torch.float32 else UNITS[dtype]
    return 8 * (unit + terms**0.5 * 2.0**-24)


def results(function: Callable[..., Tensor], tensors: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Return the output of `function(*tensors)` and the gradient of each tensor that requires one.

    The incoming gradient is drawn on the CPU and rounded to `dtype`, so that it is the same on every device and road.
    """
    out = function(*tensors)
    wanted = [t for t in tensors if t.requires_grad]
    if not wanted:
        return [out]
    # A seed that no test draws its inputs from: a gradient equal to the input would hide what exchanges the two.
    incoming = torch.randn(out.shape, generator=torch.Generator().manual_seed(20_001), device="cpu").to(dtype)
    return [out, *torch.autograd.grad(out, wanted, incoming.to(out))]


def exact(function: Callable[..., Tensor], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return what `results` would in float64 on torch's CPU road, from the same (upcast) values."""
    raised = [t.detach().cpu().double().requires_grad_(t.requires_grad) for t in tensors]
    with ops.kernels("torch"):
        return results(function, raised, tensors[0].dtype)


def assert_exact_enough(
    function: Callable[..., Tensor], tensors: Sequence[Tensor], *, terms: int = 1, tf32: bool = False
) -> float:
    """Compare `function` with its float64 self, forward and every gradient, and return the worst share of tolerance.

    Args:
        function: Takes `tensors`, returns one tensor; called on its own road, then on torch's with float64 copies.
        tensors: Inputs of one dtype; those that require gradients get theirs compared.
        terms: Length of the longest sum behind one number, gradients included.
        tf32: Whether float32 factors are rounded to tf32.

    Raises:
        AssertionError: An error above the tolerance, a wrong shape or dtype, or NaN in other places.
    """
    worst = 0.0
    names = ["output", *[f"gradient {i}" for i, t in enumerate(tensors) if t.requires_grad]]
    for name, ours, theirs in zip(
        names, results(function, tensors, tensors[0].dtype), exact(function, tensors), strict=True
    ):
        if ours.shape != theirs.shape or ours.dtype != tensors[0].dtype:
            raise AssertionError(f"{name}: {tuple(ours.shape)} {ours.dtype}, expected {tuple(theirs.shape)}")
        ours = ours.detach().cpu().double()
        if not torch.equal(ours.isnan(), theirs.isnan()):
            raise AssertionError(f"{name}: NaN in {ours.isnan().sum()} places, expected {theirs.isnan().sum()}")
        finite = theirs.detach()[theirs.isfinite()]
        if not torch.equal(ours[~theirs.isfinite()].nan_to_num(), theirs[~theirs.isfinite()].nan_to_num()):
            raise AssertionError(f"{name}: wrong infinities")
        if finite.numel() == 0:
            continue
        limit = tolerance(tensors[0].dtype, terms, tf32=tf32) * max(1.0, finite.square().mean().sqrt().item())
        error = (ours[theirs.isfinite()] - finite).abs().max().item()
        if not error <= limit:
            raise AssertionError(f"{name}: error {error:.2e} above {limit:.2e}")
        worst = max(worst, error / limit)
    return worst
