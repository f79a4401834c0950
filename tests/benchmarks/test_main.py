"""The program measures case by case: a wrong one is named and costs nothing but itself."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial

import pytest

from striate.benchmarks import __main__ as program
from striate.benchmarks import cpu, kernels, rivals, segmentation, tasks, whole_networks
from striate.benchmarks.harness import Differs
from striate.tests.benchmarks.test_harness import ROW


def give(name):
    if name == "wrong":
        raise Differs("wrong differs by 1: nothing was timed")
    return [replace(ROW, case=name)]


def parts(run, rounds):
    for name in ("first", "wrong", "last"):
        yield name, partial(give, name)


def test_a_failed_case_loses_nothing_of_the_others(capsys) -> None:
    kept = []
    rows, failures = program.measured({"a": parts, "b": parts}, 1, "", kept.append)
    assert [row.case for row in rows] == ["first", "last"] * 2
    assert [[row] for row in rows] == kept
    assert failures == [f"{s}: wrong: Differs: wrong differs by 1: nothing was timed" for s in "ab"]
    printed = capsys.readouterr().out
    assert "FAILED a: wrong: Differs" in printed
    assert "b: 0 s" in printed


def test_only_looks_at_subject_and_case() -> None:
    rows, failures = program.measured({"a": parts, "b": parts}, 1, "b: la", lambda found: None)
    assert [row.case for row in rows] == ["last"]
    assert failures == []


@pytest.mark.parametrize("only", ["wrong", "last"])
def test_the_program_ends_with_an_error_where_a_case_failed(only, monkeypatch, capsys) -> None:
    monkeypatch.setattr(program, "subjects", lambda: {"a": parts})
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--dry", "--only", only])
    if only == "last":
        program.main()
        assert "| last | slow |" in capsys.readouterr().out
        return
    with pytest.raises(SystemExit, match=r"1 cases failed:\na: wrong: Differs"):
        program.main()


def test_every_subject_names_its_cases_once(monkeypatch) -> None:
    monkeypatch.setattr(rivals, "find_spec", lambda package: True)
    monkeypatch.setattr(cpu.torch, "set_num_threads", lambda threads: None)
    others = (cpu.parts, kernels.parts, rivals.parts, segmentation.parts, tasks.parts, whole_networks.parts)
    for subject in (program.ceilings, *others):
        names = [name for name, _ in subject("run", 1)]
        assert len(set(names)) == len(names) >= 2
