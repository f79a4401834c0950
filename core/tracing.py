"""A network as a graph of its layers."""

from __future__ import annotations

from torch import fx, nn


class Tracer(fx.Tracer):
    """Stops at layers, so that ours are seen as the torch.nn layers they are."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not list(m.children())
