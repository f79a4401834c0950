"""The harness times in turn, keeps every row, and divides the right way round."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from striate.benchmarks.goals import Goal
from striate.benchmarks.harness import Row, interleave, keep, measure, read
from striate.benchmarks.report import BEGIN, END, figures, goals_table, newest, ratio, render, table

ROW = Row(
    "subject", "case", "slow", 20.0, 19.0, 21.0, 5, True, "2026-01-02T00:00:00Z", "cpu a", 1, 0.5, "abc", {"x": "1"}
)


def test_candidates_take_turns_and_the_order_turns() -> None:
    calls: list[str] = []
    times = interleave({n: partial(calls.append, n) for n in "abc"}, rounds=3, warmup=1)
    assert "".join(calls) == "abc" + "bca" + "cab" + "abc"
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3, "c": 3}


def test_warmup_is_not_timed() -> None:
    calls: list[int] = []

    def first_call_is_slow() -> None:
        time.sleep(0.0 if calls else 0.2)
        calls.append(1)

    assert max(interleave({"a": first_call_is_slow}, rounds=2, warmup=1)["a"]) < 150


def test_measure_fills_every_row_and_tells_slow_from_fast() -> None:
    candidates = {"slow": lambda: time.sleep(0.02), "fast": lambda: time.sleep(0.002)}
    slow, fast = measure("subject", "case", candidates, baseline="slow", run="r", rounds=3, warmup=0)
    assert slow.baseline
    assert not fast.baseline
    assert slow.median_ms > 2 * fast.median_ms
    assert slow.p10_ms <= slow.median_ms <= slow.p90_ms
    assert {"python", "torch", "numpy"} <= set(slow.versions)
    assert slow.device
    assert slow.load >= 0


def test_rows_are_appended_and_read_back(tmp_path: Path) -> None:
    keep([ROW], tmp_path)
    keep([replace(ROW, candidate="fast")], tmp_path)
    assert [row.candidate for row in read(tmp_path)] == ["slow", "fast"]
    assert read(tmp_path)[0] == ROW


def test_newest_run_of_each_device_stays() -> None:
    later, elsewhere = replace(ROW, run="2026-02-02T00:00:00Z"), replace(ROW, device="gpu b")
    assert newest([ROW, later, elsewhere]) == [later, elsewhere]


def test_a_later_run_of_one_case_leaves_the_others(tmp_path: Path) -> None:
    other, later = replace(ROW, case="other"), replace(ROW, run="2026-02-02T00:00:00Z")
    assert newest([ROW, other, later]) == [other, later]
    text = table([other, later])  # two runs may have two commits: two tables, each with its own
    assert text.count("### subject") == 2
    assert f"abc; {ROW.run}; " in text
    assert "abc; 2026-02-02T00:00:00Z; " in text


def test_table_divides_baseline_by_row_and_keeps_the_loser() -> None:
    text = table(
        [
            ROW,
            replace(ROW, candidate="fast", median_ms=10.0, baseline=False),
            replace(ROW, candidate="loser", median_ms=40.0, baseline=False),
        ]
    )
    assert "| case | slow | 1 | 20.00 | 19.00-21.00 | 5 | 1.00 |" in text
    assert "| case | fast | 1 | 10.00 | 19.00-21.00 | 5 | 2.00 |" in text
    assert "| case | loser | 1 | 40.00 | 19.00-21.00 | 5 | 0.50 |" in text


def test_render_replaces_the_table_only(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n")
    keep([ROW], tmp_path / "results")
    render(readme, tmp_path / "results", tmp_path / "figures.json")
    render(readme, tmp_path / "results", tmp_path / "figures.json")
    text = readme.read_text()
    assert text.startswith("above\n")
    assert text.endswith("below\n")
    assert "old" not in text
    assert text.count("| case | slow |") == 1


def test_kept_rows_still_read() -> None:
    rows = read()
    if not rows:
        pytest.skip("no benchmark has been kept yet")
    assert all(row.median_ms > 0 and row.threads >= 1 and row.device and row.versions for row in rows)
    assert all(any(r.baseline for r in rows if (r.run, r.case) == (row.run, row.case)) for row in rows)


def test_a_goal_is_the_geometric_mean_of_peer_over_ours() -> None:
    rows = [
        replace(ROW, case=case, candidate=candidate, median_ms=ms, goal="G1")
        for case, candidate, ms in (
            ("a", "torch", 8.0), ("a", "striate", 2.0), ("b", "torch", 3.0), ("b", "striate", 3.0), ("c", "torch", 9.0),
        )
    ]  # fmt: skip
    assert ratio(Goal("G1", "", "torch", 1.0, 1.0), rows) == (2.0, 1.0, 2)
    assert ratio(Goal("G2", "", "torch", 1.0, 1.0), rows) is None
    assert "| 2.00 | 1.00 | 2 |" in goals_table(rows)
    assert "not yet measured" in goals_table(rows)


def test_figures_name_device_and_peer() -> None:
    rows = [
        replace(ROW, candidate=candidate, median_ms=ms, operation="nms")
        for candidate, ms in (("striate", 2.0), ("x", 5.0))
    ]
    assert figures(rows) == {"nms": [{"device": "cpu a", "against": "x", "ratio": 2.5, "cases": 1}]}
