"""Feature maps of a network by name: a network that stops at the last one asked for."""

from __future__ import annotations

from collections.abc import Iterable

from torch import fx, nn

from ..checks import UsageError, unknown
from ..tracing import Tracer


def feature_maps(network: nn.Module, names: Iterable[str]) -> nn.Module:
    """Return a network that gives the outputs of layers by name; it shares the weights of the one it is made of.

    Args:
        network: One of ours: `network.maps` has short names for its maps. Any other: names of its modules.
        names: Names in `network.maps`, or of modules such as "layer3.0.conv1".

    Returns:
        A module: (N, C, H, W) -> {name: map}. Layers that no map needs are left out. It is made for the mode, training
        or eval, that the network is in.

    Raises:
        UsageError: A name that does not exist, a module that is not called once, or a network that cannot be traced.
    """
    short: dict[str, str] = getattr(network, "maps", {})
    wanted = {name: short.get(name, name) for name in names}
    modules = dict(network.named_modules())
    for path in wanted.values():
        if path not in modules or not path:
            raise unknown("the map", path, [*short, *(name for name in modules if name)])
    try:
        graph = _Whole(set(wanted.values())).trace(network)
    except (fx.proxy.TraceError, TypeError) as error:
        raise UsageError("a network without branches on values", str(error), "register a hook instead") from error
    outputs = {name: _last_node(graph, path) for name, path in wanted.items()}
    old = graph.output_node()
    with graph.inserting_before(old):
        graph.output(outputs)
    graph.erase_node(old)
    traced = fx.GraphModule(network, graph)
    _keep_needed(graph)
    traced.recompile()
    traced.delete_all_unused_submodules()
    return traced.train(network.training)


def _keep_needed(graph: fx.Graph) -> None:
    """Erase what no output needs; torch's own elimination keeps dropout and norms in training mode."""
    for node in reversed(graph.nodes):
        if not node.users and node.op not in ("output", "placeholder"):
            graph.erase_node(node)


class _Whole(Tracer):
    """Notes which nodes each of some modules ends in."""

    def __init__(self, paths: set[str]) -> None:
        super().__init__()
        self.paths = paths
        self.ends: dict[str, list[fx.Node]] = {}

    def call_module(self, m: nn.Module, forward: object, args: tuple, kwargs: dict) -> object:  # type: ignore[override,type-arg]
        result = super().call_module(m, forward, args, kwargs)  # type: ignore[arg-type]
        path = self.path_of_module(m)
        if path in self.paths and isinstance(result, fx.Proxy):
            self.ends.setdefault(path, []).append(result.node)
        return result

    def trace(self, root: nn.Module, concrete_args: object = None) -> fx.Graph:  # type: ignore[override]
        graph = super().trace(root, concrete_args)  # type: ignore[arg-type]
        graph.striate_ends = self.ends  # type: ignore[attr-defined]
        return graph


def _last_node(graph: fx.Graph, path: str) -> fx.Node:
    found = graph.striate_ends.get(path, [])  # type: ignore[attr-defined]
    if len(found) != 1:
        fix = "choose a layer that is called once and gives one tensor"
        raise UsageError("a module that is called once", f"{path!r}, which is called {len(found)} times", fix)
    return found[0]
