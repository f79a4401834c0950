"""Times say which machine they were measured on."""

from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from striate.bow_baseline import compare, fitting, provenance
from striate.bow_baseline.compare import Comparison
from striate.bow_baseline.report_tables import csv_files, tables
from striate.bow_baseline.summary import summarize
from striate.tests.bow_baseline.stand_ins import bands, means

TRAIN, TEST = bands(4), bands(4, seed=1)


def test_versions_and_machine() -> None:
    found = provenance.versions()
    assert {name: found[name] for name in ("scipy", "joblib", "pillow")} == {
        name: version(name) for name in ("scipy", "joblib", "pillow")
    }
    told = provenance.machine()
    assert f"{torch.get_num_threads()} threads" in told
    assert ("no GPU" in told) is not torch.cuda.is_available()


def test_times_of_another_machine_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (fitting, compare):
        monkeypatch.setattr(module, "machine", lambda: "an abacus")
    Comparison([means("old")[0]], cache=tmp_path, resamples=50).run(TRAIN, TEST)
    monkeypatch.undo()
    both = [means("old")[0], means("new", blur=3.0)[0]]
    results = Comparison(both, cache=tmp_path, resamples=50).run(TRAIN, TEST)
    assert results.config["machine"] == provenance.machine()
    summary = summarize(results, count=0)
    rows = {row[0]: row for row in tables(summary, results.config)[0].rows}
    assert ["†" in cell for cell in rows["old"]] == [False, False, True, True, True, False, False]
    assert not any("†" in cell for cell in rows["new"])
    assert "† Taken from the cache, measured on another machine: an abacus." in tables(summary, results.config)[0].note
    assert [line.endswith(",an abacus") for line in csv_files(results, summary)["table.csv"].splitlines()] == [
        False, *(row.name == "old" for row in summary.table)
    ]  # fmt: skip
    fresh = summarize(Comparison(both, resamples=50).run(TRAIN, TEST), count=0)
    assert all(row.measured_on == () for row in fresh.table)
    assert "†" not in tables(fresh, results.config)[0].note
