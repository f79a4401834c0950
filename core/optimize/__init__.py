"""A trained network made fast: batch norm folded into the convolution before it, sums and activations fused.

On the CPU a fused convolution is one oneDNN call on weights that were brought into its blocked layout once. On CUDA
tensors it is one Triton kernel, and the whole network one CUDA graph for each shape of input.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from ..checks import UsageError, unknown
from ..tracing import Tracer
from .fuse import add_in_place, fuse
from .fused import FusedConv2d, onednn_has_fused_convolution
from .graphs import CudaGraphs
from .precision import has_bfloat16, to_bfloat16

__all__ = ["PRECISIONS", "FusedConv2d", "Optimized", "has_bfloat16", "optimize", "pack"]

PRECISIONS = ("auto", "fp32", "bf16")


class Optimized(nn.Module):
    """An optimized network; takes and returns what the original did, under no gradient.

    Args:
        graph: The network after all passes.
        cuda_graphs: Replay a CUDA graph where the input is on a CUDA device.
    """

    def __init__(self, graph: fx.GraphModule, cuda_graphs: bool = False) -> None:
        super().__init__()
        self.graph = graph
        self.replay = CudaGraphs(graph) if cuda_graphs else None

    def forward(self, x: Tensor) -> Any:
        """Run the network in channels-last layout."""
        with torch.inference_mode():
            if x.dim() == 4:
                x = x.contiguous(memory_format=torch.channels_last)
            return self.replay(x) if self.replay is not None and x.is_cuda else self.graph(x)


def optimize(model: nn.Module, example: Tensor, *, precision: str = "fp32", cuda_graphs: bool = True) -> Optimized:
    """Return a fast copy of a network for inference; the network itself stays as it is.

    Args:
        model: Takes one tensor; its forward must not branch on values.
        example: An input of the usual shape, on the device where the copy will run.
        precision: "fp32"; "bf16" computes in bfloat16, all but the layers that give the results; "auto" is "bf16"
            where the device multiplies bfloat16 in hardware, "fp32" elsewhere.
        cuda_graphs: On a CUDA device, record the network once for each shape of input and replay it: at batch 1 the
            host's launches take longer than the kernels. A recording keeps the memory of its maps.

    Raises:
        UsageError: A network that cannot be traced, or an unknown precision.
    """
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    private = copy.deepcopy(model).eval().to(example.device)
    try:
        graph = Tracer().trace(private)
    except (fx.proxy.TraceError, TypeError) as error:
        raise UsageError("a network without branches on values", str(error), "use the network as it is") from error
    traced = fx.GraphModule(private, graph)
    with torch.inference_mode():
        ShapeProp(traced).propagate(example)
    fuse(traced)
    add_in_place(traced)
    if precision == "bf16" or (precision == "auto" and has_bfloat16(example.device)):
        to_bfloat16(traced)
    optimized = Optimized(traced.eval(), cuda_graphs and example.is_cuda)
    pack(optimized, example)
    return optimized


def pack(optimized: Optimized, example: Tensor) -> None:
    """Pack every fused convolution for the shape that reaches it when `example` goes in; without oneDNN, none."""
    if example.device.type != "cpu" or not onednn_has_fused_convolution():
        return
    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs: layer.pack(inputs[0].shape))
        for layer in optimized.modules()
        if isinstance(layer, FusedConv2d)
    ]
    optimized(example)
    for hook in hooks:
        hook.remove()
