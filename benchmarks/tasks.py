"""The tasks' kernels on a GPU: Gram matrices, nearest centroid, non-maximum suppression."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from striate.benchmarks.gpu import agree, device_clock, recorded
from striate.benchmarks.harness import Differs, Part, Row, measure
from striate.core import ops

SUBJECT = "tasks"
# VGG-19's five style layers for a picture of 512 x 512.
STYLE = ((64, 512), (128, 256), (256, 128), (512, 64), (512, 32))
# Distances that torch holds at a time, 1 GiB: a chunk's launches are then lost in its product.
CHUNK = 2**28
# tf32 rounds a distance by about 0.01; two nearest of 4,096 words of size 11 lie 7 apart in the mean: 0.2 % may differ.
SAME_WORDS = 0.99


def on(switch: str, function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    """Return a call on a road, without gradients."""

    def call() -> object:
        with torch.no_grad(), ops.kernels(switch):
            return function(*arguments)

    return call


@contextmanager
def tf32() -> Iterator[None]:
    """Let torch multiply float32 on tensor cores inside a `with` block."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def products(maps: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Return the Gram matrices by torch.bmm from operands of a type, in float32 where torch lets it be asked for."""
    rows = [m.flatten(2).to(dtype) for m in maps]
    if dtype == torch.float32 or "dtype" not in torch.ops.aten.bmm.overloads():
        return [torch.bmm(r, r.mT) for r in rows]
    return [torch.bmm(r, r.mT, out_dtype=torch.float32) for r in rows]


def gram_rows(run: str, rounds: int) -> list[Row]:
    """Time the Gram matrices of five layers beside five calls of torch.bmm, in bfloat16 and in float32 (G12).

    The maps are not negative, as after a relu: the products beside the diagonal are then as large as those on it, and
    the comparison sees them.
    """
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(1, c, s, s, generator=generator).relu().to("cuda", torch.bfloat16) for c, s in STYLE]
    maps = [m.contiguous(memory_format=torch.channels_last) for m in maps]
    calls = {
        "striate": recorded(on("triton", ops.gram, maps, "none")),
        "torch.bmm": recorded(partial(products, maps, torch.bfloat16)),
        "torch.bmm, float32": recorded(partial(products, maps, torch.float32)),
    }
    exact = products(maps, torch.float32)
    for name, call in calls.items():
        for got, expected in zip(call(), exact, strict=True):  # type: ignore[call-overload]
            agree(f"gram of {name}", got, expected, 0.02)
    return measure(
        SUBJECT, "Gram matrices, VGG-19 at 512x512", calls, baseline="torch.bmm", run=run, device="cuda",
        rounds=rounds, clock=device_clock, goal="G12", operation="gram",
    )  # fmt: skip


def nearest_in_chunks(x: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    """Return what `ops.nearest_centroid` does, by products of as many points as `CHUNK` holds distances for."""
    norms, transposed, parts = words.square().sum(1), words.T, []
    for part in x.split(max(1, CHUNK // len(words))):
        parts.append(torch.addmm(norms, part, transposed, alpha=-2).min(1))
    least = torch.cat([values for values, _ in parts]) + x.square().sum(1)
    return torch.cat([indices for _, indices in parts]), least.clamp_(min=0)


def agree_on_words(ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]) -> None:
    """Raise unless two searches found the same words, but for near ties, at the same distances."""
    same = (ours[0] == theirs[0]).float().mean().item()
    if not same >= SAME_WORDS:
        raise Differs(f"{100 * same:.1f} % of the nearest words agree: nothing was timed")
    agree("nearest_centroid", ours[1], theirs[1], 0.01)


def centroid_rows(run: str, rounds: int) -> list[Row]:
    """Time the nearest of 4,096 words for a million descriptors beside torch in chunks, both in tf32 (G14)."""
    generator = torch.Generator().manual_seed(0)
    x, words = (torch.randn(n, 128, generator=generator).cuda() for n in (1_000_000, 4096))
    calls = {
        "striate": on("triton", lambda: ops.nearest_centroid(x, words, precision="tf32")),
        "torch, chunked": on("torch", nearest_in_chunks, x, words),
    }
    with tf32():
        agree_on_words(*(call() for call in calls.values()))  # type: ignore[arg-type]
        return measure(
            SUBJECT, "nearest of 4096 words, 1M x 128", calls, baseline="torch, chunked", run=run, device="cuda",
            rounds=max(3, rounds // 4), clock=device_clock, goal="G14", operation="nearest_centroid",
        )  # fmt: skip


def box_rows(number: int, goal: str, run: str, rounds: int) -> list[Row]:
    """Time non-maximum suppression beside torchvision, where it is installed (G15)."""
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(number, 2, generator=generator) * 1000
    boxes = torch.cat([corner, corner + 10 + 90 * torch.rand(number, 2, generator=generator)], 1).cuda()
    scores = torch.rand(number, generator=generator).cuda()
    calls = {"striate": on("triton", ops.nms, boxes, scores, 0.5)}
    if find_spec("torchvision"):
        theirs = import_module("torchvision").ops.nms
        calls["torchvision"] = partial(theirs, boxes, scores, 0.5)
        if not torch.equal(*(call() for call in calls.values())):  # type: ignore[arg-type]
            raise Differs("the boxes kept differ from torchvision's: nothing was timed")
    return measure(
        SUBJECT, f"NMS of {number} boxes", calls, baseline="torchvision", run=run, device="cuda", rounds=rounds,
        clock=device_clock, goal=goal, operation="nms",
    )  # fmt: skip


def parts(run: str, rounds: int) -> Iterator[Part]:
    """Name every case with what checks and times it.

    The Gram matrices come last: their kernel reads a table of addresses that the host makes at each call, and a fault
    in its recording would end the process's use of the device.
    """
    yield "centroids", partial(centroid_rows, run, rounds)
    for number, goal in ((100, "G15"), (1000, "G15"), (10_000, "G15 large")):
        yield f"boxes, {number}", partial(box_rows, number, goal, run, rounds)
    yield "gram", partial(gram_rows, run, rounds)
