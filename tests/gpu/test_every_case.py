"""Every case that the compile tier builds, on a GPU: against torch's own, from poisoned memory, and again and again.

A wrong tile is silent: a public template with 8 warps gave 84.7 % wrong elements without an error (pytorch#173068). So
every row of the tables that a case reaches computes here what torch computes in float32 from the same values; memory
that torch hands out is filled with NaN first; and five runs in a row must agree to the bit, which a race would not.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from striate.core import ops
from striate.tests.core.families import gather

pytestmark = pytest.mark.gpu

CASES = gather("COMPILE")
DRAWN = ("dropout", "stochastic")  # each road draws its own numbers
RUNS = 5
# bfloat16 in, float32 sums, bfloat16 out: 2^-9 of each number; far below what a wrong tile gives.
LIMIT = 0.02


def run(case: tuple[Any, ...], switch: str, device: str, exact: bool) -> list[Tensor]:
    """Return the floating-point outputs and gradients of a case; `exact` computes from the same values in float32."""
    function, shapes, *options = case
    settings = options[0] if options else {}
    dtype, wanted = settings.get("dtype", torch.bfloat16), settings.get("gradient", True)
    generator = torch.Generator().manual_seed(0)
    tensors = []
    for shape in shapes:
        drawn = torch.rand(shape, generator=generator).to(device, dtype)
        tensors.append((drawn.float() if exact else drawn).requires_grad_(wanted))
    torch.manual_seed(0)
    with ops.kernels(switch), torch.device(device):
        found = function(*tensors)
        outs = [t for t in (found if isinstance(found, tuple | list) else [found]) if isinstance(t, Tensor)]
        outs = [t for t in outs if t.is_floating_point()]
        grown = [t for t in outs if t.requires_grad]
        if not grown:
            return [t.detach() for t in outs]
        incoming = [torch.rand(t.shape, generator=generator).to(t) for t in grown]
        slopes = torch.autograd.grad(grown, tensors, incoming, allow_unused=True)
    return [*(t.detach() for t in outs), *(s for s in slopes if s is not None)]


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_torch_from_poisoned_memory(name: str) -> None:
    if name.startswith(DRAWN):
        pytest.skip("random: its statistics are tested elsewhere")
    torch.use_deterministic_algorithms(True, warn_only=True)  # which fills fresh memory with NaN
    try:
        ours = run(CASES[name], "triton", "cuda", exact=False)
    finally:
        torch.use_deterministic_algorithms(False)
    for mine, theirs in zip(ours, run(CASES[name], "torch", "cuda", exact=True), strict=True):
        error = (mine.float() - theirs.float()).norm() / theirs.float().norm().clamp(min=1e-6)
        assert error < LIMIT, f"{error:.3f} of the norm, shape {tuple(mine.shape)}"


@pytest.mark.parametrize("name", CASES)
def test_runs_agree_to_the_bit(name: str) -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        first, *others = (run(CASES[name], "triton", "cuda", exact=False) for _ in range(RUNS))
    finally:
        torch.use_deterministic_algorithms(False)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
