"""How work is cut: tiles by architecture and arithmetic, and sums in parts.

Tables, not autotuning: an autotuner measures every shape anew, needs a device, and may choose differently from run to
run, which changes the order of sums. A table is data (tiles.json) and may be widened on one's own device by `striate
bench tune`, once. Every row compiles for its architecture without spilled registers and without
serialized wgmma (tests/core/test_compile.py); speeds are not yet measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..checks import UsageError
from ..folders import cache_folder
from . import launch

PROCESSORS = {80: 108, 89: 128, 90: 132, 100: 148}  # streaming multiprocessors of A100, RTX 4090, H100 and B200
MIN_BLOCKS = 8  # blocks in a part of a sum, at least


@cache
def _capability(index: int) -> int:
    major, minor = torch.cuda.get_device_capability(index)
    return 10 * major + minor


def architecture(x: Tensor) -> int:
    """Return the row of the tile tables for x's device: its own, or the nearest below it."""
    if not x.is_cuda:
        return 80
    index = x.device.index
    capability = _capability(torch.cuda.current_device() if index is None else index)
    return max((row for row in PROCESSORS if row <= capability), default=80)


def processors(x: Tensor) -> int:
    """Return the number of multiprocessors a grid should fill; a constant per row, so that sums keep their order."""
    return PROCESSORS[architecture(x)]


class Tile(NamedTuple):
    """A program's share: BM pixels x BN filters, BK of the reduction at a time; 4 warps, `stages` loads in flight."""

    BM: int
    BN: int
    BK: int
    stages: int
    tma: bool = False  # let the copy engine fetch the tiles, where conv2d_tma.py can


TABLE = "tiles.json"
"""Rows by architecture and arithmetic, then by the least number of filters; a file of this name in the user's cache
holds what `striate bench tune` found for single convolutions."""


@cache
def table() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the shipped table, read at the first call."""
    return json.loads(Path(__file__).with_name(TABLE).read_text())


@cache
def tuned() -> dict[str, Tile]:
    """Return the user's table, read at the first call; empty where there is none.

    Raises:
        UsageError: A file that `striate bench tune` did not write.
    """
    path = cache_folder() / TABLE
    if not path.is_file():
        return {}
    try:
        return {key: Tile(**row) for key, row in json.loads(path.read_text())["tiles"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        fix = "remove the file, or run striate bench tune again"
        raise UsageError(f"a table of tiles in {path}", f"{type(error).__name__}: {error}", fix) from error


def key(x: Tensor, pixels: int, filters: int, channels: int, precision: str) -> str:
    """Name a product in the user's table; pixels by powers of two, so that a picture's size seldom matters."""
    return f"sm_{architecture(x)} {arithmetic(x, precision)} {pixels.bit_length()} {filters} {channels}"


_forced: list[Tile] = []


@contextmanager
def forced(chosen: Tile) -> Iterator[None]:
    """Give every product this tile inside a `with` block: for measuring it."""
    _forced.append(chosen)
    try:
        yield
    finally:
        _forced.pop()


def tile(
    x: Tensor, pixels: int, filters: int, channels: int, precision: str, repeats: int = 1, gather: bool = False
) -> Tile:
    """Return the tile for a product of (pixels, channels) by (channels, filters) per tap, launched `repeats` times.

    `gather` says that channels are no multiple of 8: loads then go element by element and need a register for each, so
    the tile is at most 64 x 64 x 16 (128 x 64 x 64 spilled 132 to 1,072 bytes).
    """
    if _forced:
        return _forced[-1]
    if launch.INTERPRETED:  # an operation costs the interpreter 0.2 ms whatever its size: few programs, large tiles
        return Tile(power(pixels, 1024), power(filters, 64), power(channels, 64), 1, architecture(x) >= 90)
    if gather:
        return Tile(64, power(filters, 64), 16, 3)
    own = tuned().get(key(x, pixels, filters, channels, precision))
    if own is not None:
        return own
    chosen = rows(architecture(x), arithmetic(x, precision), filters)[0]
    programs = repeats * triton.cdiv(pixels, chosen.BM) * triton.cdiv(filters, chosen.BN)
    if programs < processors(x) and chosen.BM > 64:  # a small map: halve the tile to keep the device busy
        chosen = chosen._replace(BM=64)
    return chosen._replace(BK=min(chosen.BK, power(channels, 64)))


@cache
def rows(arch: int, kind: str, filters: int) -> tuple[Tile, ...]:
    """Return the shipped rows for an architecture and an arithmetic, the one for so many filters first."""
    found = table()["products"][str(arch)][kind]
    fitting = [row for row in found if row["least_filters"] <= filters]
    ordered = fitting + [row for row in found if row not in fitting]
    return tuple(Tile(**{name: row[name] for name in Tile._fields}) for row in ordered)


def weight_tile(x: Tensor, filters: int, columns: int, pixels: int, precision: str) -> Tile:
    """Return the tile for a gradient of (filters, columns) summed over pixels."""
    if launch.INTERPRETED:
        return Tile(power(filters, 64), power(columns, 256), power(pixels, 1024), 1)
    row = Tile(**table()["weight_gradients"][str(architecture(x))][arithmetic(x, precision)])
    return row._replace(BM=power(filters, row.BM), BN=power(columns, row.BN))


def arithmetic(x: Tensor, precision: str) -> str:
    """Return the kind of arithmetic a tile table distinguishes: "half", "tf32", "tf32x3" or "ieee"."""
    return precision if x.dtype == torch.float32 else "half"


def power(size: int, most: int) -> int:
    """Return the power of two that holds `size`, from 16 (the least tl.dot takes) to `most`."""
    return max(16, min(most, triton.next_power_of_2(size)))


def column_tile(rows: int, channels: int) -> tuple[int, int]:
    """Return (BM, BC) for an elementwise or summing pass over a (rows, channels) matrix."""
    if launch.INTERPRETED:
        return power(rows, 4096), power(channels, 64)
    bc = power(channels, 64)
    return 4096 // bc, bc


def small_tile(rows: int, channels: int) -> tuple[int, int]:
    """Return (BM, BC) for a pass that holds several numbers for each of its tile: 1,024, so that none is spilled."""
    if launch.INTERPRETED:
        return column_tile(rows, channels)
    bc = power(channels, 64)
    return 1024 // bc, bc


def matrix(x: Tensor) -> tuple[int, int, int, int]:
    """Return (rows, channels, BM, BC) of a channels_last map as a matrix."""
    rows, channels = x.numel() // x.shape[1], x.shape[1]
    return rows, channels, *column_tile(rows, channels)


def split(x: Tensor, rows: int, block: int, programs: int, outputs: int) -> tuple[int, int]:
    """Return (parts, rows per part) for a sum over rows: enough to fill the device twice.

    A part has at least 8 blocks, so that its share of the second pass is small, and the workspace at most 2^24
    numbers (64 MiB). Depends on sizes and the table's row only, so that sums are the same from run to run.
    """
    blocks = triton.cdiv(rows, block)
    parts = min(triton.cdiv(2 * processors(x), programs), blocks // MIN_BLOCKS, 2**24 // outputs)
    per = triton.cdiv(blocks, max(1, parts))
    return triton.cdiv(blocks, per), per * block


def fill(x: Tensor, steps: int, programs: int, outputs: int) -> tuple[int, int]:
    """Return (parts, steps per part) for a reduction whose tiles may leave half of the device idle."""
    return split(x, steps, 1, programs, outputs) if 2 * programs <= processors(x) else (1, steps)


@triton.jit
def sum_parts(
    parts,  # (SPLITS, L) float32
    out,  # (L,)
    splits, L,
    B: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * B + tl.arange(0, B)
    acc = tl.zeros((B,), tl.float32)
    for part in range(splits):
        acc += tl.load(parts + part * L + i, mask=i < L, other=0.0)
    tl.store(out + i, acc.to(out.dtype.element_ty), mask=i < L)


def add_parts(parts: Tensor, out: Tensor) -> None:
    """Add parts (SPLITS, L) in order into `out`, whose memory holds L numbers without gaps."""
    length = out.numel()
    launch.run(sum_parts, (triton.cdiv(length, 256),), parts, out, parts.shape[0], length, B=256)
