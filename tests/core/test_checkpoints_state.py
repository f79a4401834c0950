"""The state of a training comes back type for type, and a damaged newest file is not the end of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from striate.core.checkpoints import load_state, previous_path, save_checkpoint, save_state
from striate.core.checks import CheckpointError, UsageError

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
KEYS = st.text(max_size=4) | st.integers() | st.sampled_from(["$tensor", "$dict", "$tuple", "$float"])
STATES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(KEYS, inner),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, STATES, max_size=4))
def test_plain_values_round_trip(tmp_path_factory: pytest.TempPathFactory, state: dict[Any, Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "state.safetensors"
    save_state(path, state)
    back, notice = load_state(path)
    assert repr(back) == repr(state)  # repr tells 1 from 1.0 and True, -0.0 from 0.0, a tuple from a list
    assert notice == ""


def test_nan_number_comes_back(tmp_path: Path) -> None:
    back, _ = load_state(save_state(tmp_path / "s.safetensors", {"loss": float("nan")}))
    assert repr(back) == "{'loss': nan}"


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.AdamW], ids=["sgd", "adamw"])
def test_optimizer_goes_on_bit_for_bit(tmp_path: Path, make: Any) -> None:
    def network() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.BatchNorm1d(7), torch.nn.Linear(7, 1))
        more = {"momentum": 0.9} if make is torch.optim.SGD else {}
        return module, make(module.parameters(), lr=0.01, **more)

    def steps(module: torch.nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            module(torch.randn(6, 5)).square().sum().backward()
            optimizer.step()

    first, optimizer = network()
    steps(first, optimizer, 3)
    state = {"module": first.state_dict(), "optimizer": optimizer.state_dict(), "torch": torch.get_rng_state()}
    path = save_state(tmp_path / "s.safetensors", state | {"python": random.getstate()})
    steps(first, optimizer, 3)

    back, _ = load_state(path)
    second, optimizer = network()
    second.load_state_dict(back["module"])
    optimizer.load_state_dict(back["optimizer"])
    torch.set_rng_state(back["torch"])
    steps(second, optimizer, 3)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name
    assert back["python"] == random.getstate()


def test_names_that_look_alike_do_not_collide(tmp_path: Path) -> None:
    state = {"a": {"b.c": torch.tensor(1), "b": {"c": torch.tensor(2)}}, 0: torch.tensor(3), "0": torch.tensor(4)}
    back, _ = load_state(save_state(tmp_path / "s.safetensors", state))
    assert [back["a"]["b.c"], back["a"]["b"]["c"], back[0], back["0"]] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"a": {"b": [0, object()]}}, r"in state\.a\.b\.1; got object"),
        ({"a": {1, 2}}, "got set"),
        ({(1, 2): 3}, "keys of text or whole numbers"),
        ({True: 3}, "keys of text or whole numbers"),
    ],
)
def test_what_has_no_place_in_a_state(tmp_path: Path, state: dict[Any, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        save_state(tmp_path / "s.safetensors", state)


def test_tensor_with_nan_is_refused_and_the_old_state_stays(tmp_path: Path) -> None:
    path = save_state(tmp_path / "s.safetensors", {"epoch": 1})
    with pytest.raises(CheckpointError, match="NaN or infinity to be saved"):
        save_state(path, {"epoch": 2, "w": torch.tensor(torch.nan)})
    assert load_state(path)[0] == {"epoch": 1}


@pytest.mark.parametrize("harm", ["truncate", "flip", "empty", "remove"])
def test_falls_back_to_the_previous_state_and_says_so(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "last.safetensors"
    save_state(path, {"epoch": 1})
    save_state(path, {"epoch": 2})
    raw = path.read_bytes()
    path.write_bytes({"truncate": raw[:-3], "flip": raw[:-3] + b"!" + raw[-2:]}.get(harm, b""))
    if harm == "remove":
        path.unlink()
    state, notice = load_state(path)
    assert state == {"epoch": 1}
    assert "last.safetensors could not be used" in notice
    assert str(previous_path(path)) in notice


def test_both_damaged(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    save_state(path, {"epoch": 1})
    save_state(path, {"epoch": 2})
    path.write_bytes(b"")
    previous_path(path).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"last\.prev\.safetensors"):
        load_state(path)


def test_missing_without_a_previous_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"No such file|can be read"):
        load_state(tmp_path / "none.safetensors")


def test_another_kind_is_no_reason_to_fall_back(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    save_state(path, {"epoch": 1})
    save_checkpoint(path, {}, {"kind": "Detector"})
    with pytest.raises(CheckpointError, match=r"a TrainingState checkpoint; .*Detector\.load"):
        load_state(path)
