"""`striate weights list`: what comes along, and what has to be fetched first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from striate.apps import cli_weights
from striate.core.weights import WEIGHTS
from striate.tests.apps.conftest import Ran


def test_shipped_and_borrowed_weights_have_a_table_each(
    striate: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ran = striate("weights", "list")
    shipped, borrowed = ran.out.split("weights that others trained: striate weights fetch NAME")
    assert shipped.startswith("weights that come along")
    for name, row in WEIGHTS.items():
        assert (name in shipped, name in borrowed) == (row.url is None, row.url is not None)
    assert "robust_linf_0.3_ensemble" in shipped  # unbroken in 80 columns
    rows = striate("weights", "list", "--json").json["weights"]
    assert {row["name"] for row in rows if row["source"] == "borrowed"} == {n for n, w in WEIGHTS.items() if w.network}
    assert {row["source"] for row in rows} == {"shipped", "borrowed"}


def test_weights_of_ones_own_that_lie_elsewhere_are_fetched() -> None:
    row = replace(WEIGHTS["cells"], url="https://example.org/cells.safetensors")
    assert cli_weights.describe(row)["source"] == "fetched"
