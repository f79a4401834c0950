"""Pattern-producing networks (CPPN) whose topology grows.

A compositional pattern-producing network (Stanley 2007) is asked for every pixel's colour from its place: x, y, its
distance from the middle and a bias. It begins without hidden nodes; mutation adds and removes nodes and connections, as
in NEAT (Stanley and Miikkulainen 2002, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
INPUTS = 4
"""x, y, distance from the middle, bias."""
SPAN = 10.0
"""Weights lie in [-10, 10]."""


def _sigmoid(x: Floats) -> Floats:
    return np.tanh(np.float32(2.45) * x)  # NEAT's 1 / (1 + exp(-4.9 x)), stretched to [-1, 1]


def _gaussian(x: Floats) -> Floats:
    return 2 * np.exp(-(x**2)) - 1


def _linear(x: Floats) -> Floats:
    return np.clip(x, -1, 1)


ACTIVATIONS: tuple[Callable[[Floats], Floats], ...] = (np.sin, _sigmoid, _gaussian, _linear)
"""Sine, sigmoid, Gaussian and linear, as in the paper; all of them in [-1, 1]."""


@dataclass(frozen=True)
class Cppn:
    """A feed-forward network: inputs first, then outputs, then hidden nodes in the order of their birth.

    Attributes:
        activations: Index into `ACTIVATIONS` of each node, int8 (nodes,); the inputs' are not used.
        depths: float64 (nodes,): 0 for inputs, 1 for outputs; connections lead to greater depths only.
        sources: Node that a connection comes from, int32 (connections,).
        targets: Node that it leads to.
        weights: float32 (connections,) in [-10, 10].
        outputs: How many.
    """

    activations: NDArray[np.int8]
    depths: NDArray[np.float64]
    sources: NDArray[np.int32]
    targets: NDArray[np.int32]
    weights: NDArray[np.float32]
    outputs: int

    @property
    def hidden(self) -> int:
        """Number of hidden nodes."""
        return len(self.activations) - INPUTS - self.outputs


def add_node(net: Cppn, rng: np.random.Generator) -> Cppn:
    """Put a node into a connection: weight 1 to it, the old weight from it (NEAT, section 3.1)."""
    if not len(net.weights):
        return net
    place = int(rng.integers(len(net.weights)))
    source, target = net.sources[place], net.targets[place]
    depth = (net.depths[source] + net.depths[target]) / 2
    if not net.depths[source] < depth < net.depths[target]:  # after 50 halvings in one place
        return net
    new = len(net.activations)
    weights = np.append(net.weights, np.float32(1))
    return Cppn(
        np.append(net.activations, np.int8(rng.integers(len(ACTIVATIONS)))),
        np.append(net.depths, depth),
        np.append(_with(net.sources, place, new), source),
        np.append(net.targets, np.int32(new)),
        weights,
        net.outputs,
    )


def remove_node(net: Cppn, rng: np.random.Generator) -> Cppn:
    """Take a hidden node away, with its connections."""
    if not net.hidden:
        return net
    gone = INPUTS + net.outputs + int(rng.integers(net.hidden))
    keep = (net.sources != gone) & (net.targets != gone)
    sources, targets = (ends[keep] - (ends[keep] > gone).astype(np.int32) for ends in (net.sources, net.targets))
    activations, depths = np.delete(net.activations, gone), np.delete(net.depths, gone)
    return Cppn(activations, depths, sources, targets, net.weights[keep], net.outputs)


def add_connection(net: Cppn, rng: np.random.Generator) -> Cppn:
    """Connect two nodes that are not connected, the second deeper than the first."""
    joined = np.zeros((len(net.depths), len(net.depths)), bool)
    joined[net.sources, net.targets] = True
    free = np.argwhere((net.depths[:, None] < net.depths[None]) & ~joined)
    if not len(free):
        return net
    source, target = free[rng.integers(len(free))].astype(np.int32)
    weight = np.float32(rng.uniform(-SPAN, SPAN))
    sources, targets = np.append(net.sources, source), np.append(net.targets, target)
    return replace(net, sources=sources, targets=targets, weights=np.append(net.weights, weight))


def remove_connection(net: Cppn, rng: np.random.Generator) -> Cppn:
    """Take a connection away, but for the last."""
    if len(net.weights) < 2:
        return net
    keep = np.arange(len(net.weights)) != rng.integers(len(net.weights))
    return replace(net, sources=net.sources[keep], targets=net.targets[keep], weights=net.weights[keep])


def move_connection(net: Cppn, rng: np.random.Generator) -> Cppn:
    """Let a connection come from another node, with its weight."""
    if not len(net.weights):
        return net
    place = int(rng.integers(len(net.weights)))
    target = net.targets[place]
    taken = np.isin(np.arange(len(net.depths)), net.sources[net.targets == target])
    free = np.flatnonzero((net.depths < net.depths[target]) & ~taken)
    return net if not len(free) else replace(net, sources=_with(net.sources, place, free[rng.integers(len(free))]))


CHANGES = {
    "add_node": add_node,
    "remove_node": remove_node,
    "add_connection": add_connection,
    "remove_connection": remove_connection,
    "move_connection": move_connection,
}


def is_sound(net: Cppn) -> bool:
    """Tell whether a network is one that mutation can make."""
    nodes, first = len(net.activations), INPUTS + net.outputs
    if not (len(net.depths) == nodes >= first and len(net.sources) == len(net.targets) == len(net.weights) > 0):
        return False
    ends = np.concatenate([net.sources, net.targets])
    if (
        ends.min() < 0
        or ends.max() >= nodes
        or not 0 <= net.activations.min() <= net.activations.max() < len(ACTIVATIONS)
    ):
        return False
    fixed = (net.depths[:INPUTS] == 0).all() and (net.depths[INPUTS:first] == 1).all()
    between = ((net.depths[first:] > 0) & (net.depths[first:] < 1)).all()
    forward = (net.depths[net.sources] < net.depths[net.targets]).all()
    return bool(fixed and between and forward and (np.abs(net.weights) <= SPAN).all())


def _with(ends: NDArray[np.int32], place: int, node: Any) -> NDArray[np.int32]:
    changed = ends.copy()
    changed[place] = node
    return changed
