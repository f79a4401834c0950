"""The memory that a painting takes, and how much of it there is."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from ..core.checks import UsageError
from .features import Features
from .windows import HALO

VECTORS = 30
"""Pictures that a rule keeps: L-BFGS 2 x 10 pairs, point, gradient, direction, and the copies of the loop."""
MAPS = 2.2
"""Copies of all maps that wait for the backward pass: after their activation, and padded for the next convolution."""
PASSING = 5.0
"""Copies of the largest maps that come and go: gradients, and what Gram matrices are summed from."""
MEASURED = 3.5
"""Copies of the largest maps where no gradient is asked for, beside those that are compared."""
WORKSPACE = 4 * 2**20
"""Bytes that oneDNN and torch take for themselves."""
SHARE = 0.6
"""Of the memory that is free, what a painting may take."""
TILES = (2048, 1536, 1024, 768, 512, 384, 256)
CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 2**60
"""Bytes: what version 1 of control groups says for no limit is a little below 2**63."""


def needed(
    features: Features, layers: list[str], height: int, width: int, tile: int | None = None, *, gradient: bool = True
) -> int:
    """Estimate the bytes that painting a picture takes, without the network's weights.

    On a CPU it was 1.07 to 1.42 times what was taken, at 256 to 512 pixels with three networks. In tiles it is too low:
    at 768 and 1024 pixels 1.1 to 1.6 times as much was taken, most of it pieces that the allocator kept.

    Args:
        features: Of the transfer.
        layers: That are compared.
        height: Of the picture.
        width: Of the picture.
        tile: Side of the tiles, or None.
        gradient: Whether it is painted, or only looked at for its Gram matrices.
    """
    size = next(features.trunk.parameters()).element_size()
    pixels, reach = height * width, 2 * HALO
    seen = pixels if tile is None else min(height, tile + reach) * min(width, tile + reach)
    per_pixel = features.numbers_per_pixel(layers)
    compared = sum(features.trunk.channels[name] / features.trunk.strides[name] ** 2 for name in layers)
    if not gradient:
        return math.ceil(size * seen * (MEASURED * max(per_pixel) + compared) + 4 * 3 * 3 * pixels + WORKSPACE)
    maps = MAPS * sum(per_pixel) + PASSING * max(per_pixel)
    return math.ceil(size * (maps * seen + compared * pixels) + 4 * VECTORS * 3 * pixels + WORKSPACE)


def tile_for(
    features: Features, layers: list[str], height: int, width: int, budget: float, *, gradient: bool = True
) -> int | None:
    """Return the largest tile, of 2048 to 256 pixels, that keeps within a budget of bytes; None for no tiles.

    Raises:
        UsageError: Not even the smallest does.
    """
    for tile in (None, *TILES):
        smaller = tile is None or tile < max(height, width)
        if smaller and needed(features, layers, height, width, tile, gradient=gradient) <= budget:
            return tile
    least = needed(features, layers, height, width, TILES[-1], gradient=gradient) / 2**30
    fix = "paint a smaller picture, or allow more memory"
    raise UsageError(f"{least:.1f} GiB of memory for {height} x {width} pixels", f"{budget / 2**30:.1f} GiB", fix)


def free_memory(device: torch.device) -> float:
    """Return the bytes that a painting may take on a device; infinity where the system does not tell.

    On a CPU that is a share of what the system has free, or of what a control group (a container's) leaves, if less.
    """
    if device.type == "cuda":
        return SHARE * torch.cuda.mem_get_info(device)[0]
    return SHARE * min(_of_system(), *_of_groups(Path("/proc/self/cgroup"), CGROUPS), math.inf)


def _of_system() -> float:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        known = "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {})
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known else math.inf


def _of_groups(membership: Path, mount: Path) -> Iterator[float]:
    """Yield what each limit on this process's groups, and on those that they lie in, leaves.

    Args:
        membership: The list "number:controllers:path" of a process; version 2 has number 0 and no controllers.
        mount: Where the groups are shown; inside a container its own group stands at the top, whatever its path.
    """
    try:
        rows = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in rows:
        if controllers == "":
            yield from _up(mount, path, ("memory.max", "memory.current", "inactive_file"))
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _up(mount / "memory", path, names)


def _up(top: Path, path: str, names: tuple[str, str, str]) -> Iterator[float]:
    """Yield what is left in a group and in all above it; the pages of files that nobody reads count as free."""
    group = top / path.lstrip("/")
    for place in (group, *group.parents):
        if place == top or top in place.parents:
            try:
                limit, used = ((place / name).read_text().strip() for name in names[:2])
                stat = dict(line.split(" ", 1) for line in (place / "memory.stat").read_text().splitlines())
            except OSError:  # no limit can be set at the top, and a group of another namespace is not shown
                continue
            if limit != "max" and int(limit) < UNLIMITED:
                yield max(0, int(limit) - int(used) + int(stat.get(names[2], 0)))
