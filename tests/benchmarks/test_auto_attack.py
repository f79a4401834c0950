"""The AutoAttack benchmark: what each leaves is compared before anything is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor

from striate.benchmarks import attacks, auto_attack
from striate.benchmarks.attack_figures import Found
from striate.benchmarks.attacks import Set
from striate.benchmarks.harness import Differs

NAME = "lenet5-mnist"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch, shared_data: Path) -> None:
    """Make the attacks short and the budget one that every picture gives way to."""
    if reason := attacks.why_not(NAME, shared_data):
        pytest.skip(reason)
    monkeypatch.setattr(auto_attack, "STEPS", 5)
    monkeypatch.setattr(auto_attack, "QUERIES", 20)
    monkeypatch.setitem(auto_attack.LEVELS, NAME, 40)


def test_both_run_and_what_they_find_is_told(shared_data: Path) -> None:
    found: list[Found] = []
    rows = auto_attack.rows(NAME, shared_data, 4, "now", found.extend)
    assert {(row.subject, row.goal, row.candidate) for row in rows} == {
        ("auto_attack", "C10", "striate"), ("auto_attack", "C10", "torchattacks"),
    }  # fmt: skip
    assert [auto_attack.left(one, 4) for one in found] == [0, 0]


def test_rows_are_refused_where_ours_leaves_more(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(data: Set, *_: object) -> Tensor:
        return data.x

    monkeypatch.setattr(auto_attack, "ours", nothing)
    found: list[Found] = []
    with pytest.raises(Differs, match="ours leaves 4 right, theirs 0"):
        auto_attack.rows(NAME, shared_data, 4, "now", found.extend)
    assert found == []
