"""A network recorded as one CUDA graph for each shape of input, and replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

MOST_GRAPHS = 8
"""Recordings kept, one for each shape; the oldest makes room."""
WARM_UPS = 3
"""Runs before a recording: kernels are compiled and cuDNN chooses in the first."""


class Recording(NamedTuple):
    """A graph and the memory that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    given: Tensor
    results: Any


class CudaGraphs:
    """Calls `network` on CUDA tensors through recordings; results are copies that the caller may keep.

    Args:
        network: One tensor in, tensors in any nesting out; must not look at values on the host.
    """

    def __init__(self, network: Callable[[Tensor], Any]) -> None:
        self.network = network
        self.recordings: dict[tuple[Any, ...], Recording] = {}

    def __call__(self, x: Tensor) -> Any:
        """Copy the input in, replay, copy the results out; inside somebody else's recording just run."""
        if torch.cuda.is_current_stream_capturing():
            return self.network(x)
        key = (tuple(x.shape), x.stride(), x.dtype, x.device)
        with torch.cuda.device(x.device):
            if key not in self.recordings:
                if len(self.recordings) == MOST_GRAPHS:
                    self.recordings.pop(next(iter(self.recordings)))
                self.recordings[key] = self._record(x)
            recording = self.recordings[key]
            recording.given.copy_(x)
            recording.graph.replay()
            return tree_map(lambda t: t.clone() if isinstance(t, Tensor) else t, recording.results)

    def _record(self, x: Tensor) -> Recording:
        given = x.clone()
        stream = torch.cuda.Stream(x.device)
        stream.wait_stream(torch.cuda.current_stream(x.device))
        with torch.cuda.stream(stream):  # torch asks for a warm-up on a stream of its own
            for _ in range(WARM_UPS):
                self.network(given)
        torch.cuda.current_stream(x.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = self.network(given)
        return Recording(graph, given, results)
