"""The bag of words' benchmark: equal kernels or no figures, and memory from processes of their own."""

from __future__ import annotations

import numpy as np
import pytest

from striate.benchmarks import bow
from striate.benchmarks.goals import GOALS
from striate.benchmarks.harness import Differs
from striate.benchmarks.report import table


def test_kernels_are_compared_before_they_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    some = bow.histograms(20, 600, 0)
    np.testing.assert_allclose(some.sum(1), 1, rtol=1e-5)
    assert 0.1 < (some == 0).mean() < 0.5
    monkeypatch.setattr(bow, "histograms", lambda count, words, seed: some)
    rows = bow.kernel_rows("batch", "now", 1)
    assert {row.candidate: row.baseline for row in rows} == {"striate": False, "scikit-learn": True}
    assert {row.goal for row in rows} <= {goal.key for goal in GOALS}
    monkeypatch.setattr(bow, "chi2_kernel", lambda y, x, gamma: np.zeros((len(y), len(x))))
    with pytest.raises(Differs, match="the kernels differ by"):
        bow.kernel_rows("batch", "now", 1)


def test_memory_is_a_row_with_a_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bow, "FEW", 24)
    monkeypatch.setattr(bow, "MANY", 32)
    rows = bow.memory_rows("now")
    assert [row.case for row in rows] == [f"training on {n} pictures, no cache folder, whole process" for n in (24, 32)]
    assert all(50 < row.peak_mb < 4000 for row in rows)
    assert "| peak MB |" in table(rows).replace("speed | peak", "| peak")
    assert f"| {rows[0].peak_mb:.0f} |" in table(rows)
    assert "peak MB" not in table([row for row in rows if not row.peak_mb])
