"""Style transfer on the CPU, one thread: a step, and the loss at equal time, beside the published methods.

    python benchmarks/style.py CONTENT STYLE --features vgg19_distilled_16x_fp16.npz --size 256

The methods are written down from the papers and from what their programs say of themselves, on the same features and
the same loss: "neural-style" (Gatys et al. 2015 as Johnson 2015 has it: one size, torch.optim.LBFGS, 100 pairs) and
"style-transfer-pytorch" (Crowson 2020: sizes that grow by the square root of 2, Adam 0.02 with betas 0.9 and 0.99, the
mean of the iterates). Seconds are those of the process, in turns, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.core.images import load_image, resize, to_tensor
from striate.core.lbfgs import Lbfgs
from striate.style import StyleTransfer
from striate.style.features import Features
from striate.style.losses import total_variation
from striate.style.paint import Canvas
from striate.style.patterns import PATTERNS, pattern
from striate.style.scales import fitted


class Published:
    """The loss as one writes it down: plain layers one after the other, plain Gram matrices, no layout, no in-place."""

    def __init__(self, transfer: StyleTransfer, picture: Any, size: tuple[int, int]) -> None:
        self.features, self.weights = transfer.features_, transfer._weights()
        objective = transfer._objective(picture, Canvas(*size, 1), None, self.weights, None)
        self.target, self.content = objective.regions[0].target, objective.targets

    def maps(self, pixels: Tensor) -> dict[str, Tensor]:
        """Compute the maps with torch's own functions."""
        features, found = self.features, {}
        x = (pixels - features.mean) / features.std
        for name, layer in features.trunk.layers.items():  # type: ignore[union-attr, operator]
            if name[0] == "p":
                x = F.max_pool2d(x, 2)
            else:
                x = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), layer.weight, layer.bias))
            if name in self.weights.layers:
                found[name] = x
        return found

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the whole loss."""
        weights, found = self.weights, self.maps(pixels)
        loss = weights.tv * total_variation(pixels)
        for name, target in self.content.items():
            loss = loss + weights.content * (found[name] - target).square().sum() / target.square().sum()
        for name, target in self.target.items():
            rows = found[name][0].flatten(1)
            gram = rows @ rows.T / rows.shape[1]
            basis = self.features.turns.get(name)
            gram = gram if basis is None else basis.T @ gram @ basis
            share = weights.style / len(self.target)
            loss = loss + share * (gram - target).square().sum() / target.square().sum()
        return loss


def neural_style(loss: Published, start: Tensor, seconds: float) -> Tensor:
    """Descend at one size with torch's L-BFGS until the time is over."""
    pixels = nn.Parameter(start.clone())
    optimizer = torch.optim.LBFGS([pixels], max_iter=1, history_size=100, tolerance_grad=-1, tolerance_change=-1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(pixels)
        value.backward()
        return value

    until = time.process_time() + seconds
    while time.process_time() < until:
        optimizer.step(closure)
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


def step_seconds(transfer: StyleTransfer, picture: Any, size: tuple[int, int], rounds: int) -> dict[str, float]:
    """Return the least seconds of a step: loss, gradient to the pixels, move; theirs and ours in turns."""
    plain = Published(transfer, picture, size)
    ours = transfer._objective(picture, Canvas(*size, 1), None, transfer._weights(), None)
    start = to_tensor(resize(picture, size))
    theirs = nn.Parameter(start.clone())
    optimizer = torch.optim.LBFGS([theirs], max_iter=1, history_size=10, tolerance_grad=-1, tolerance_change=-1)
    mine, rule = start.clone(), Lbfgs(start)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = plain(theirs)
        value.backward()
        return value

    def move() -> None:
        given = mine.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(torch.stack([*ours(given).values()]).sum(), given)
        rule.update(mine, gradient)

    best = {"plain": math.inf, "striate": math.inf}
    calls: dict[str, Callable[[], Any]] = {"plain": lambda: optimizer.step(closure), "striate": move}
    for _ in range(rounds):
        for name, call in calls.items():
            begun = time.process_time()
            call()
            best[name] = min(best[name], time.process_time() - begun)
    return best


def equal_time(transfer: StyleTransfer, picture: Any, size: tuple[int, int]) -> dict[str, float]:
    """Return the seconds that ours takes, and the loss that each method has reached by then."""
    begun = time.process_time()
    painting = transfer.transform(picture)
    seconds = time.process_time() - begun
    judge = Published(transfer, picture, size)
    start = to_tensor(resize(picture, size))
    sides = [max(size)]
    while sides[0] / math.sqrt(2) >= 128:
        sides.insert(0, round(sides[0] / math.sqrt(2)))
    sizes = [fitted(*size, side) for side in sides]
    found = {
        "striate": painting.pixels,
        "neural-style": neural_style(judge, start, seconds),
        "style-transfer-pytorch": crowson(
            lambda s: Published(transfer, picture, s), sizes, to_tensor(resize(picture, sizes[0])), seconds
        ),
    }
    with torch.no_grad():
        return {"seconds": seconds, "start": float(judge(start)), **{k: float(judge(v)) for k, v in found.items()}}


def judged(features: Features, painting: Tensor, content: Tensor, style: Tensor) -> dict[str, float]:
    """Judge a painting by features that it was not painted with: style missed, content missed, edges kept."""
    from striate.style.losses import grams, relative

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


def main() -> None:
    """Print one JSON object for what was asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("--features", default="vgg-distilled")
    parser.add_argument("--judge", help="Other features, to judge the painting by.")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    picture = load_image(asked.content)
    style = pattern(asked.style) if asked.style in PATTERNS else load_image(asked.style)
    size = fitted(picture.shape[0], picture.shape[1], asked.size)
    transfer = StyleTransfer(features=asked.features, size=asked.size, steps=asked.steps).fit(style)
    row: dict[str, Any] = {**vars(asked), "torch": torch.__version__, "threads": 1}
    if asked.judge:
        from striate.style.features import load_features

        painting = transfer.transform(picture)
        own = fitted(style.shape[0], style.shape[1], asked.size)
        content, wanted = (to_tensor(resize(p, s)) for p, s in ((picture, size), (style, own)))
        row["judged"] = judged(load_features(asked.judge), painting.pixels, content, wanted)
    else:
        row["step"] = step_seconds(transfer, picture, size, asked.rounds)
        row["loss"] = equal_time(transfer, picture, size)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
