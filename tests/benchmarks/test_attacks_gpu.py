"""What a GPU will time of attacks, tried on the CPU."""

from __future__ import annotations

import pytest
import torch

from striate.benchmarks import attacks_gpu as gpu
from striate.benchmarks.harness import Differs, wall_clock
from striate.benchmarks.networks import resnet18


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the network narrow, the loop short, and the clock one that needs no GPU."""
    monkeypatch.setitem(gpu.NETWORKS, gpu.NETWORK, lambda layers: resnet18(layers, width=8))
    monkeypatch.setattr(gpu, "STEPS", 3)
    monkeypatch.setattr(gpu, "device_clock", wall_clock)


def test_a_row_for_each_candidate() -> None:
    rows = gpu.rows(2, 32, "now", 1, "cpu")
    assert {row.candidate for row in rows} >= {"striate", "striate, no graphs", gpu.BY_HAND}
    assert {row.goal for row in rows} == {"G13"}


def test_pgd_by_hand_stays_in_its_ball_and_fools() -> None:
    data = gpu.attacked(3, 32, "cpu")
    found = gpu.by_hand(data)
    assert (found - data.x).abs().max() <= gpu.EPSILON + 1e-6
    assert 0 <= found.min() <= found.max() <= 1
    with torch.no_grad():
        assert (data.network(found).argmax(1) != data.y).all()


def test_another_network_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = gpu.attacked(2, 32, "cpu")
    torch.nn.init.zeros_(next(data.network.parameters()))
    monkeypatch.setattr(gpu, "attacked", lambda *_: data)
    with pytest.raises(Differs, match="striate differs from float32"):
        gpu.rows(2, 32, "now", 1, "cpu")
