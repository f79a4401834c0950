"""A function of tensors recorded as one CUDA graph for each shape of input, and replayed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from .. import ops
from ..checks import UsageError

MOST_GRAPHS = 8
"""Recordings kept, one for each shape; the oldest makes room."""
WARM_UPS = 3
"""Runs before a recording: kernels are compiled and cuDNN chooses in the first."""


class Recording(NamedTuple):
    """A graph and the memory that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    given: tuple[Tensor, ...]
    results: Any
    done: torch.cuda.Event


class CudaGraphs:
    """Calls `function` on CUDA tensors through recordings; results are copies that the caller may keep.

    Args:
        function: Tensors of one device in, tensors in any nesting of tuples, lists and dicts out; must not look at
            values on the host.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.recordings: dict[tuple[Any, ...], Recording] = {}
        self.lock = threading.Lock()  # a recording's memory belongs to one call at a time

    def __call__(self, x: Tensor, *others: Tensor) -> Any:
        """Copy the inputs in, replay, copy the results out; inside somebody else's recording just run.

        Raises:
            UsageError: Results in something else than tuples, lists and dicts, which could not be copied.
        """
        if torch.cuda.is_current_stream_capturing():
            return self.function(x, *others)
        given = (x, *others)
        key = (*((tuple(one.shape), one.stride(), one.dtype) for one in given), x.device, *ops.state(x))
        with self.lock, torch.cuda.device(x.device):
            if key not in self.recordings:
                if len(self.recordings) == MOST_GRAPHS:
                    self.recordings.pop(next(iter(self.recordings)))
                self.recordings[key] = self._record(given)
            recording = self.recordings[key]
            stream = torch.cuda.current_stream(x.device)
            stream.wait_event(recording.done)  # another thread's call may still be running on its own stream
            for own, theirs in zip(recording.given, given, strict=True):
                own.copy_(theirs)
            recording.graph.replay()
            copies = tree_map(lambda t: t.clone() if isinstance(t, Tensor) else t, recording.results)
            recording.done.record(stream)
            return copies

    def _record(self, like: tuple[Tensor, ...]) -> Recording:
        given, device = tuple(one.clone() for one in like), like[0].device
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):  # torch asks for a warm-up on a stream of its own
            for _ in range(WARM_UPS):
                self.function(*given)
        torch.cuda.current_stream(device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            results = self.function(*given)
        foreign = [leaf for leaf in tree_leaves(results) if not isinstance(leaf, Tensor | int | float | str | None)]
        if foreign:
            fix = "return tuples, or pass cuda_graphs=False"
            raise UsageError("tensors in tuples, lists and dicts as results", type(foreign[0]).__name__, fix)
        return Recording(graph, given, results, torch.cuda.Event())
