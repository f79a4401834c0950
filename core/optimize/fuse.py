"""Finds in a traced network what one call can compute: convolution [, batch norm] [, sum] [, activation]."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from .fused import FusedConv2d

# Activation module or function -> its name in `fused.POSTS`.
MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky_relu",
    nn.ReLU6: "relu6",
    nn.SiLU: "silu",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Hardswish: "hardswish",
}
FUNCTIONS: dict[Any, str] = {
    F.relu: "relu",
    torch.relu: "relu",
    torch.relu_: "relu",
    F.leaky_relu: "leaky_relu",
    F.relu6: "relu6",
    F.silu: "silu",
    torch.sigmoid: "sigmoid",
    torch.tanh: "tanh",
    F.hardsigmoid: "hardsigmoid",
    F.hardswish: "hardswish",
}


def add_into(term: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Add into the first term, or beside it where at this input's size it would not hold the sum."""
    return term.add_(other) if term.shape == other.shape else term + other


SUMS = (operator.add, operator.iadd, torch.add)
# Modules whose result is memory of their own: neither an input of theirs nor a view of it.
FRESH = (FusedConv2d, nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.Upsample)
IN_PLACE = {getattr(operator, name) for name in operator.__all__ if name[0] == "i" and name[1:] in operator.__all__}
IN_PLACE.add(operator.setitem)
OURS = "striate.core.layers."


class Found(NamedTuple):
    """The nodes that one call replaces, apart from the convolution."""

    norm: fx.Node | None
    total: fx.Node | None
    activation: fx.Node | None


def fuse(traced: fx.GraphModule) -> None:
    """Replace what one call can compute by `FusedConv2d` wherever nothing else reads between.

    Args:
        traced: Its nodes know their shapes (`torch.fx.passes.shape_prop`).
    """
    modules = dict(traced.named_modules())
    calls = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    for node in list(traced.graph.nodes):
        conv = _module(node, modules)
        # A convolution called twice has two places, and its weights can carry the norm of one only.
        if _kind(conv) is not nn.Conv2d or calls[node.target] > 1 or len(node.args) != 1 or node.kwargs:
            continue
        assert isinstance(conv, nn.Conv2d)
        if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
            continue
        found = _what_follows(node, modules)
        fused = FusedConv2d(conv, *_folded(conv, _module(found.norm, modules)), *_activation(found.activation, modules))
        name = str(node.target)
        traced.set_submodule(name, fused)
        modules[name] = fused
        _rewrite(traced.graph, node, found)
    for node in traced.graph.nodes:  # only now is it known in which order the maps are read
        if isinstance(layer := _module(node, modules), FusedConv2d) and len(node.args) == 2:
            layer.overwrite = _may_overwrite(node.args[1], node, modules)
    traced.delete_all_unused_submodules()
    traced.recompile()


def add_in_place(traced: fx.GraphModule) -> None:
    """Add into a convolution's or an upsampling's result when the sum is its only reader: one map less to allocate."""
    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        if node.target not in SUMS or not _same_maps(node):
            continue
        for term, other in (node.args, node.args[::-1]):
            if _is_fresh(term, modules) and len(term.users) == 1:
                node.target, node.args = add_into, (term, other)
                break
    traced.recompile()


def _what_follows(node: fx.Node, modules: dict[str, nn.Module]) -> Found:
    last = node
    norm = _only_reader(last, lambda reader: _kind(_module(reader, modules)) is nn.BatchNorm2d)
    bn = _module(norm, modules)
    if bn is not None and (bn.running_mean is None or bn.running_var is None):  # it normalizes by the batch
        return Found(None, None, None)
    last = norm or last
    total = _only_reader(last, lambda reader: reader.target in SUMS and _same_maps(reader))
    if total is not None and (total.args[0] is total.args[1] or _changes_memory(node, total, modules)):
        total = None
    last = total or last
    activation = _only_reader(last, lambda reader: _activation(reader, modules)[0] is not None)
    return Found(norm, total, activation)


def _rewrite(graph: fx.Graph, node: fx.Node, found: Found) -> None:
    """Let the convolution's node stand for all of them; with a sum it moves to where both terms are known."""
    before = found.norm or node
    if found.total is not None:
        other = next(term for term in found.total.all_input_nodes if term is not before)
        found.total.prepend(node)
        node.args = (node.args[0], other)
    for gone in (found.activation, found.total, found.norm):
        if gone is not None:
            gone.replace_all_uses_with(node)
            graph.erase_node(gone)


def _folded(conv: nn.Conv2d, norm: nn.Module | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of the convolution with the norm inside."""
    bias = conv.bias if conv.bias is not None else conv.weight.new_zeros(conv.out_channels)
    if norm is None:
        return conv.weight, bias
    assert isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_weights(
        conv.weight,
        bias,
        norm.running_mean,  # type: ignore[arg-type]  # checked in _what_follows
        norm.running_var,  # type: ignore[arg-type]
        norm.eps,
        norm.weight,
        norm.bias,
    )


def _activation(node: fx.Node | None, modules: dict[str, nn.Module]) -> tuple[str | None, float]:
    """Name and slope of the activation that a node computes, or (None, 0.01)."""
    if node is None:
        return None, 0.01
    module = _module(node, modules)
    if module is not None:
        name = MODULES.get(_kind(module))  # type: ignore[arg-type]
        return name, float(getattr(module, "negative_slope", 0.01))
    name = FUNCTIONS.get(node.target) if node.op == "call_function" else None
    slope = node.args[1] if len(node.args) > 1 else node.kwargs.get("negative_slope", 0.01)
    return name, float(slope) if isinstance(slope, int | float) else 0.01


def _may_overwrite(other: Any, at: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether `other` is fresh memory that nobody reads during or after `at`, itself or through a view."""
    if not _is_fresh(other, modules) or at.args[0] is other:
        return False
    order = {node: i for i, node in enumerate(at.graph.nodes)}
    readers = [reader for reader in other.users if reader is not at]
    return all(_is_fresh(reader, modules) and order[reader] < order[at] for reader in readers)


def _changes_memory(first: fx.Node, last: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether anything between two nodes may write into memory that others read: the first must not move past it."""
    node = first.next
    while node is not last:
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        in_place = node.kwargs.get("inplace") or getattr(_module(node, modules), "inplace", False)
        if in_place or (node.op != "call_module" and (name.endswith("_") or node.target in IN_PLACE)):
            return True
        node = node.next
    return False


def _same_maps(node: fx.Node) -> bool:
    """Whether a sum adds two maps of its own shape."""
    terms = [term for term in node.args if isinstance(term, fx.Node)]
    if len(terms) != 2 or len(node.args) != 2 or node.kwargs:
        return False
    metas: list[Any] = [term.meta.get("tensor_meta") for term in (*terms, node)]
    return all(meta is not None for meta in metas) and len({(meta.shape, meta.dtype) for meta in metas}) == 1


def _module(node: Any, modules: dict[str, nn.Module]) -> nn.Module | None:
    """The module that a node calls."""
    return modules.get(str(node.target)) if isinstance(node, fx.Node) and node.op == "call_module" else None


def _kind(module: nn.Module | None) -> type[nn.Module] | None:
    """The torch.nn layer (or our fused one) that a module is, itself or through our namesake of it.

    None for other subclasses, which may compute something else, and where hooks wait for the call.
    """
    if module is None or module._forward_hooks or module._forward_pre_hooks:
        return None
    kind = type(module)
    if kind.__module__.startswith(OURS) and kind.__mro__[1].__name__ == kind.__name__:
        kind = kind.__mro__[1]
    return kind


def _is_fresh(node: Any, modules: dict[str, nn.Module]) -> bool:
    """Whether a node's result is memory of its own."""
    return _kind(_module(node, modules)) in FRESH


def _only_reader(node: fx.Node, fits: Callable[[fx.Node], bool]) -> fx.Node | None:
    """The one node that reads this one, if it fits."""
    readers = list(node.users)
    return readers[0] if len(readers) == 1 and fits(readers[0]) else None
