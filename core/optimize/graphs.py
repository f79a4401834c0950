"""A network recorded as one CUDA graph for each shape of input, and replayed."""

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
    given: Tensor
    results: Any
    done: torch.cuda.Event


class CudaGraphs:
    """Calls `network` on CUDA tensors through recordings; results are copies that the caller may keep.

    Args:
        network: One tensor in, tensors in any nesting of tuples, lists and dicts out; must not look at values on the
            host.
    """

    def __init__(self, network: Callable[[Tensor], Any]) -> None:
        self.network = network
        self.recordings: dict[tuple[Any, ...], Recording] = {}
        self.lock = threading.Lock()  # a recording's memory belongs to one call at a time

    def __call__(self, x: Tensor) -> Any:
        """Copy the input in, replay, copy the results out; inside somebody else's recording just run.

        Raises:
            UsageError: Results in something else than tuples, lists and dicts, which could not be copied.
        """
        if torch.cuda.is_current_stream_capturing():
            return self.network(x)
        key = (tuple(x.shape), x.stride(), x.dtype, x.device, *ops.state(x))
        with self.lock, torch.cuda.device(x.device):
            if key not in self.recordings:
                if len(self.recordings) == MOST_GRAPHS:
                    self.recordings.pop(next(iter(self.recordings)))
                self.recordings[key] = self._record(x)
            recording = self.recordings[key]
            stream = torch.cuda.current_stream(x.device)
            stream.wait_event(recording.done)  # another thread's call may still be running on its own stream
            recording.given.copy_(x)
            recording.graph.replay()
            copies = tree_map(lambda t: t.clone() if isinstance(t, Tensor) else t, recording.results)
            recording.done.record(stream)
            return copies

    def _record(self, x: Tensor) -> Recording:
        given = x.clone()
        stream = torch.cuda.Stream(x.device)
        stream.wait_stream(torch.cuda.current_stream(x.device))
        with torch.cuda.stream(stream):  # torch asks for a warm-up on a stream of its own
            for _ in range(WARM_UPS):
                self.network(given)
        torch.cuda.current_stream(x.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            results = self.network(given)
        foreign = [leaf for leaf in tree_leaves(results) if not isinstance(leaf, Tensor | int | float | str | None)]
        if foreign:
            fix = "return tuples, or pass cuda_graphs=False"
            raise UsageError("tensors in tuples, lists and dicts as results", type(foreign[0]).__name__, fix)
        return Recording(graph, given, results, torch.cuda.Event())
