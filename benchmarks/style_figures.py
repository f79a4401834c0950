"""What style transfer comes to on the CPU, one thread: the loss at equal time, a judge's view, sizes that agree.

    python benchmarks/style_figures.py loss CONTENT STYLE --size 256 --keep
    python benchmarks/style_figures.py scales CONTENT STYLE --size 512
    python benchmarks/style_figures.py judge CONTENT STYLE --judge vgg19_distilled_16x_fp16.npz

`loss`: the methods are written down from the papers and from what their programs say of themselves, on the same
features and the same loss: "neural-style" (Gatys et al. 2015 as Johnson 2015 has it: one size, torch.optim.LBFGS, 100
pairs) and "style-transfer-pytorch" (Crowson 2020: sizes that grow by the square root of 2, Adam 0.02 with betas 0.9 and
0.99, the mean of the iterates). Seconds are those of the process, in turns.

`scales`: a painting, reduced to a quarter, beside the painting of that size; coarse to fine, and at one size as
published.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.benchmarks.harness import FOLDER, commit, device_name, new_run, versions
from striate.benchmarks.style import Published, agree, theirs, whole
from striate.core.images import load_image, resize, to_tensor
from striate.style import StyleTransfer
from striate.style.features import Features, load_features
from striate.style.losses import grams, relative
from striate.style.paint import Canvas
from striate.style.patterns import PATTERNS, pattern
from striate.style.scales import fitted

FIGURES = FOLDER / "results" / "figures" / "style.jsonl"


def neural_style(loss: Published, start: Tensor, seconds: float) -> Tensor:
    """Descend at one size with torch's L-BFGS until the time is over."""
    pixels = nn.Parameter(start.clone())
    step = theirs(loss, pixels, history=100)
    until = time.process_time() + seconds
    while time.process_time() < until:
        step()
    return pixels.detach().clamp(0, 1)


def crowson(
    loss_at: Callable[[tuple[int, int]], Published], sizes: list[tuple[int, int]], start: Tensor, seconds: float
) -> Tensor:
    """Descend from size to size with Adam, the first with twice the steps of the others; return the mean iterate."""
    work = [height * width * (2 if i == 0 else 1) for i, (height, width) in enumerate(sizes)]
    mean = start
    for (height, width), share in zip(sizes, work, strict=True):
        loss = loss_at((height, width))
        pixels = nn.Parameter(F.interpolate(mean, (height, width), mode="bicubic").clamp(0, 1))
        optimizer = torch.optim.Adam([pixels], lr=0.02, betas=(0.9, 0.99))
        mean, weight = torch.zeros_like(pixels), 0.0
        until = time.process_time() + seconds * share / sum(work)
        while time.process_time() < until or weight == 0:
            optimizer.zero_grad()
            loss(pixels).backward()
            optimizer.step()
            with torch.no_grad():
                pixels.clamp_(0, 1)
                mean, weight = mean * 0.99 + pixels * 0.01, weight * 0.99 + 0.01
        mean = (mean / weight).detach()
    return mean.clamp(0, 1)


def equal_time(transfer: StyleTransfer, exact: StyleTransfer, picture: Any, size: tuple[int, int]) -> dict[str, float]:
    """Return the seconds that ours takes, and the loss that each method has reached by then.

    Args:
        transfer: Ours, fitted.
        exact: The same in float32, whose targets all are judged by.
        picture: The content.
        size: Of the painting.

    Raises:
        Differs: Our loss is not the published one.
    """
    begun = time.process_time()
    painting = transfer.transform(picture)
    seconds = time.process_time() - begun
    judge = Published(exact, picture, size)
    start = to_tensor(resize(picture, size))
    agree("striate", whole(exact._objective(picture, Canvas(*size, 1), None, exact._weights(), None)), judge, start)
    sides = [max(size)]
    while sides[0] / math.sqrt(2) >= 128:
        sides.insert(0, round(sides[0] / math.sqrt(2)))
    sizes = [fitted(*size, side) for side in sides]
    found = {
        "striate": painting.pixels,
        "neural-style": neural_style(judge, start, seconds),
        "style-transfer-pytorch": crowson(
            lambda s: Published(exact, picture, s), sizes, to_tensor(resize(picture, sizes[0])), seconds
        ),
    }
    with torch.no_grad():
        return {"seconds": seconds, "start": float(judge(start)), **{k: float(judge(v)) for k, v in found.items()}}


def judged(features: Features, painting: Tensor, content: Tensor, style: Tensor) -> dict[str, float]:
    """Judge a painting by features that it was not painted with: style missed, content missed, edges kept."""
    names = [*features.style_layers]
    maps = [features(picture, [*names, *features.content_layers]) for picture in (painting, content, style)]
    found = []
    for one in maps:
        sums = grams({name: one[name] for name in names}, features.turns)
        found.append({name: gram / one[name][0, 0].numel() for name, gram in sums.items()})
    missed = sum(float(relative(found[0][name], found[2][name])) for name in names) / len(names)
    before = sum(float(relative(found[1][name], found[2][name])) for name in names) / len(names)
    name = features.content_layers[0]
    edges = []
    for picture in (painting, content):
        grey = picture.mean(1)
        edges.append((grey.diff(dim=1)[..., :-1].square() + grey.diff(dim=2)[:, :-1].square()).sqrt().flatten())
    kept = float(torch.corrcoef(torch.stack(edges))[0, 1])
    return {"style": missed / before, "content": float(relative(maps[0][name], maps[1][name])), "edges": kept}


def scales(asked: argparse.Namespace, picture: Any, style: Any) -> dict[str, float]:
    """Return the mean difference, in grey levels, of a painting reduced to a quarter and the painting of that size."""

    def paint(size: int, smallest: int) -> Tensor:
        options: dict[str, Any] = {"features": asked.features, "steps": asked.steps, "precision": asked.precision}
        return StyleTransfer(size=size, smallest=smallest, **options).fit(style).transform(picture).pixels

    side = asked.size // 4
    small, fine, plain = paint(side, 0), paint(asked.size, side), paint(asked.size, 0)
    reduced = [F.interpolate(large, small.shape[2:], mode="area") for large in (fine, plain)]
    names = ("coarse to fine", "one size")
    return {name: 255 * float((one - small).abs().mean()) for name, one in zip(names, reduced, strict=True)}


def judge(asked: argparse.Namespace, picture: Any, style: Any) -> dict[str, float]:
    """Return how other features see a painting."""
    size = fitted(picture.shape[0], picture.shape[1], asked.size)
    options: dict[str, Any] = {"features": asked.features, "steps": asked.steps, "precision": asked.precision}
    painting = StyleTransfer(size=asked.size, **options).fit(style).transform(picture)
    own = fitted(style.shape[0], style.shape[1], asked.size)
    content, wanted = (to_tensor(resize(p, s)) for p, s in ((picture, size), (style, own)))
    return judged(load_features(asked.judge), painting.pixels, content, wanted)


def loss(asked: argparse.Namespace, picture: Any, style: Any) -> dict[str, float]:
    """Return the loss of each method at equal time."""
    options: dict[str, Any] = {"features": asked.features, "size": asked.size, "steps": asked.steps}
    ours, exact = (StyleTransfer(precision=one, **options).fit(style) for one in (asked.precision, "fp32"))
    return equal_time(ours, exact, picture, fitted(picture.shape[0], picture.shape[1], asked.size))


def main() -> None:
    """Print one JSON object for what was asked, and keep it where that was asked, too."""
    kinds = {"loss": loss, "scales": scales, "judge": judge}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[*kinds])
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("--features", default="vgg-distilled")
    parser.add_argument("--judge", default="squeezenet1.1", help="Other features, to judge the painting by.")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    style = pattern(asked.style) if asked.style in PATTERNS else load_image(asked.style)
    found = kinds[asked.kind](asked, load_image(asked.content), style)
    names = {name: os.path.basename(getattr(asked, name)) for name in ("content", "style", "features")}
    row: dict[str, Any] = {
        "kind": asked.kind, **names, "size": asked.size, "steps": asked.steps, "precision": asked.precision,
        "figures": {name: round(value, 5) for name, value in found.items()}, "run": new_run(), "commit": commit(),
        "device": device_name(), "threads": 1, "load": round(os.getloadavg()[0], 2), "versions": versions(),
    }  # fmt: skip
    if asked.kind == "judge":
        row["judge"] = os.path.basename(asked.judge)
    print(json.dumps(row))
    if asked.keep:
        FIGURES.parent.mkdir(exist_ok=True)
        with FIGURES.open("a") as file:
            file.write(json.dumps(row, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
