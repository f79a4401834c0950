"""The table of a network, as lectures draw it: each layer's output, memory, parameters, multiply-adds, and its view."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from .. import ops
from ..tracing import Tracer


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes:
        name: Its name in the network.
        kind: Its class.
        shape: Of its output, without the batch: (C, H, W).
        parameters: Trained numbers in it.
        multiply_adds: Of one picture, in convolutions and linear layers.
        stride: Pixels of the picture between neighbouring numbers of its output; 0 where that means nothing.
        receptive_field: Side, in pixels, of what one number of its output sees; 0 for the whole picture.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    stride: int
    receptive_field: int

    @property
    def memory(self) -> int:
        """Bytes of its output in float32."""
        return 4 * math.prod(self.shape)


@dataclass(frozen=True)
class Summary:
    """All layers of a network, in the order of the computation, for one size of pictures."""

    rows: tuple[Row, ...]
    parameters: int
    maps: dict[str, Row]
    """What every module gives, blocks of layers included, by its name."""

    @property
    def multiply_adds(self) -> int:
        """Of one picture, in all convolutions and linear layers."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def memory(self) -> int:
        """Bytes of all outputs in float32, as a training keeps them."""
        return sum(row.memory for row in self.rows)


def summarize(network: nn.Module, shape: tuple[int, int, int]) -> Summary:
    """Run a network on shapes alone and note every layer.

    Args:
        network: Must not branch on values.
        shape: (C, H, W) of the pictures.
    """
    was = network.training
    traced = fx.GraphModule(network, Tracer().trace(network.eval()))
    network.train(was)
    notes = _Notes(traced)
    with torch.no_grad(), ops.kernels("torch"):
        notes.run(torch.empty(1, *shape, device="meta"))
    return Summary(tuple(notes.rows), sum(p.numel() for p in network.parameters()), notes.maps)


class _Notes(fx.Interpreter):
    """Runs a graph on the meta device and writes a row for every layer."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.rows: list[Row] = []
        self.maps: dict[str, Row] = {}
        self.views: dict[fx.Node, tuple[int, int]] = {}  # (stride, receptive field); (0, 0) once all is seen

    def fetch_attr(self, target: str) -> Any:
        value = super().fetch_attr(target)
        return value.to("meta") if isinstance(value, Tensor) else value

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        layer = self.submodules.get(str(n.target)) if n.op == "call_module" else None
        before = [self.views[source] for source in n.all_input_nodes if source in self.views]
        stride, field = (1, 1) if n.op == "placeholder" else _widest(before)
        if n.op != "get_attr" and isinstance(result, Tensor):
            self.views[n] = stride, field = _view(layer, stride, field, result)
        if not isinstance(result, Tensor) or n.op == "get_attr":
            return result
        shape = tuple(result.shape[1:])
        if layer is not None:
            own, products = sum(p.numel() for p in layer.parameters()), _multiply_adds(layer, result)
            self.rows.append(Row(str(n.target), type(layer).__name__, shape, own, products, stride, field))
        for path, kind in n.meta.get("nn_module_stack", {}).values():
            self.maps[path] = Row(path, getattr(kind, "__name__", str(kind)), shape, 0, 0, stride, field)
        return result

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        layer = self.fetch_attr(target)
        moved = {name: t.to("meta") for name, t in [*layer.named_parameters(), *layer.named_buffers()]}
        return torch.func.functional_call(layer, moved, args, kwargs)


def _widest(views: list[tuple[int, int]]) -> tuple[int, int]:
    """What a number made of several sees; a whole map as one of them lets it see the whole picture."""
    fields = [field for _, field in views]
    return max((stride for stride, _ in views), default=0), max(fields, default=0) if all(fields) else 0


def _view(layer: nn.Module | None, stride: int, field: int, result: Tensor) -> tuple[int, int]:
    """What a number sees after a layer (Dumoulin and Visin 2016; Araujo, Norris and Sim 2019)."""
    if result.dim() < 3 or isinstance(layer, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
        return 0, 0
    if hasattr(layer, "kernel_size"):
        window, step, gap = (_side(getattr(layer, name, 1)) for name in ("kernel_size", "stride", "dilation"))
        return stride * step, field and field + (window - 1) * gap * stride
    return stride, field


def _side(value: Any) -> int:
    return int(max(value)) if isinstance(value, tuple | list) else int(value or 1)


def _multiply_adds(layer: nn.Module, result: Tensor) -> int:
    """Products of one picture: each number of the output takes one for each weight of its filter."""
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() < 2:
        return 0
    if isinstance(layer, nn.ConvTranspose2d):
        return weight.numel() * math.prod(result.shape[2:]) // math.prod(layer.stride)
    return weight.numel() * math.prod(result.shape[2:])
