"""Many pattern-producing networks painting at once: node by node, all pictures and pixels of a node together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .cppn import ACTIVATIONS, INPUTS, Cppn, Floats

MOST_NUMBERS = 8_000_000
"""Values of all nodes that are kept at a time: 32 MB."""


def places(size: tuple[int, int]) -> Floats:
    """Return the inputs at every pixel, float32 (4, H * W): x and y from -1 to 1 along the longer side."""
    height, width = size
    longest = max(height, width)
    y, x = ((np.arange(side) + 0.5 - side / 2) * 2 / longest for side in (height, width))
    grid_y, grid_x = np.meshgrid(y, x, indexing="ij")
    stacked = np.stack([grid_x, grid_y, np.hypot(grid_x, grid_y), np.ones(size)])
    return stacked.reshape(INPUTS, -1).astype(np.float32)


def paint(networks: Sequence[Cppn], size: tuple[int, int]) -> Floats:
    """Return the outputs of networks with equally many of them at every pixel, float32 (N, H, W, outputs)."""
    inputs, outputs = places(size), networks[0].outputs
    needed = [_needed(net) for net in networks]
    each = max(len(nodes) for nodes in needed) + INPUTS
    count = max(1, MOST_NUMBERS // (each * inputs.shape[1]))
    parts = [
        _paint(networks[start : start + count], needed[start : start + count], inputs)
        for start in range(0, len(networks), count)
    ]
    return np.concatenate(parts).reshape(len(networks), *size, outputs)


def _needed(net: Cppn) -> NDArray[np.int64]:
    """Return the nodes that an output depends on, inputs left out, each after all it depends on."""
    order = np.argsort(net.depths, kind="stable")
    wanted = np.zeros(len(order), bool)
    wanted[INPUTS : INPUTS + net.outputs] = True
    by_target: dict[int, list[int]] = {}
    for source, target in zip(net.sources.tolist(), net.targets.tolist(), strict=True):
        by_target.setdefault(target, []).append(source)
    for node in order[::-1].tolist():
        if wanted[node]:
            wanted[by_target.get(node, [])] = True
    return order[wanted[order] & (order >= INPUTS)]


def _paint(networks: Sequence[Cppn], needed: Sequence[NDArray[np.int64]], inputs: Floats) -> Floats:
    """Compute the k-th node of all networks at once, for k = 0, 1, ...; float32 (N, pixels, outputs)."""
    count, pixels, outputs = len(networks), inputs.shape[1], networks[0].outputs
    steps = max(len(nodes) for nodes in needed)
    # Rows: INPUTS shared by all, then node k of network n at INPUTS + k * N + n.
    values = np.zeros((INPUTS + steps * count, pixels), np.float32)
    values[:INPUTS] = inputs
    rows, columns, weights, kinds = _plan(networks, needed, steps)
    starts = np.searchsorted(rows, np.arange(steps * count + 1))
    for step in range(steps):
        first, last = step * count, (step + 1) * count
        part = slice(starts[first], starts[last])
        known = INPUTS + first
        matrix = csr_array(
            (weights[part], columns[part], starts[first : last + 1] - starts[first]), shape=(count, known)
        )
        sums, block = matrix @ values[:known], values[known : known + count]
        for kind, activation in enumerate(ACTIVATIONS):
            chosen = np.flatnonzero(kinds[step] == kind)
            if len(chosen):
                block[chosen] = activation(sums[chosen])
    found = [
        [INPUTS + int(np.flatnonzero(nodes == INPUTS + output)[0]) * count + n for output in range(outputs)]
        for n, nodes in enumerate(needed)
    ]
    return np.ascontiguousarray(values[np.array(found)].transpose(0, 2, 1))


def _plan(
    networks: Sequence[Cppn], needed: Sequence[NDArray[np.int64]], steps: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats, NDArray[np.int8]]:
    """Return all connections, sorted by the row they lead to, and each row's activation (steps, N); -1 for none."""
    count = len(networks)
    rows, columns, weights = [], [], []
    kinds = np.full((steps, count), -1, np.int8)
    for n, (net, nodes) in enumerate(zip(networks, needed, strict=True)):
        place = np.full(len(net.depths), -1, np.int64)
        place[:INPUTS] = np.arange(INPUTS)
        place[nodes] = INPUTS + np.arange(len(nodes)) * count + n
        used = place[net.targets] >= 0
        rows.append(place[net.targets[used]] - INPUTS)
        columns.append(place[net.sources[used]])
        weights.append(net.weights[used])
        kinds[: len(nodes), n] = net.activations[nodes]
    row, column, weight = np.concatenate(rows), np.concatenate(columns), np.concatenate(weights)
    order = np.argsort(row, kind="stable")
    return row[order], column[order], weight[order], kinds
