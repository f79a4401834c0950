"""Painting scale by scale: the loop that style transfer and texture synthesis share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.checks import UsageError
from ..core.pixels import Descent, Step, descend
from .features import Features
from .memory import free_memory, tile_for
from .networks import VggTrunk
from .objective import Objective
from .painting import Painting, Progress
from .windows import check_tiles

SMALLEST_TILE = 256
OnStep = Callable[[Progress], bool | None]


@dataclass(frozen=True)
class Canvas:
    """One scale: (height, width) of the picture and the steps to take."""

    height: int
    width: int
    steps: int

    @property
    def work(self) -> int:
        """What it costs, as pixels times steps."""
        return self.height * self.width * self.steps


@dataclass(frozen=True)
class Job:
    """All that a painting is made of.

    Attributes:
        features: On the device where it is painted.
        layers: That are compared.
        canvases: Coarsest first.
        start: (height, width) -> where to begin, (1, 3, H, W).
        objective: (number of the canvas, tile) -> its loss.
        finish: Pixels -> the picture that is shown; what is done about colours.
        optimizer: A rule of `core.pixels`.
        rate: Its rate, or None.
        tile: Side of tiles; None for none unless the memory asks for them.
        memory: Bytes that may be taken; None for a share of what is free.
        settings: JSON data that goes with the painting.
    """

    features: Features
    layers: list[str]
    canvases: tuple[Canvas, ...]
    start: Callable[[int, int], Tensor]
    objective: Callable[[int, int | None], Objective]
    finish: Callable[[Tensor], Tensor]
    optimizer: str
    rate: float | None
    tile: int | None
    memory: float | None
    settings: dict[str, Any]


def paint(job: Job, on_step: OnStep | None, every: int, state: Mapping[str, Any] | None) -> Painting:
    """Paint, or go on painting.

    Raises:
        UsageError: No memory even for small tiles at any scale, or the state of another painting.
    """
    if state is not None and (missing := sorted({"scale", "descent", "losses", "settings"} - {*state})):
        raise UsageError("the state of a painting", f"one without {', '.join(missing)}", "pass painting.state")
    if state is not None and state["settings"] != job.settings:
        own, theirs = job.settings, state["settings"]
        other = sorted(name for name in {*own, *theirs} if own.get(name) != theirs.get(name))
        raise UsageError("the state of this painting", f"one with other {', '.join(other)}", "pass the same options")
    first = 0 if state is None else state["scale"]
    begun = None if state is None else state["descent"]
    clock, before = time.perf_counter(), _work(job, first, 0 if begun is None else begun["step"])[0]
    losses: list[dict[str, float]] = [] if state is None else list(state["losses"])
    pixels: Tensor | None = None
    found: Descent | None = None
    notices: list[str] = []
    tiles = _tiles(job, first)
    for number in range(first, len(job.canvases)):
        canvas = job.canvases[number]
        start = _start(job, canvas, pixels)
        report = _reporter(job, number, on_step, clock, before)
        try:
            found, told = _descend(job, number, tiles[number], start, report, every, begun)
        except MemoryError as error:
            if pixels is None:
                fix = "paint a smaller picture, or end what else takes memory"
                raise UsageError(f"memory for {canvas.height} x {canvas.width} pixels", str(error), fix) from error
            notices.append(f"stopped before {canvas.height} x {canvas.width} pixels: {error}")
            number -= 1  # what there is to go on from is the end of the scale before
            break
        notices += told
        losses += [{"scale": number + 1, **row} for row in found.losses]
        pixels, begun = found.pixels, None
        if found.notice:
            notices.append(found.notice)
            break
    assert pixels is not None
    assert found is not None
    kept = losses[: len(losses) - len(found.losses)]
    return Painting(
        job.finish(pixels).clamp(0, 1).float().cpu(),
        losses,
        job.settings,
        "; ".join(notices),
        finished=found.sound and number + 1 == len(job.canvases) and found.step == job.canvases[number].steps,
        state={
            "scale": number,
            "descent": _going_on(found, job.canvases[number]),
            "losses": kept,
            "settings": job.settings,
        },
    )


def _tiles(job: Job, first: int) -> list[int | None]:
    """Return the side of the tiles of each canvas; that the memory does not suffice is found before the first step."""
    budget = free_memory(job.features.mean.device) if job.memory is None else job.memory
    found = [job.tile] * len(job.canvases)
    for number in range(first, len(found) if job.tile is None else first):
        canvas = job.canvases[number]
        found[number] = tile_for(job.features, job.layers, canvas.height, canvas.width, budget)
    if any(tile is not None for tile in found):
        check_tiles(job.features.trunk, job.features.name)
    return found


def _going_on(found: Descent, canvas: Canvas) -> dict[str, Any]:
    """Return a descent's state on the CPU; once a scale is done nothing follows from what its optimizer remembers."""
    rule = {} if found.step == canvas.steps else found.state["rule"]
    kept = {name: tensor.cpu() for name, tensor in rule.items()}
    return {**found.state, "pixels": found.pixels.cpu(), "rule": kept}


def _start(job: Job, canvas: Canvas, before: Tensor | None) -> Tensor:
    size = canvas.height, canvas.width
    if before is None:
        return job.start(*size)
    return F.interpolate(before, size, mode="bicubic", align_corners=False).clamp(0, 1)


def _work(job: Job, number: int, step: int) -> tuple[float, float]:
    """Return (done, in all) as pixels times steps, at a step of a canvas."""
    before = sum(canvas.work for canvas in job.canvases[:number])
    now = job.canvases[number]
    return before + now.height * now.width * step, sum(canvas.work for canvas in job.canvases)


def _reporter(
    job: Job, number: int, on_step: OnStep | None, clock: float, first: float
) -> Callable[[Step], bool | None] | None:
    if on_step is None:
        return None
    canvas = job.canvases[number]

    def report(step: Step) -> bool | None:
        done, total = _work(job, number, step.step)
        seconds = time.perf_counter() - clock
        left = seconds * (total - done) / max(1.0, done - first)
        place = (number + 1, len(job.canvases), canvas.height, canvas.width, step.step, step.steps)
        return on_step(Progress(*place, done / total, seconds, left, step, job.finish))

    return report


def _descend(
    job: Job,
    number: int,
    tile: int | None,
    start: Tensor,
    report: Callable[[Step], bool | None] | None,
    every: int,
    state: Mapping[str, Any] | None,
) -> tuple[Descent, list[str]]:
    """Descend at one scale, with smaller tiles when the memory does not suffice; what was done is told."""
    canvas, told = job.canvases[number], []
    if tile is not None and job.tile is None:
        told.append(f"painted {canvas.height} x {canvas.width} pixels in tiles of {tile}")
    while True:
        try:
            options: dict[str, Any] = {"steps": canvas.steps, "rule": job.optimizer, "rate": job.rate, "state": state}
            graph = tile is None or tile >= max(canvas.height, canvas.width)
            loss = job.objective(number, tile)
            return descend(start, loss, on_step=report, every=every, graph=graph, project=_unit, **options), told
        except RuntimeError as error:  # CUDA's OutOfMemoryError is one, and so is what the CPU's allocator raises
            if not (isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)):
                raise
            tile = min(tile or max(canvas.height, canvas.width), 4096) // 2
            if not isinstance(job.features.trunk, VggTrunk):
                raise MemoryError(f"the memory does not suffice, and {job.features.name} knows no tiles") from error
            if tile < SMALLEST_TILE:
                raise MemoryError("the memory does not suffice for the smallest tiles") from error
            told.append(f"out of memory: went on in tiles of {tile}")
        if start.is_cuda:
            torch.cuda.empty_cache()


def _unit(pixels: Tensor) -> Tensor:
    return pixels.clamp(0, 1)
