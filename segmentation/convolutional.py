"""A classifier turned into a network for pictures of any size: its linear layers become convolutions."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from ..core.checks import UsageError
from ..core.layers import AvgPool2d, Conv2d
from ..core.tracing import Tracer

FLATTEN = (torch.flatten, "flatten", "view", "reshape")
POINTWISE = (nn.ReLU, nn.Dropout, nn.Identity)
"""What may stand between the pooling, the flattening and the first linear layer."""


def convolutionalize(network: nn.Module, size: tuple[int, int], *, same: bool = False) -> fx.GraphModule:
    """Return a copy of a classifier that scores every window of its input, sharing the work of their overlap.

    A linear layer over a map (C, h, w) is a convolution with windows h x w; one behind it, a 1x1 convolution; adaptive
    pooling is pooling over the window it saw (Long et al. 2015, section 3.1). (N, C, *size) gives (N, classes, 1, 1),
    the classifier's scores; a larger picture a map of them, one a stride. That map is what sliding the classifier
    gives, exactly where its convolutions do not pad; padded ones see a window's neighbours in place of zeros.

    Args:
        network: A classifier without branches on values, such as those of `core.models`; it stays as it is.
        size: (height, width) of the pictures that it classifies.
        same: Pad each window by half its side, rounded down. Of odd windows (VGG's 7 x 7) the map of scores is as
            large as the map they read, value upon value; of an even one (AlexNet's 6 x 6) it is one row and column
            larger, and each value lies half a cell before its place.

    Returns:
        A module with the names of the network's modules and the attributes `head` and `maps` that it had.

    Raises:
        UsageError: A network without convolutions, that cannot be traced, or that does more to its scores than these
            layers do.
    """
    channels = next((m.in_channels for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    if channels is None:
        raise UsageError("a network with convolutions", type(network).__name__, "use another classifier")
    private = copy.deepcopy(network).eval()
    try:
        traced = fx.GraphModule(private, Tracer().trace(private))
    except (fx.proxy.TraceError, TypeError) as error:
        raise UsageError("a network without branches on values", str(error), "use another classifier") from error
    device = next(private.parameters()).device
    with torch.inference_mode():
        ShapeProp(traced).propagate(torch.zeros(1, channels, *size, device=device))
    for node in list(traced.graph.nodes):
        _change(traced, node, same)
    traced.delete_all_unused_submodules()
    traced.recompile()
    for name in ("head", "maps"):
        if hasattr(network, name):
            setattr(traced, name, getattr(network, name))
    _check(traced, (1, channels, 2 * size[0], 2 * size[1]))
    return traced.train(network.training)


def _change(traced: fx.GraphModule, node: fx.Node, same: bool) -> None:
    """Replace one call: flattening goes, adaptive pooling and linear layers become windows.

    `node.meta["window"]` is the size of the map that was flattened, until the first linear layer has read it.
    """
    if not node.all_input_nodes or node.op == "output":
        return
    source = node.all_input_nodes[0]
    module = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
    window = source.meta.get("window", (1, 1))
    if node.target in FLATTEN or isinstance(module, nn.Flatten):
        source.meta["window"] = _size(source)
        _skip(traced.graph, node)
        return
    if isinstance(module, nn.AdaptiveAvgPool2d) and _is_flattened(traced, node):
        if _size(node) == _size(source):
            _skip(traced.graph, node)
        elif _size(node) == (1, 1):
            traced.set_submodule(str(node.target), AvgPool2d(_size(source), 1, _half(_size(source), same)))
        else:
            got = f"{node.target!r}, which pools {_size(source)} to {_size(node)}"
            raise UsageError("pooling to one pixel, or to the size there is", got, "pass the size of its training")
    if isinstance(module, nn.Linear):
        traced.set_submodule(str(node.target), _convolution(module, window, same))
        window = (1, 1)
    node.meta["window"] = window


def _is_flattened(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether the next but pointwise layers flattens; pooling inside a block, as excitation's, does not."""
    while len(node.users) == 1:
        node = next(iter(node.users))
        if node.target in FLATTEN:
            return True
        module = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
        if not isinstance(module, POINTWISE):
            return isinstance(module, nn.Flatten)
    return False


def _skip(graph: fx.Graph, node: fx.Node) -> None:
    node.replace_all_uses_with(node.all_input_nodes[0])
    graph.erase_node(node)


def _convolution(linear: nn.Linear, window: tuple[int, int], same: bool) -> Conv2d:
    """Return the convolution that computes a linear layer at each place of a window."""
    channels = linear.in_features // (window[0] * window[1])
    biased = linear.bias is not None
    conv = Conv2d(channels, linear.out_features, window, padding=_half(window, same), bias=biased)
    conv.weight = nn.Parameter(linear.weight.detach().view(linear.out_features, channels, *window).clone())
    if biased:
        conv.bias = nn.Parameter(linear.bias.detach().clone())
    return conv


def _half(window: tuple[int, int], same: bool) -> tuple[int, int]:
    return (window[0] // 2, window[1] // 2) if same else (0, 0)


def _size(node: fx.Node) -> tuple[int, int]:
    """Height and width of the map that a node gives."""
    meta: Any = node.meta["tensor_meta"]
    return (int(meta.shape[2]), int(meta.shape[3]))


def _check(traced: fx.GraphModule, shape: tuple[int, ...]) -> None:
    """Raise unless a larger picture gives a map of scores; computed without values."""
    got = ""
    try:
        scores = copy.deepcopy(traced).to("meta")(torch.zeros(shape, device="meta"))
        got = "" if isinstance(scores, torch.Tensor) and scores.dim() == 4 else f"{scores}"
    except RuntimeError as error:
        got = str(error)
    if got:
        raise UsageError("a classifier that ends in linear layers", got, "use another classifier")
