"""Spatial transformers: grids of affine transformations, and maps read at the points of a grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from ..checks import UsageError, unknown
from . import switch
from .switch import operation

MODES = ("bilinear", "nearest")
PADDINGS = ("zeros", "border", "reflection")


@operation("affine_grid", forward=("affine_forward",), backward=("affine_backward",), limits="first derivatives only")
def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """Make a grid for `grid_sample` from affine transformations, as `torch.nn.functional.affine_grid`.

    Args:
        theta: (N, 2, 3): where the output's (x, y, 1) lies in the input, both in [-1, 1].
        size: The output's (N, C, H, W).
        align_corners: -1 and 1 are the corner pixels' centres, not the map's edges.

    Returns:
        (N, H, W, 2), dtype of theta.

    Raises:
        UsageError: Another shape of theta or of the size.
    """
    if theta.dim() != 3 or theta.shape[1:] != (2, 3) or len(size) != 4 or size[0] != theta.shape[0]:
        raise UsageError(
            "theta (N, 2, 3) and a size (N, C, H, W)", f"{tuple(theta.shape)} and {tuple(size)}", "give both for N"
        )
    if not switch.uses_triton(theta):
        return F.affine_grid(theta, list(size), align_corners)
    from ..kernels import affine_grid as family
    from ..kernels import launch

    launch.check_dtype(theta)
    return family.affine_grid(theta, list(size[2:]), align_corners)


@operation(
    "sampling",
    forward=("sample_forward",),
    backward=("sample_grid_gradient", "sample_map_gradient", "sample_map_gradient_in_order"),
    limits="the map's gradient adds with atomics unless torch asks for determinism; first derivatives only",
)
def grid_sample(
    x: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool = False
) -> Tensor:
    """Read a map at the points of a grid, as `torch.nn.functional.grid_sample`.

    Args:
        x: (N, C, H, W), float32, float16 or bfloat16.
        grid: (N, OH, OW, 2), dtype of x: (x, y) in [-1, 1] for points inside the map.
        mode: "bilinear" or "nearest".
        padding_mode: What points outside read: "zeros", "border" or "reflection".
        align_corners: See `affine_grid`.

    Returns:
        (N, C, OH, OW), dtype of x.

    Raises:
        UsageError: An unknown mode; shapes, dtypes or devices that do not fit; an empty map.
    """
    if mode not in MODES:
        raise unknown("mode", mode, MODES)
    if padding_mode not in PADDINGS:
        raise unknown("padding_mode", padding_mode, PADDINGS)
    if not switch.uses_triton(x):
        return F.grid_sample(x, grid, mode, padding_mode, align_corners)
    from ..kernels import launch, sampling

    launch.check_map(x)
    fits = grid.dim() == 4 and grid.shape[3] == 2 and grid.shape[0] == x.shape[0]
    if not fits or grid.dtype != x.dtype or grid.device != x.device:
        got = f"{tuple(grid.shape)} {grid.dtype} on {grid.device}"
        raise UsageError(f"a grid ({x.shape[0]}, OH, OW, 2), {x.dtype} on {x.device}", got, "reshape or convert it")
    if 0 in x.shape[2:]:
        raise UsageError("a map with pixels to read", f"shape {tuple(x.shape)}", "leave empty maps out")
    return sampling.grid_sample(x, grid, mode == "nearest", align_corners, padding_mode)
