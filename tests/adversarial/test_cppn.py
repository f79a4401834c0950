"""Networks that paint: topology that stays feed-forward, pictures against a plain evaluation, files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from striate.adversarial import cppn_painting
from striate.adversarial.cppn import (
    ACTIVATIONS,
    CHANGES,
    INPUTS,
    SPAN,
    Cppn,
    add_connection,
    add_node,
    is_sound,
    move_connection,
    remove_connection,
    remove_node,
)  # fmt: skip
from striate.adversarial.cppn_encoding import CppnEncoding
from striate.adversarial.cppn_painting import paint, places
from striate.core.checks import CheckpointError, UsageError

SIZE = (8, 10)
PLAIN = (
    np.sin,
    lambda x: 2 / (1 + np.exp(-4.9 * x)) - 1,
    lambda x: 2 * np.exp(-x * x) - 1,
    lambda x: np.clip(x, -1, 1),
)


def grown(count: int, channels: int = 1, generations: int = 12, seed: int = 0) -> list[Cppn]:
    """Networks after some mutations."""
    encoding, rng = CppnEncoding(), np.random.default_rng(seed)
    genomes = encoding.random(count, SIZE, channels, rng)
    for generation in range(generations):
        genomes = encoding.mutate(genomes, generation, rng)
    return genomes


def plainly(net: Cppn, size: tuple[int, int]) -> np.ndarray:
    """Evaluate pixel by pixel and node by node, in float64."""
    height, width = size
    out = np.zeros((height, width, net.outputs))
    for row in range(height):
        for column in range(width):
            y, x = (2 * row + 1 - height) / max(size), (2 * column + 1 - width) / max(size)
            known = dict(enumerate((x, y, np.sqrt(x * x + y * y), 1.0)))

            def value(node: int, known: dict[int, float] = known) -> float:
                if node not in known:
                    into = np.flatnonzero(net.targets == node)
                    total = sum(float(net.weights[i]) * value(int(net.sources[i])) for i in into)
                    known[node] = float(PLAIN[net.activations[node]](total))
                return known[node]

            out[row, column] = [value(INPUTS + output) for output in range(net.outputs)]
    return out


def test_painting_equals_a_plain_evaluation() -> None:
    for channels in (1, 3):
        nets = grown(6, channels)
        assert max(net.hidden for net in nets) >= 3
        # Weights up to 10 through several layers: 2e-5 was the most seen between float32 and float64.
        np.testing.assert_allclose(paint(nets, SIZE), [plainly(net, SIZE) for net in nets], atol=3e-4)


def test_a_network_paints_alike_alone_in_a_batch_and_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    nets = grown(7)
    together = paint(nets, SIZE)
    assert all(np.array_equal(paint([net], SIZE)[0], one) for net, one in zip(nets, together, strict=True))
    monkeypatch.setattr(cppn_painting, "MOST_NUMBERS", 1)
    assert np.array_equal(paint(nets, SIZE), together)


def test_places_run_from_minus_one_to_one_along_the_longer_side() -> None:
    x, y, radius, bias = places((4, 8)).reshape(4, 4, 8)
    assert (x[0, 0], x[0, -1], y[0, 0], y[-1, 0]) == (-0.875, 0.875, -0.375, 0.375)
    assert np.allclose(radius, np.hypot(x, y))
    assert (bias == 1).all()


def test_activations_stay_in_their_range() -> None:
    x = np.linspace(-100, 100, 2001, dtype=np.float32)
    for activation in ACTIVATIONS:
        assert np.abs(activation(x)).max() <= 1


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_leaves_a_sound_network_and_its_parent_alone(name: str) -> None:
    rng, changed = np.random.default_rng(0), 0
    for net in grown(40, channels=3):
        before = (net.activations.copy(), net.sources.copy(), net.targets.copy(), net.weights.copy())
        child = CHANGES[name](net, rng)
        changed += child is not net
        assert is_sound(child)
        assert is_sound(net)
        pairs = set(zip(child.sources.tolist(), child.targets.tolist(), strict=True))
        assert len(pairs) == len(child.weights), "a connection twice"
        after = (net.activations, net.sources, net.targets, net.weights)
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert changed > 10


def test_changes_do_what_they_are_called() -> None:
    net, rng = grown(1, generations=0)[0], np.random.default_rng(0)
    more = add_node(net, rng)
    assert (more.hidden, len(more.weights)) == (1, len(net.weights) + 1)
    assert more.weights[-1] == 1
    assert more.targets[-1] == INPUTS + 1
    joined = add_connection(more, rng)
    assert len(joined.weights) == len(more.weights) + 1
    assert len(remove_connection(joined, rng).weights) == len(more.weights)
    assert (remove_node(joined, rng).hidden, is_sound(remove_node(joined, rng))) == (0, True)
    moved = move_connection(more, rng)
    assert (moved.sources != more.sources).sum() == 1
    assert np.array_equal(moved.weights, more.weights)


def test_changes_that_cannot_be_made_change_nothing() -> None:
    rng = np.random.default_rng(0)
    full = grown(1, generations=0)[0]
    assert add_connection(full, rng) is full  # every input is connected already
    assert move_connection(full, rng) is full
    assert remove_node(full, rng) is full
    one = replace(full, sources=full.sources[:1], targets=full.targets[:1], weights=full.weights[:1])
    assert remove_connection(one, rng) is one
    none = replace(full, sources=full.sources[:0], targets=full.targets[:0], weights=full.weights[:0])
    assert add_node(none, rng) is none
    assert move_connection(none, rng) is none
    narrow = replace(one, depths=np.array([0, 0, 0, 0, np.nextafter(0, 1)]))
    assert add_node(narrow, rng) is narrow  # no depth between the two is left


def test_topology_grows_and_weights_stay_inside() -> None:
    nets = grown(20, generations=60)
    assert np.mean([net.hidden for net in nets]) > 5
    assert all(np.abs(net.weights).max() <= SPAN for net in nets)


def test_without_any_rate_a_child_is_its_parent() -> None:
    still = CppnEncoding(
        add_node=0, remove_node=0, add_connection=0, remove_connection=0, move_connection=0, rate=0
    )  # fmt: skip
    net = grown(1)[0]
    child = still.mutate([net], 1, np.random.default_rng(0))[0]
    assert np.array_equal(child.weights, net.weights)
    assert np.array_equal(child.activations, net.activations)


def test_one_output_is_brightness_and_three_are_a_colour() -> None:
    encoding = CppnEncoding()
    grey = encoding.pictures(grown(3), SIZE, 1)[0]
    assert (grey == grey[..., :1]).all()
    assert np.ptp(grey) > 0
    brightness = np.abs(plainly(grown(3)[0], SIZE)[..., 0])
    assert np.abs(grey[..., 0] - brightness * 255).max() <= 1
    assert any(np.ptp(one, axis=2).max() > 20 for one in encoding.pictures(grown(3, channels=3), SIZE, 3))


def test_networks_come_back_from_their_arrays() -> None:
    encoding, nets = CppnEncoding(), grown(5, channels=3)
    back = encoding.unpack(encoding.pack(nets), 5, SIZE, 3)
    assert np.array_equal(paint(nets, SIZE), paint(back, SIZE))


def test_arrays_that_are_no_networks_are_refused() -> None:
    encoding, nets = CppnEncoding(), grown(3)
    right = encoding.pack(nets)
    with pytest.raises(CheckpointError, match="networks that paint"):
        encoding.unpack({}, 3, SIZE, 1)
    wrong = {**right, "sources": right["targets"], "targets": right["sources"]}  # a circle
    for arrays, count, channels in ((wrong, 3, 1), (right, 2, 1), (right, 3, 3)):
        with pytest.raises(CheckpointError, match="networks with"):
            encoding.unpack(arrays, count, SIZE, channels)
    for name, value in (("activations", 9), ("weights", 99), ("targets", 1000), ("depths", 0.5)):
        with pytest.raises(CheckpointError, match="3 networks with 1 outputs"):
            encoding.unpack({**right, name: np.full_like(right[name], value)}, 3, SIZE, 1)


def test_rates_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="add_node to lie between 0 and 1"):
        CppnEncoding(add_node=2)
    with pytest.raises(UsageError, match="strength to be a positive number"):
        CppnEncoding(strength=-1)
