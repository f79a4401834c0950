"""Style transfer, on the CPU with one thread: a step beside the same loss written down in plain torch.

Plain is what the published programs do: neural-style (Johnson 2015, of Gatys et al. 2015) by torch.optim.LBFGS, one
gradient a step. Both losses and gradients are compared before the clock starts. On the CPU times are the process's own,
so that other work on the machine counts for less; on a GPU ours is a recorded step. style_figures.py measures what
comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.benchmarks.fooling import cpu_clock
from striate.benchmarks.gpu import device_clock
from striate.benchmarks.harness import Differs, Part, Row, measure
from striate.core.images import resize, to_tensor
from striate.core.lbfgs import Lbfgs
from striate.core.optimize import has_bfloat16
from striate.core.pixels import WARM_UPS, _Run
from striate.style import StyleTransfer
from striate.style.objective import Objective
from striate.style.paint import Canvas
from striate.style.patterns import pattern

SUBJECT = "style"
SIZES = (256, 512)
PLAIN = "torch, eager"
MOST_STEPS = 100_000
"""Of a recorded descent, whose log of the losses has a row for each."""
CLOSE = {"striate": (1e-4, 1e-3), "striate, bfloat16": (1e-2, 0.3)}
"""How far, relative to theirs, loss and gradient may be from the plain ones; seen: 4e-7 and 4e-7, 2e-3 and 0.15."""
CLOSE_TF32 = (1e-2, 0.1)
"""The same on a GPU in float32, whose products are in tf32: bfloat16 with four times the precision."""


class Published:
    """The loss as one writes it down: plain layers one after the other, plain Gram matrices, no layout, no in-place.

    Args:
        transfer: Fitted, in float32.
        picture: The content.
        size: Of the painting.
    """

    def __init__(self, transfer: StyleTransfer, picture: Any, size: tuple[int, int]) -> None:
        self.features, self.weights = transfer.features_, transfer._weights()
        self.target = transfer._objective(picture, Canvas(*size, 1), None, self.weights, None).regions[0].target
        with torch.no_grad():
            maps = self.maps(to_tensor(resize(picture, size)).to(self.features.mean.device))
        self.content = {name: maps[name] for name in self.weights.content_layers}

    def maps(self, pixels: Tensor) -> dict[str, Tensor]:
        """Compute the maps with torch's own functions."""
        features, found = self.features, {}
        x = (pixels - features.mean) / features.std
        for name, layer in features.trunk.layers.items():  # type: ignore[union-attr, operator]
            if name[0] == "p":
                x = F.max_pool2d(x, 2)
            else:
                mode = layer.padding_mode.replace("zeros", "constant")
                x = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), layer.weight, layer.bias))
            if name in self.weights.layers:
                found[name] = x
            if len(found) == len(self.weights.layers):
                break
        return found

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the whole loss."""
        weights, found = self.weights, self.maps(pixels)
        loss = weights.tv * (pixels.diff(dim=2).square().mean() + pixels.diff(dim=3).square().mean())
        for name, share in weights.content_layers.items():
            part = weights.content * share / sum(weights.content_layers.values())
            target = self.content[name]
            loss = loss + part * (found[name] - target).square().sum() / target.square().sum()
        for name, share in weights.style_layers.items():
            part = weights.style * share / sum(weights.style_layers.values())
            rows, target = found[name][0].flatten(1), self.target[name]
            gram = rows @ rows.T / rows.shape[1]
            basis = self.features.turns.get(name)
            gram = gram if basis is None else basis.T @ gram @ basis
            loss = loss + part * (gram - target).square().sum() / target.square().sum()
        return loss


def scene(side: int) -> np.ndarray:
    """Return a picture of smooth colours, (3 / 4 side, side, 3)."""
    coarse = np.random.default_rng(0).integers(0, 255, (12, 16, 3)).astype(np.uint8)
    return resize(coarse, (side * 3 // 4, side))


def whole(objective: Objective) -> Callable[[Tensor], Tensor]:
    """Return the sum of an objective's parts."""
    return lambda pixels: torch.stack([*objective(pixels).values()]).sum()


def agree(candidate: str, loss: Callable[[Tensor], Tensor], plain: Callable[[Tensor], Tensor], start: Tensor) -> None:
    """Raise Differs unless two losses, and their gradients at some pixels, are as close as `CLOSE` says."""
    found = []
    for one in (loss, plain):
        given = start.clone().requires_grad_()
        value = one(given)
        found.append((value.detach(), torch.autograd.grad(value, given)[0]))
    away = [float((ours - theirs).norm() / theirs.norm()) for ours, theirs in zip(*found, strict=True)]
    limits = CLOSE_TF32 if start.is_cuda and candidate == "striate" else CLOSE[candidate]
    if not all(far <= close for far, close in zip(away, limits, strict=True)):
        raise Differs(f"{candidate}: loss and gradient are {away[0]:.1e} and {away[1]:.1e} from the plain ones")


def ours(loss: Callable[[Tensor], Tensor], start: Tensor) -> Callable[[], None]:
    """Return a step of ours: loss, gradient to the pixels, move."""
    pixels, rule = start.clone(), Lbfgs(start)

    def step() -> None:
        given = pixels.detach().requires_grad_()
        rule.update(pixels, torch.autograd.grad(loss(given), given)[0])

    return step


def recorded(loss: Callable[[Tensor], Mapping[str, Tensor]], start: Tensor) -> Callable[[], None]:
    """Return a step of ours that is replayed, as `descend(graph=True)` takes them."""
    run = _Run(start, loss, "lbfgs", None, None, MOST_STEPS, None)

    def step() -> None:
        run.recorded()
        run.step += 1

    for _ in range(WARM_UPS + 1):
        step()
    return step


def theirs(loss: Callable[[Tensor], Tensor], pixels: nn.Parameter, history: int = 10) -> Callable[[], object]:
    """Return a step of torch's L-BFGS, which moves the pixels in place."""
    optimizer = torch.optim.LBFGS([pixels], max_iter=1, history_size=history, tolerance_grad=-1, tolerance_change=-1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(pixels)
        value.backward()
        return value

    return lambda: optimizer.step(closure)


def rows(features: str, side: int, run: str, rounds: int, device: str = "cpu") -> list[Row]:
    """Time a step on one size.

    Raises:
        Differs: The losses or gradients are not the same.
    """
    picture, size, cpu = scene(side), (side * 3 // 4, side), device == "cpu"
    start, transfers = to_tensor(picture).to(device), {}
    for precision in ("fp32", "bf16") if has_bfloat16(torch.device(device)) else ("fp32",):
        transfer = StyleTransfer(features=features, size=side, smallest=0, precision=precision, device=device)
        transfers[precision] = transfer.fit(pattern("strokes"))
    plain = Published(transfers["fp32"], picture, size)
    calls: dict[str, Callable[[], object]] = {PLAIN: theirs(plain, nn.Parameter(start.clone()))}
    for precision, transfer in transfers.items():
        loss = transfer._objective(picture, Canvas(*size, 1), None, transfer._weights(), None)
        name = "striate" if precision == "fp32" else "striate, bfloat16"
        agree(name, whole(loss), plain, start)
        calls[name] = ours(whole(loss), start) if cpu else recorded(loss, start)
    case = f"a step at {size[1]}x{size[0]}, {features}{', CPU time' if cpu else ''}"
    return measure(
        SUBJECT, case, calls, baseline=PLAIN, run=run, device=device, rounds=rounds,
        clock=cpu_clock if cpu else device_clock, goal="C11" if cpu else "G11",
    )  # fmt: skip


def parts(run: str, rounds: int) -> Iterator[Part]:
    """Name the cases with what checks and times them."""
    torch.set_num_threads(1)
    for side in SIZES:
        yield f"style, {side}", partial(rows, "vgg-distilled", side, run, rounds)


def gpu_parts(run: str, rounds: int) -> Iterator[Part]:
    """Name the cases for a GPU."""
    yield "style, 512", partial(rows, "vgg-distilled", 512, run, rounds, "cuda")
