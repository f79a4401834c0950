"""The indirect encoding of fooling images: networks that paint them.

neat-python evolves such networks too, but evaluates one pixel of one network at a time; `cppn_painting` paints all
pixels of all networks together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.checks import CheckpointError, fraction, positive
from .cppn import ACTIVATIONS, CHANGES, INPUTS, SPAN, Cppn, is_sound
from .cppn_painting import paint
from .direct import grey_pictures, hsv_pictures, polynomial_steps

RATES = (*CHANGES, "rate")
ARRAYS = ("activations", "depths", "sources", "targets", "weights")


class CppnEncoding:
    """Genomes are networks; rates are probabilities for each child, those of the paper's published settings.

    Differs from them in larger steps of the weights: strength 1, where the paper has 15. LeNet-5 took champions of all
    ten digits for them with 99.99 % within 200 generations from six of eight seeds, after 47 in the median of all; with
    15 from one of three, the others short of it by one digit at 99.98 % and 99.96 %.

    One output is brightness, |v|; three are hue, saturation and value. Differs from the paper's code in that a bias is
    an input like others and not a number of each node. Source: Nguyen, Yosinski and Clune 2015, section 2.3.

    Args:
        add_node: Of a node in the middle of a connection.
        remove_node: Of losing a hidden node with its connections.
        add_connection: Of a new connection.
        remove_connection: Of losing one.
        move_connection: Of one that comes from another node.
        rate: Share of the weights, and of the activations, that change.
        strength: Of the polynomial mutation of weights; the larger, the smaller the steps.

    Raises:
        UsageError: A rate outside [0, 1], or a strength that is not above 0.
    """

    name = "cppn"
    focus = 0.5  # lines change their class often, so champions that have reached the goal are good parents too

    def __init__(
        self,
        *,
        add_node: float = 0.5,
        remove_node: float = 0.2,
        add_connection: float = 0.5,
        remove_connection: float = 0.3,
        move_connection: float = 0.5,
        rate: float = 0.1,
        strength: float = 1.0,
    ) -> None:
        self.add_node, self.remove_node, self.add_connection = add_node, remove_node, add_connection
        self.remove_connection, self.move_connection, self.rate = remove_connection, move_connection, rate
        self.strength = strength
        for name in RATES:
            fraction(name, getattr(self, name))
        positive("strength", strength)

    def random(self, count: int, size: tuple[int, int], channels: int, rng: np.random.Generator) -> list[Cppn]:
        """Return networks without hidden nodes, every input connected to every output by a random weight."""
        return [self._fresh(channels, rng) for _ in range(count)]

    def mutate(self, parents: list[Cppn], generation: int, rng: np.random.Generator) -> list[Cppn]:
        """Return one child for each parent."""
        return [self._child(parent, rng) for parent in parents]

    def pictures(self, genomes: list[Cppn], size: tuple[int, int], channels: int) -> list[NDArray[np.uint8]]:
        """Return the pictures that the networks paint, uint8 (H, W, 3)."""
        painted = paint(genomes, size)
        if channels == 1:
            return grey_pictures(np.minimum(np.abs(painted), 1))
        hue, saturation, value = np.moveaxis(painted, 3, 0)
        return hsv_pictures(
            np.stack([(hue + 1) / 2, np.minimum(np.abs(saturation), 1), np.minimum(np.abs(value), 1)], axis=3)
        )

    def pack(self, genomes: list[Cppn]) -> dict[str, NDArray[Any]]:
        """Return genomes as arrays for a file: their nodes and their connections one after the other."""
        counts = [(len(one.activations), len(one.weights), one.outputs) for one in genomes]
        joined = {name: np.concatenate([getattr(one, name) for one in genomes]) for name in ARRAYS}
        return {"counts": np.array(counts, np.int32), **joined}

    def unpack(self, arrays: dict[str, NDArray[Any]], count: int, size: tuple[int, int], channels: int) -> list[Cppn]:
        """Return the genomes that `pack` made arrays of.

        Raises:
            CheckpointError: Arrays that are no networks of `channels` outputs.
        """
        try:
            counts = arrays["counts"]
            ends = np.cumsum(counts, axis=0)
            genomes = []
            for (nodes, connections, outputs), end in zip(counts, ends, strict=True):
                at, by = slice(end[0] - nodes, end[0]), slice(end[1] - connections, end[1])
                parts = {name: arrays[name][at if name in ARRAYS[:2] else by] for name in ARRAYS}
                genomes.append(Cppn(**parts, outputs=int(outputs)))
            sound = len(genomes) == count and all(one.outputs == channels and is_sound(one) for one in genomes)
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise CheckpointError("networks that paint", f"{type(error).__name__}: {error}", "evolve anew") from error
        if not sound:
            raise CheckpointError(f"{count} networks with {channels} outputs", "others", "evolve anew")
        return genomes

    def config(self) -> dict[str, Any]:
        """Return the settings."""
        return {name: getattr(self, name) for name in (*RATES, "strength")}

    def describe(self, genome: Cppn) -> str:
        """Say in a few words what a genome is."""
        return f"{genome.hidden} hidden nodes, {len(genome.weights)} connections"

    def _fresh(self, outputs: int, rng: np.random.Generator) -> Cppn:
        sources = np.repeat(np.arange(INPUTS, dtype=np.int32), outputs)
        targets = np.tile(np.arange(INPUTS, INPUTS + outputs, dtype=np.int32), INPUTS)
        weights = rng.uniform(-SPAN, SPAN, len(sources)).astype(np.float32)
        activations = rng.integers(0, len(ACTIVATIONS), INPUTS + outputs).astype(np.int8)
        depths = np.repeat([0.0, 1.0], [INPUTS, outputs])
        return Cppn(activations, depths, sources, targets, weights, outputs)

    def _child(self, net: Cppn, rng: np.random.Generator) -> Cppn:
        """Change the topology, then weights and activations."""
        for name, change in CHANGES.items():
            if rng.random() < getattr(self, name):
                net = change(net, rng)
        weights, activations = net.weights.copy(), net.activations.copy()
        chosen = rng.random(len(weights)) < self.rate
        steps = polynomial_steps(rng.random(int(chosen.sum()), dtype=np.float32), self.strength)
        weights[chosen] = np.clip(weights[chosen] + np.float32(2 * SPAN) * steps, -SPAN, SPAN)
        turned = rng.random(len(activations)) < self.rate
        activations[turned] = rng.integers(0, len(ACTIVATIONS), int(turned.sum()))
        return replace(net, weights=weights, activations=activations)
