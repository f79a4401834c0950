"""The tasks' kernels on a GPU: Gram matrices, nearest centroid, non-maximum suppression."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from striate.benchmarks.gpu import device_clock, recorded
from striate.benchmarks.harness import Row, measure
from striate.core import ops

SUBJECT = "tasks"
# VGG-19's five style layers for a picture of 512 x 512.
STYLE = ((64, 512), (128, 256), (256, 128), (512, 64), (512, 32))


def on(switch: str, function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    """Return a call on a road, without gradients."""

    def call() -> object:
        with torch.no_grad(), ops.kernels(switch):
            return function(*arguments)

    return call


def agree(name: str, got: Tensor, expected: Tensor, limit: float) -> None:
    """Stop unless two candidates computed the same thing."""
    worst = ((got.float() - expected.float()).abs().max() / expected.float().abs().max()).item()
    if not worst < limit:
        raise SystemExit(f"{name} differs by {worst:.1e} of the largest value: nothing was timed")


def gram_rows(run: str, rounds: int) -> list[Row]:
    """Time the Gram matrices of five layers beside five calls of torch.bmm (G12)."""
    maps = [torch.randn(1, c, s, s, device="cuda").bfloat16() for c, s in STYLE]
    maps = [m.contiguous(memory_format=torch.channels_last) for m in maps]
    calls = {name: on(switch, ops.gram, maps) for name, switch in (("striate", "triton"), ("torch", "torch"))}
    for ours, theirs in zip(calls["striate"](), calls["torch"](), strict=True):  # type: ignore[call-overload]
        agree("gram", ours, theirs, 0.02)
    calls = {name: recorded(call) for name, call in calls.items()}
    return measure(
        SUBJECT, "Gram matrices, VGG-19 at 512x512", calls, baseline="torch", run=run, device="cuda", rounds=rounds,
        clock=device_clock, goal="G12", operation="gram",
    )  # fmt: skip


def centroid_rows(run: str, rounds: int) -> list[Row]:
    """Time the nearest of 4,096 words for a million descriptors beside torch in chunks (G14)."""
    x, words = torch.randn(1_000_000, 128, device="cuda"), torch.randn(4096, 128, device="cuda")
    torch.backends.cuda.matmul.allow_tf32 = True  # for both
    calls = {
        "striate": on("triton", lambda: ops.nearest_centroid(x, words, precision="tf32")),
        "torch, chunked": on("torch", lambda: ops.nearest_centroid(x, words)),
    }
    ours, theirs = (call()[1] for call in calls.values())  # type: ignore[index]
    agree("nearest_centroid", ours, theirs, 0.01)
    return measure(
        SUBJECT, "nearest of 4096 words, 1M x 128", calls, baseline="torch, chunked", run=run, device="cuda",
        rounds=max(3, rounds // 4), clock=device_clock, goal="G14", operation="nearest_centroid",
    )  # fmt: skip


def box_rows(run: str, rounds: int) -> list[Row]:
    """Time non-maximum suppression beside torchvision, where it is installed (G15)."""
    found = []
    for number, goal in ((100, "G15"), (1000, "G15"), (10_000, "G15 large")):
        corner = torch.rand(number, 2, device="cuda") * 1000
        boxes = torch.cat([corner, corner + 10 + 90 * torch.rand(number, 2, device="cuda")], 1)
        scores = torch.rand(number, device="cuda")
        calls = {"striate": on("triton", ops.nms, boxes, scores, 0.5)}
        if find_spec("torchvision"):
            theirs = import_module("torchvision").ops.nms
            calls["torchvision"] = partial(theirs, boxes, scores, 0.5)
            if not torch.equal(*(call() for call in calls.values())):  # type: ignore[arg-type]
                raise SystemExit("the boxes kept differ from torchvision's: nothing was timed")
        found += measure(
            SUBJECT, f"NMS of {number} boxes", calls, baseline="torchvision", run=run, device="cuda", rounds=rounds,
            clock=device_clock, goal=goal, operation="nms",
        )  # fmt: skip
    return found
