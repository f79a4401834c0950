"""What attacks find is counted over the right pictures, inside the budget, kept and rendered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from striate.benchmarks import attack_figures as under_test
from striate.benchmarks.attack_figures import Found, Tried, figures_table, judged, keep_figures
from striate.benchmarks.harness import Differs

NORMS = {"l2": 0.5, "linf": 0.25}
NONE = dict.fromkeys(NORMS)


def above_half(x: Tensor) -> Tensor:
    """Name a picture 1 where its red value is above a half."""
    return (x[:, 0, 0, 0] > 0.5).long()


def above_third(x: Tensor) -> Tensor:
    return (x[:, 0, 0, 0] > 1 / 3).long()


def pictures(*reds: float) -> Tensor:
    x = torch.zeros(len(reds), 3, 1, 1)
    x[:, 0, 0, 0] = torch.tensor(reds)
    return x


def judge(tried: dict[str, Tensor], epsilon: float | None = None) -> dict[str, Found]:
    x, labels = pictures(0.2, 0.3, 0.4), torch.zeros(3, dtype=torch.long)
    asked = {name: Tried(one, 7.0) for name, one in tried.items()}
    found = judged(above_half, above_half, x, labels, asked, case="a case", distance="l2", epsilon=epsilon)
    return {one.candidate: one for one in found}


def test_distances_are_of_the_pictures_that_both_have_fooled() -> None:
    found = judge({"striate": pictures(0.7, 0.6, 0.1), "peer": pictures(0.9, 0.3, 0.8)})
    ours, theirs = found["striate"], found["peer"]
    assert (ours.success, theirs.success) == (pytest.approx(2 / 3, abs=1e-5),) * 2
    assert (ours.both, theirs.both) == (2, 1)
    assert ours.own == ours.common == ours.ours == pytest.approx({"l2": 0.4, "linf": 0.4})
    assert theirs.own["l2"] == pytest.approx((0.7 + 0.4) / 2)
    assert theirs.common["l2"] == pytest.approx(0.7)
    assert theirs.ours["l2"] == pytest.approx(0.5)
    assert theirs.queries == 7


def test_success_is_counted_as_floats_and_in_8_bits() -> None:
    found = judge({"striate": pictures(0.5001, 0.2, 0.2)})["striate"]  # 127.5 levels and a little: up to 128
    assert (found.success, found.success_8_bits) == (pytest.approx(1 / 3, abs=1e-5),) * 2
    x, labels = pictures(0.0, 0.0), torch.zeros(2, dtype=torch.long)
    tried = {"striate": Tried(pictures(0.334, 0.6), 1.0)}  # 85.17 levels: down to 85, a third
    (one,) = judged(above_third, above_third, x, labels, tried, case="a case", distance="l2", epsilon=None)
    assert (one.success, one.success_8_bits) == (1.0, 0.5)


def test_what_aims_at_pngs_is_judged_by_the_model_itself() -> None:
    x, labels = pictures(0.2, 0.3), torch.zeros(2, dtype=torch.long)
    tried = {"striate": Tried(pictures(0.4, 0.6), 1.0), "striate, saved": Tried(pictures(0.4, 0.6), 1.0, True)}
    floats, saved = judged(above_half, above_third, x, labels, tried, case="a case", distance="l2", epsilon=None)
    assert (floats.success, floats.success_8_bits) == (0.5, 1.0)
    assert (saved.success, saved.success_8_bits, saved.both) == (1.0, 1.0, 1)


def test_without_a_success_there_is_no_mean() -> None:
    found = judge({"striate": pictures(0.7, 0.6, 0.9), "peer": pictures(0.2, 0.3, 0.4)})
    assert (found["peer"].both, found["peer"].own, found["peer"].common, found["peer"].ours) == (0, NONE, NONE, NONE)


def test_a_candidate_outside_its_budget_or_the_box_stops_the_case() -> None:
    tried = {"striate": pictures(0.4, 0.5, 0.6), "peer": pictures(0.4, 0.51, 0.6)}
    assert judge({"striate": tried["striate"]}, 0.2).keys() == {"striate"}
    with pytest.raises(Differs, match=r"peer: a change of 0\.2100 instead of 0\.2000: nothing was kept"):
        judge(tried, 0.2)
    with pytest.raises(Differs, match=r"peer: values outside \[0, 1\]: nothing was kept"):
        judge({"striate": tried["striate"], "peer": pictures(1.1, 0.3, 0.4)})


def found_in(case: str, candidate: str, success: float) -> Found:
    return Found(case, candidate, "linf", success, 0.25, 3, NORMS, NORMS, NONE, 12.6)


def test_kept_figures_are_rendered_the_newest_of_each_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "version", lambda name: "1.0")
    file = tmp_path / "figures" / "attacks.jsonl"
    assert figures_table(file) == ""
    for run, success in (("2026-01-02", 0.75), ("2026-01-01", 0.5)):  # written in any order
        keep_figures([found_in("a", "striate", success), found_in("a", "peer", success / 2)], run, file)
    keep_figures([found_in("b", "striate", 1.0)], "2026-01-01", file)
    lines = [line for line in figures_table(file).splitlines() if line.startswith("|")][2:]
    assert lines == [
        "| a | striate | 0.750 | 0.250 | 0.2500 | 3 | 0.2500 | - | 13 |",
        "| a | peer | 0.375 | 0.250 | 0.2500 | 3 | 0.2500 | - | 13 |",
        "| b | striate | 1.000 | 0.250 | 0.2500 | 3 | 0.2500 | - | 13 |",
    ]
    row = json.loads(file.read_text().splitlines()[0])
    assert row["figures"]["own"] == NORMS
    assert row["versions"]["foolbox"] == "1.0"
    assert {"commit", "device", "load", "threads"} <= row.keys()


def test_what_was_kept_still_renders() -> None:
    if not under_test.FIGURES.is_file():
        pytest.skip("no figures of attacks have been kept yet")
    rows = [json.loads(line) for line in under_test.FIGURES.read_text().splitlines()]
    text = figures_table()
    assert all(f"| {row['case']} | {row['candidate']} |" in text for row in rows)
    assert all(any(r["candidate"] == "striate" for r in rows if r["case"] == row["case"]) for row in rows)
