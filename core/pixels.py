"""Descent on pixels: the loop that style transfer, adversarial pictures and pictures of features share.

    def loss(pixels):
        return {"content": ..., "style": ...}      # their sum is descended on

    found = descend(start, loss, steps=300, on_step=lambda step: print(step.step, step.losses))
    found.pixels, found.losses, found.notice

Gradients are taken to the pixels alone; the networks inside a loss should have `requires_grad_(False)`, which saves the
third of the work that their weights' gradients are. Nothing is read from the device between two reports.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .checks import UsageError, unknown
from .images import to_image
from .lbfgs import Lbfgs

Loss = Callable[[Tensor], Mapping[str, Tensor]]
WARM_UPS = 3
"""Steps before one is recorded as a CUDA graph: kernels are compiled and cuDNN chooses in the first."""


class Rule(Protocol):
    """How pixels follow their gradient."""

    def update(self, pixels: Tensor, gradient: Tensor) -> None:
        """Move contiguous pixels in place, without reading a value on the host."""

    def state(self) -> dict[str, Tensor]:
        """Return the tensors, kept and written in place, that the next step depends on."""


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), with its step number on the device.

    Args:
        pixels: What will be moved; only its shape, dtype and device are used.
        rate: Largest move of a pixel in a step, nearly.
        betas: Decay of the means of the gradient and of its square.
    """

    def __init__(self, pixels: Tensor, *, rate: float = 0.02, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        self.rate, self.betas = rate, betas
        self.mean, self.square = torch.zeros_like(pixels), torch.zeros_like(pixels)
        self.count = torch.zeros((), device=pixels.device, dtype=torch.float32)

    @torch.no_grad()
    def update(self, pixels: Tensor, gradient: Tensor) -> None:
        """Move the pixels by one step."""
        one, two = self.betas
        self.count += 1
        self.mean.lerp_(gradient, 1 - one)
        self.square.mul_(two).addcmul_(gradient, gradient, value=1 - two)
        root = (self.square / (1 - two**self.count)).sqrt_().add_(1e-8)
        pixels -= self.rate / (1 - one**self.count) * self.mean / root

    def state(self) -> dict[str, Tensor]:
        """Return the means and the step number."""
        return {"mean": self.mean, "square": self.square, "count": self.count}


RULES: dict[str, Callable[..., Rule]] = {"lbfgs": Lbfgs, "adam": Adam}


@dataclass(frozen=True)
class Step:
    """Where a descent stands. Losses and pictures are read from the device only when they are asked for.

    Attributes:
        step: Steps done, from 1.
        steps: How many there will be.
        seconds: Since the descent began or went on.
        eta_seconds: Estimated time left.
        pixels: The pixels now (N, 3, H, W); later steps write into them.
    """

    step: int
    steps: int
    seconds: float
    eta_seconds: float
    pixels: Tensor
    _names: tuple[str, ...]
    _row: Tensor

    @cached_property
    def losses(self) -> dict[str, float]:
        """The parts of the loss before this step's move."""
        return dict(zip(self._names, self._row.tolist(), strict=True))

    @property
    def preview(self) -> NDArray[np.uint8]:
        """The first picture, uint8 (H, W, 3)."""
        return to_image(self.pixels[:1])


@dataclass
class Descent:
    """What a descent came to.

    Attributes:
        pixels: float (N, C, H, W), finite.
        losses: The parts of the loss by name, one row a step.
        step: Steps done.
        notice: Why it ended early, in a sentence; "" where it did not.
        state: To go on from, for `descend(state=...)`; `core.checkpoints.save_state` can write it.
        sound: Whether loss and pixels stayed finite; where they did not, steps were taken back.
    """

    pixels: Tensor
    losses: list[dict[str, float]]
    step: int
    notice: str
    state: dict[str, Any]
    sound: bool = True


def descend(
    pixels: Tensor,
    loss: Loss,
    *,
    steps: int,
    rule: str | Callable[[Tensor], Rule] = "lbfgs",
    rate: float | None = None,
    project: Callable[[Tensor], Tensor] | None = None,
    on_step: Callable[[Step], bool | None] | None = None,
    every: int = 1,
    state: Mapping[str, Any] | None = None,
    graph: bool = False,
) -> Descent:
    """Change pixels so that a loss falls.

    A loss that is no longer finite ends it: the notice says so, and the pixels are the last that had a finite one.

    Args:
        pixels: Where to begin, float (N, C, H, W); left as it is.
        loss: Pixels -> named scalars, differentiable; always the same names.
        steps: In all, those of `state` included.
        rule: "lbfgs", "adam", or what makes a `Rule` for the pixels.
        rate: Of a rule by name; None takes its own.
        project: Applied after each move, such as a clamp; may not read values on the host where `graph` is.
        on_step: Called every `every` steps and after the last; True ends the descent.
        every: Steps between two reports.
        state: Go on from the end of an earlier descent with the same rule.
        graph: On CUDA, record a step once and replay it; `loss` may then not look at values on the host.

    Raises:
        UsageError: Pixels or numbers that make no descent, an unknown rule, the state of another one.
    """
    if every < 1:
        raise UsageError("every to be at least one step", repr(every), "pass every=1 to look at each")
    run = _Run(pixels, loss, rule, rate, project, steps, state)
    iterate = run.recorded if graph and pixels.is_cuda else run.iterate
    begun, first, notice = time.perf_counter(), run.step, ""
    while run.step < steps and not notice:
        iterate()
        run.step += 1
        if run.step % every and run.step < steps:
            continue
        seconds = time.perf_counter() - begun
        left = seconds / (run.step - first) * (steps - run.step)
        if bool(run.broken):
            notice = f"stopped at step {run.step}: the loss is not a finite number; a lower rate may help"
        elif on_step is not None and on_step(Step(run.step, steps, seconds, left, run.pixels, run.names, run.row())):
            notice = f"stopped at step {run.step} of {steps}, as asked"
    return run.end(notice)


class _Run:
    """The tensors of a descent; all of them are written in place, as a recorded step needs it."""

    def __init__(
        self,
        pixels: Tensor,
        loss: Loss,
        rule: str | Callable[[Tensor], Rule],
        rate: float | None,
        project: Callable[[Tensor], Tensor] | None,
        steps: int,
        state: Mapping[str, Any] | None,
    ) -> None:
        _check(pixels, steps, rate)
        self.loss, self.project = loss, project
        self.pixels = pixels.detach().clone(memory_format=torch.contiguous_format)
        self.rule = _rule(rule, self.pixels, rate)
        self.kept = self.pixels.clone()  # the last that had a finite loss
        self.broken = torch.zeros((), dtype=torch.bool, device=pixels.device)
        self.place = torch.zeros(1, dtype=torch.int64, device=pixels.device)  # row of `log`
        self.names: tuple[str, ...] = ()  # of the parts
        self.log: Tensor | None = None  # (steps, parts)
        self.before: list[dict[str, float]] = []
        self.step, self.steps = 0, steps
        self.graph: torch.cuda.CUDAGraph | None = None
        self.warm = 0
        if state is not None:
            self._restore(state)
        self.first = self.step

    def iterate(self) -> None:
        """Compute loss and gradient, and move."""
        given = self.pixels.detach().requires_grad_()
        with torch.enable_grad():
            parts = self.loss(given)
            total = torch.stack([value.reshape(()) for value in parts.values()]).sum()
            (gradient,) = torch.autograd.grad(total, given)
        self.names = tuple(parts)
        with torch.no_grad():
            values = torch.stack([value.reshape(()) for value in parts.values()])
            if self.log is None:
                self.log = values.new_zeros(self.steps - self.first, len(values))
            self.log.index_copy_(0, self.place, values[None])
            self.place += 1
            finite = total.isfinite() & gradient.isfinite().all()
            self.broken |= ~finite
            self.kept.copy_(torch.where(self.broken, self.kept, self.pixels))
            self.rule.update(self.pixels, gradient)
            if self.project is not None:
                self.pixels.copy_(self.project(self.pixels))

    def row(self) -> Tensor:
        """Return what the last step wrote into the log; after a recording the loss's own tensors hold nothing yet."""
        assert self.log is not None
        return self.log[self.step - self.first - 1]

    def recorded(self) -> None:
        """Iterate by replaying; the first steps run as they are, on the stream that is going to be recorded."""
        stream = torch.cuda.Stream(self.pixels.device)
        if self.graph is not None:
            self.graph.replay()
            return
        stream.wait_stream(torch.cuda.current_stream(self.pixels.device))
        with torch.cuda.stream(stream):
            self.iterate()
        torch.cuda.current_stream(self.pixels.device).wait_stream(stream)
        self.warm += 1
        if self.warm == WARM_UPS:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                self.iterate()

    def end(self, notice: str) -> Descent:
        """Read what came out."""
        done = self.step - self.first
        rows = [] if self.log is None else self.log[:done].tolist()
        losses = self.before + [dict(zip(self.names, row, strict=True)) for row in rows]
        sound = not bool(self.broken) and bool(self.pixels.isfinite().all())
        pixels = (self.pixels if sound else self.kept).clone()
        if not sound and not notice:
            notice = f"stopped at step {self.step}: the pixels are not finite numbers; a lower rate may help"
        state = {"step": self.step, "pixels": pixels, "losses": losses, "rule": self.rule.state() if sound else {}}
        return Descent(pixels, losses, self.step, notice, state, sound)

    def _restore(self, state: Mapping[str, Any]) -> None:
        own, theirs = self.rule.state(), state["rule"]
        if state["pixels"].shape != self.pixels.shape or {*theirs} - {*own}:
            got = f"pixels {tuple(state['pixels'].shape)} and {sorted(theirs) or 'no rule'}"
            expected = f"the state of a descent on {tuple(self.pixels.shape)} by the same rule"
            raise UsageError(expected, got, "pass what the same call returned")
        self.pixels.copy_(state["pixels"])
        for name, tensor in theirs.items():  # nothing after a loss that was not finite: the rule begins anew
            own[name].copy_(tensor)
        self.step, self.before = state["step"], list(state["losses"])


def _check(pixels: Tensor, steps: int, rate: float | None) -> None:
    if pixels.ndim != 4 or not pixels.is_floating_point() or pixels.numel() == 0:
        got = f"{pixels.dtype} {tuple(pixels.shape)}"
        raise UsageError("float pixels (N, C, H, W)", got, "pass what core.images.to_tensor returns")
    if not bool(pixels.isfinite().all()):
        raise UsageError("finite pixels to begin with", "NaN or infinity", "look at what made them")
    if steps < 1:
        raise UsageError("at least one step", str(steps), "pass steps=300, say")
    if rate is not None and not 0 < rate < float("inf"):
        raise UsageError("a positive rate", repr(rate), "leave it out for the rule's own")


def _rule(rule: str | Callable[[Tensor], Rule], pixels: Tensor, rate: float | None) -> Rule:
    if callable(rule):
        return rule(pixels)
    if rule not in RULES:
        raise unknown("rule", rule, RULES)
    return RULES[rule](pixels) if rate is None else RULES[rule](pixels, rate=rate)
