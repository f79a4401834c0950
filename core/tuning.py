"""Finding the fastest tile for convolutions on one's own device, and keeping it in the user's cache.

Every candidate is compared with torch before it is timed: a wrong one is named and never chosen. It writes into memory
that was filled with NaN, so that a tile which leaves pixels out cannot pass with the numbers of the tile before it.
What is found widens the shipped table for exactly these layers (pixels by powers of two); nothing is tuned anywhere
else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from . import ops
from .atomic import atomic_write
from .checks import UsageError, unknown
from .folders import cache_folder
from .ops import tuning
from .ops.tuning import Convolution
from .testing import tolerance

REPEATS = 20
"""Calls in one recording: its launch, about 10 us, is then lost in the time of the smallest layer."""
WARM_UPS = 3
"""Calls before a recording: kernels are compiled and cuDNN chooses in the first."""
POISONED = 4
"""Blocks of an output's size that are filled with NaN: the allocator may give the first of them to a workspace."""

# The convolutions of networks that people run most, at batch 32 and batch 1.
MODELS: dict[str, tuple[tuple[int, int, int, int, int], ...]] = {
    "resnet50": (
        (3, 64, 224, 7, 2), (64, 64, 56, 1, 1), (64, 64, 56, 3, 1), (64, 256, 56, 1, 1), (256, 64, 56, 1, 1),
        (256, 128, 56, 1, 1), (128, 128, 56, 3, 2), (128, 512, 28, 1, 1), (512, 128, 28, 1, 1), (128, 128, 28, 3, 1),
        (256, 256, 14, 3, 1), (256, 1024, 14, 1, 1), (1024, 256, 14, 1, 1), (512, 512, 7, 3, 1), (512, 2048, 7, 1, 1),
        (2048, 512, 7, 1, 1),
    ),
    "vgg16": (
        (3, 64, 224, 3, 1), (64, 64, 224, 3, 1), (64, 128, 112, 3, 1), (128, 128, 112, 3, 1), (128, 256, 56, 3, 1),
        (256, 256, 56, 3, 1), (256, 512, 28, 3, 1), (512, 512, 28, 3, 1), (512, 512, 14, 3, 1),
    ),
    "tiny-yolo": (
        (3, 16, 416, 3, 1), (16, 32, 208, 3, 1), (32, 64, 104, 3, 1), (64, 128, 52, 3, 1), (128, 256, 26, 3, 1),
        (256, 512, 13, 3, 1), (512, 1024, 13, 3, 1), (1024, 1024, 13, 3, 1), (1024, 125, 13, 1, 1),
    ),
}  # fmt: skip


class Trial(NamedTuple):
    """One tile on one layer: milliseconds, or None where its numbers were wrong."""

    layer: Convolution
    tile: dict[str, int]
    milliseconds: float | None


def layers_of(model: str) -> list[Convolution]:
    """Return the convolutions of a model of `MODELS`, at batch 32 and 1.

    Raises:
        UsageError: Another model.
    """
    if model not in MODELS:
        raise unknown("model", model, MODELS)
    return [Convolution(batch, *layer) for layer in MODELS[model] for batch in (32, 1)]


class Recorded:
    """`REPEATS` runs of a call as one CUDA graph: replayed, it takes the device's time and none of the host's.

    Args:
        prepare: Returns the call. It is called on the stream of the recording, because torch runs a backward pass on
            the stream of its forward pass: what a backward pass needs is computed in here.
    """

    def __init__(self, prepare: Callable[[], Callable[[], object]]) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self.call = prepare()  # kept: the graph reads the memory that the call holds
            for _ in range(WARM_UPS):
                self.call()
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=stream):
            for _ in range(REPEATS):
                self.results = self.call()

    def __call__(self) -> object:
        """Replay, and return what the last of the calls gave: memory that the next replay overwrites."""
        self.graph.replay()
        return self.results

    def milliseconds(self) -> float:
        """Return the time of one call on the device."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.graph.replay()  # keeps the device busy while the host launches what is timed
        start.record()
        self.graph.replay()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / REPEATS


def device_clock(call: Callable[[], object]) -> float:
    """Return milliseconds on the device for one of twenty calls in a row, recorded and replayed."""
    return Recorded(lambda: call).milliseconds()


def poison(shape: torch.Size, like: torch.Tensor) -> None:
    """Fill memory of the size of a result with NaN and free it: the allocator hands it out again."""
    blocks = [torch.full(shape, float("nan"), dtype=like.dtype, device=like.device) for _ in range(POISONED)]
    del blocks


def tune(
    layers: Iterable[Convolution],
    *,
    dtype: torch.dtype = torch.bfloat16,
    device: str = "cuda",
    clock: Callable[[Callable[[], object]], float] = device_clock,
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> dict[str, dict[str, int]]:
    """Try the candidates for every layer and return the fastest right one of each, by its name in the table.

    Layers whose channels are no multiple of 8 (pictures) are left out: their loads go element by element with a tile of
    their own, which no table may change.

    Args:
        layers: What to tune for.
        dtype: Of images and weights.
        device: A CUDA device.
        clock: A call -> milliseconds.
        on_trial: Called after each candidate.

    Raises:
        UsageError: No CUDA device to time on.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("an NVIDIA GPU to time kernels on", "none", "run this on a machine with one")
    precision, found = ops.float32_products(), {}
    placed = torch.cuda.device(device) if device.startswith("cuda") else nullcontext()  # its streams are recorded
    for layer in layers:
        if layer.channels % 8:
            continue
        x, weight = tuning.tensors(layer, device, dtype)
        call = partial(ops.conv2d, x, weight, None, layer.stride, layer.taps // 2, precision=precision)
        with torch.inference_mode(), ops.kernels("torch"):
            expected = ops.conv2d(x.float(), weight.float(), None, layer.stride, layer.taps // 2)
        limit = tolerance(dtype, layer.channels * layer.taps**2, tf32=precision == "tf32")
        best: Trial | None = None
        for tile in tuning.candidates(layer, x, precision):
            with torch.inference_mode(), tuning.forced(tile), placed:
                poison(expected.shape, x)
                right = (call().float() - expected).abs().max().item() <= limit * max(1.0, expected.abs().max().item())
                trial = Trial(layer, tile, clock(call) if right else None)
            on_trial(trial)
            if trial.milliseconds is not None and (best is None or trial.milliseconds < best.milliseconds):  # type: ignore[operator]
                best = trial
        if best is not None:
            found[tuning.key(layer, x, precision)] = best.tile
    return found


def keep(found: dict[str, dict[str, int]], path: Path | None = None) -> Path:
    """Add tiles to the user's table and return its path; what stands there under other names stays."""
    path = path or cache_folder() / "tiles.json"
    known: dict[str, dict[str, int]] = {}
    if path.is_file():
        try:
            known = json.loads(path.read_text())["tiles"]
        except (ValueError, KeyError, TypeError) as error:
            got = f"{type(error).__name__}: {error}"
            raise UsageError(f"a table of tiles in {path}", got, "remove the file and run again") from error
    text = json.dumps({"tiles": known | found}, indent=1, sort_keys=True) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, lambda file: file.write(text.encode()))
    tuning.forget()
    return path
