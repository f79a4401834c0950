"""Where bfloat16 is fast, and a traced network brought to it."""

from __future__ import annotations

import torch
from torch import fx, nn

from .fused import FusedConv2d

LAYERS = (FusedConv2d, nn.Conv2d, nn.Linear)


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware; emulated, it is slower than float32.

    That is AVX512-BF16 or AMX on a CPU, compute capability 8.0 (Ampere) or later on CUDA.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    known = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(ask() for ask in known if ask is not None)


def to_bfloat16(traced: fx.GraphModule) -> None:
    """Compute in bfloat16 all but what gives the results: eight bits are enough for features, not for coordinates.

    Convolutions and linear layers change. Layers with other float32 parameters, whatever reads maps of both types, and
    the results get theirs back in float32.
    """
    last = {node.target for node in _result_layers(traced)}
    modules = dict(traced.named_modules())
    half: set[fx.Node] = set()
    for node in list(traced.graph.nodes):
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, LAYERS) and node.target not in last:
            module.to(torch.bfloat16)
            half.add(node)
            if not isinstance(module, FusedConv2d):  # which casts by itself
                _cast(traced.graph, node, torch.bfloat16)
            continue
        inputs = [source for source in node.all_input_nodes if _is_floating(source)]
        own = module is not None and any(t.is_floating_point() for t in (*module.parameters(), *module.buffers()))
        if own or not half.issuperset(inputs):
            _cast(traced.graph, node)  # computes in the type it had: nothing takes maps of two types
        elif inputs:
            half.add(node)
    _cast(traced.graph, traced.graph.output_node())
    traced.recompile()


def _result_layers(traced: fx.GraphModule) -> set[fx.Node]:
    """The layers whose values are the results, seen through what packs, reshapes or squashes them."""
    modules = dict(traced.named_modules())
    found: set[fx.Node] = set()
    ahead = [traced.graph.output_node()]
    while ahead:
        for node in ahead.pop().all_input_nodes:
            if node.op == "call_module" and isinstance(modules[str(node.target)], LAYERS):
                found.add(node)
            else:
                ahead.append(node)
    return found


def _is_floating(node: fx.Node) -> bool:
    """Whether a node's result is one floating-point tensor."""
    kind = getattr(node.meta.get("tensor_meta"), "dtype", None)
    return kind is not None and kind.is_floating_point


def _cast(graph: fx.Graph, node: fx.Node, dtype: torch.dtype | None = None) -> None:
    """Let a node read its floating-point inputs in a dtype, or in the one they had in the network as it came."""
    for source in node.all_input_nodes:
        if _is_floating(source):
            with graph.inserting_before(node):
                cast = graph.call_method("to", (source, dtype or source.meta["tensor_meta"].dtype))
            node.replace_input_with(source, cast)
