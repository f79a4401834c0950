"""A trained network made fast: batch norm folded into the convolution before it, activation fused, weights packed.

On the CPU a folded convolution runs as one oneDNN call with the activation inside, on weights that were brought into
its blocked layout once. On CUDA tensors the folded convolution and the activation go through `ops`.
"""

from __future__ import annotations

import copy
import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.utils.fusion import fuse_conv_bn_weights

from . import ops
from .checks import UsageError, unknown

PRECISIONS = ("auto", "fp32", "bf16")

# Module -> oneDNN's name of the post-operation, and the attribute that holds its one parameter.
FUSABLE: dict[type[nn.Module], tuple[str, str | None]] = {
    nn.SiLU: ("swish", None),
    nn.ReLU: ("relu", None),
    nn.LeakyReLU: ("leaky_relu", "negative_slope"),
    nn.Sigmoid: ("sigmoid", None),
    nn.Tanh: ("tanh", None),
}


class FusedConv2d(nn.Module):
    """A convolution with folded norm and activation: (N, C, H, W) -> (N, K, OH, OW), computed in its weight's dtype.

    Args:
        conv: Where geometry comes from.
        weight: Folded weight (K, C / groups, R, S).
        bias: Folded bias (K,).
        activation: One of `FUSABLE`'s modules, or None.
    """

    def __init__(self, conv: nn.Conv2d, weight: Tensor, bias: Tensor, activation: nn.Module | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().contiguous(memory_format=torch.channels_last), requires_grad=False)
        self.bias = nn.Parameter(bias.detach(), requires_grad=False)
        self.activation = activation
        self.conv = (_pair(conv.stride), _pair(conv.padding), _pair(conv.dilation), conv.groups)
        stride, padding, dilation, groups = self.conv
        self.geometry = (list(padding), list(stride), list(dilation), groups)  # in oneDNN's order
        self.packed: Tensor | None = None
        name, parameter = FUSABLE[_kind(activation)] if activation is not None else ("none", None)
        self.post = (name, [getattr(activation, parameter)] if parameter else [], "")

    def pack(self, shape: torch.Size) -> None:
        """Bring the weight into oneDNN's layout for inputs of this shape; others stay right, a little slower."""
        self.packed = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *self.geometry, list(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, add the bias, activate."""
        x = x.to(self.weight.dtype)
        if self.packed is not None and not ops.uses_triton(x):
            return torch.ops.mkldnn._convolution_pointwise(x, self.packed, self.bias, *self.geometry, *self.post)
        y = ops.conv2d(x, self.weight, self.bias, *self.conv)
        return y if self.activation is None else self.activation(y)


class Optimized(nn.Module):
    """An optimized network; takes and returns what the original did, under no gradient."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, x: Tensor) -> Any:
        """Run the network in channels-last layout."""
        with torch.inference_mode():
            return self.graph(x.contiguous(memory_format=torch.channels_last))


def optimize(model: nn.Module, example: Tensor, *, precision: str = "fp32") -> Optimized:
    """Return a fast copy of a network for inference; the network itself stays as it is.

    Args:
        model: Takes one tensor; its forward must not branch on values.
        example: An input of the usual shape, on the device where the copy will run.
        precision: "fp32"; "bf16" computes in bfloat16, all but the convolutions that give the results; "auto" is
            "bf16" on a CPU that multiplies bfloat16 in hardware, "fp32" elsewhere.

    Raises:
        UsageError: A network that cannot be traced, or an unknown precision.
    """
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    private = copy.deepcopy(model).eval().to(example.device)
    try:
        graph = _Tracer().trace(private)
    except (fx.proxy.TraceError, TypeError) as error:
        raise UsageError("a network without branches on values", str(error), "use the network as it is") from error
    traced = fx.GraphModule(private, graph)
    _fuse(traced)
    _add_in_place(traced, example)
    if precision == "bf16" or (precision == "auto" and example.device.type == "cpu" and cpu_has_bfloat16()):
        _to_bfloat16(traced)
    optimized = Optimized(traced.eval())
    if example.device.type == "cpu" and _onednn_has_fused_convolution():
        hooks = [
            layer.register_forward_pre_hook(lambda layer, inputs: layer.pack(inputs[0].shape))
            for layer in traced.modules()
            if isinstance(layer, FusedConv2d)
        ]
        optimized(example)
        for hook in hooks:
            hook.remove()
    return optimized


class _Tracer(fx.Tracer):
    """Stops at layers, so that ours are seen as the torch.nn layers they are."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not list(m.children())


def _fuse(traced: fx.GraphModule) -> None:
    """Replace convolution [, batch norm] [, activation] by one `FusedConv2d` wherever nothing else reads between."""
    modules = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        conv = modules.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(conv, nn.Conv2d) or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
            continue
        norm = _only_reader(node, modules, (nn.BatchNorm2d,))
        last = norm or node
        activation = _only_reader(last, modules, tuple(FUSABLE))
        weight, bias = conv.weight, conv.bias if conv.bias is not None else conv.weight.new_zeros(conv.out_channels)
        if norm is not None:
            bn = modules[str(norm.target)]
            weight, bias = fuse_conv_bn_weights(
                weight,
                bias,
                bn.running_mean,
                bn.running_var,
                bn.eps,
                bn.weight,
                bn.bias,  # type: ignore[arg-type]
            )
        act = modules[str(activation.target)] if activation is not None else None
        traced.set_submodule(str(node.target), FusedConv2d(conv, weight, bias, act))
        for gone in (n for n in (activation, norm) if n is not None):
            gone.replace_all_uses_with(node)
            traced.graph.erase_node(gone)
    traced.delete_all_unused_submodules()
    traced.recompile()


def _add_in_place(traced: fx.GraphModule, example: Tensor) -> None:
    """Add into a convolution's or an upsampling's result when the sum is its only reader: one map less to allocate."""
    modules = dict(traced.named_modules())
    with torch.inference_mode():
        ShapeProp(traced).propagate(example)
    for node in traced.graph.nodes:
        if node.target is not operator.add or not all(isinstance(term, fx.Node) for term in node.args):
            continue
        for term, other in (node.args, node.args[::-1]):
            fresh = isinstance(modules.get(str(term.target)), (FusedConv2d, nn.Upsample)) and len(term.users) == 1
            if fresh and term.meta["tensor_meta"].shape == node.meta["tensor_meta"].shape:
                node.target, node.args = operator.iadd, (term, other)
                break
    traced.recompile()


def _to_bfloat16(traced: fx.GraphModule) -> None:
    """Compute in bfloat16 all but what gives the results: eight bits are enough for features, not for coordinates."""
    last: set[str] = set()
    ahead = [traced.graph.output_node()]
    while ahead:  # back from the output, through what packs results into tuples, to the layers that computed them
        for node in ahead.pop().all_input_nodes:
            if node.op == "call_module":
                last.add(str(node.target))
            else:
                ahead.append(node)
    for name, module in traced.named_modules():
        if isinstance(module, FusedConv2d) and name not in last:
            module.to(torch.bfloat16)


def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX); emulated, it is slower than float32."""
    known = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(ask() for ask in known if ask is not None)


def _only_reader(node: fx.Node, modules: dict[str, nn.Module], kinds: tuple[type[nn.Module], ...]) -> fx.Node | None:
    """The one node that reads this one, if it is a module of these kinds."""
    readers = list(node.users)
    if len(readers) != 1 or readers[0].op != "call_module":
        return None
    return readers[0] if isinstance(modules[str(readers[0].target)], kinds) else None


def _pair(value: tuple[int, ...] | str) -> tuple[int, int]:
    return int(value[0]), int(value[1])


def _kind(module: nn.Module) -> type[nn.Module]:
    return next(kind for kind in FUSABLE if isinstance(module, kind))


def _onednn_has_fused_convolution() -> bool:
    """Whether this torch has the (private) operations that Inductor uses for frozen convolutions."""
    names = ("_convolution_pointwise", "_reorder_convolution_weight")
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)
