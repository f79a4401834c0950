"""Gradients to pictures as CUDA graphs: of a small network, kernels run faster than Python can ask for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..core.optimize.graphs import CudaGraphs
from .criteria import Misclassified
from .goals import ClassGoal

Function = Callable[[Tensor], Tensor]
LEAST = 16
"""Pictures in the smallest recording. Larger ones hold the next power of two: attacks drop what they have fooled, and
each size would be recorded anew; the places left over hold the last picture again."""
PATIENCE = 5
"""Gradients of a size that are computed as they come before it is recorded: that costs four of them."""


class RecordedGradients:
    """Outputs, loss and gradient of a `ClassGoal`'s losses, forward and backward pass in one recording.

    What turns pictures into the network's input runs beside it: its matrices belong to a cache that may drop them, the
    network's tensors stay where they are. A replay adds in another order than the first gradients do, which are
    computed as they come: the same attack, begun later, may differ from itself in last bits.

    Args:
        enter: Pictures (N, 3, H, W) -> the network's input.
        scores: The network's input -> logits (N, classes); must not look at values on the host.
    """

    def __init__(self, enter: Function, scores: Function) -> None:
        self.enter, self.scores = enter, scores
        self.graphs: dict[tuple[str, bool], CudaGraphs] = {}
        self.asked: Counter[tuple[Any, ...]] = Counter()

    def takes(self, pictures: Tensor, loss: Callable[..., Tensor]) -> bool:
        """Tell whether a gradient should be replayed: pictures on CUDA, a method of a `ClassGoal`, asked for often."""
        if not (on_device(pictures) and isinstance(getattr(loss, "__self__", None), ClassGoal)):
            return False
        key = (_places(len(pictures)), pictures.shape[1:], loss.__name__)
        self.asked[key] += 1
        return self.asked[key] > PATIENCE

    def __call__(self, pictures: Tensor, loss: Callable[..., Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return outputs, losses (N,) and gradients (N, 3, H, W)."""
        goal, name = loss.__self__, loss.__name__  # type: ignore[attr-defined]
        with torch.enable_grad():
            given = pictures.detach().requires_grad_(True)
            x = self.enter(given)
        values = (x.detach(), goal.labels) if goal.targets is None else (x.detach(), goal.labels, goal.targets)
        count = len(pictures)
        rows = torch.arange(_places(count), device=x.device).clamp(max=count - 1)
        graphs = self.graphs.setdefault((name, goal.targets is None), CudaGraphs(self._function(name)))
        outputs, losses, slopes = (found[:count] for found in graphs(*(one[rows] for one in values)))
        return outputs, losses, torch.autograd.grad(x, given, slopes)[0]

    def _function(self, name: str) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
        def gradient(x: Tensor, labels: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
            with torch.enable_grad():
                given = x.detach().requires_grad_(True)
                outputs = self.scores(given.contiguous(memory_format=torch.channels_last))
                losses = getattr(ClassGoal(Misclassified(), labels, targets), name)(outputs)
                (slopes,) = torch.autograd.grad(losses.sum(), given)
            return outputs.detach(), losses.detach(), slopes

        return gradient


def on_device(pictures: Tensor) -> bool:
    """Tell whether there are CUDA graphs where the pictures are."""
    return pictures.is_cuda


def _places(count: int) -> int:
    return max(LEAST, 1 << (count - 1).bit_length())
