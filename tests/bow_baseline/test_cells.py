"""The cache: what was measured, by all that it depends on."""

from pathlib import Path

import numpy as np
import pytest

from striate.bow_baseline.cells import Cells, key_of
from striate.bow_baseline.provenance import code_digest, versions
from striate.core.checks import SaveError


def test_a_cell_comes_back_as_it_was(tmp_path: Path) -> None:
    arrays = {"probabilities": np.random.default_rng(0).random((4, 3)).astype(np.float32)}
    Cells(tmp_path / "new").put({"what": "a"}, arrays, seconds=0.25, peak=None)
    found = Cells(tmp_path / "new").get({"what": "a"})
    assert found is not None
    np.testing.assert_array_equal(found[0]["probabilities"], arrays["probabilities"])
    assert found[1] == {"seconds": 0.25, "peak": None}
    assert Cells(tmp_path / "new").get({"what": "b"}) is None
    assert not list(tmp_path.rglob("*.tmp"))


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells = Cells()
    cells.put({"what": "a"}, {}, seconds=1.0)
    assert cells.get({"what": "a"}) == ({}, {"seconds": 1.0})
    assert Cells().get({"what": "a"}) is None
    assert not list(tmp_path.iterdir())


def test_keys_are_of_the_content() -> None:
    assert key_of({"a": 1, "b": [2, None]}) == key_of({"b": [2, None], "a": 1})
    assert len({key_of({"a": value}) for value in (1, 2, "1", None)}) == 4


@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04 and no more"])
def test_a_damaged_cell_is_told(content: bytes, tmp_path: Path) -> None:
    Cells(tmp_path).put({"what": "a"}, {}, seconds=1.0)
    next(tmp_path.rglob("*.npz")).write_bytes(content)
    cells = Cells(tmp_path)
    assert cells.get({"what": "a"}) is None
    assert "is damaged" in cells.notices[0]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SaveError, match="choose another folder for the cache"):
        Cells(tmp_path / "file").put({"what": "a"}, {})


def test_a_change_of_the_code_changes_its_digest(tmp_path: Path) -> None:
    for room in ("core", "bow_baseline"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "model.py").write_text("x = 1\n")
    before = code_digest(tmp_path)
    code_digest.cache_clear()
    (tmp_path / "bow_baseline" / "charts.py").write_text("drawn = True\n")
    assert code_digest(tmp_path) == before
    code_digest.cache_clear()
    (tmp_path / "bow_baseline" / "model.py").write_text("x = 2\n")
    assert code_digest(tmp_path) != before
    assert set(versions()) >= {"python", "code", "striate", "numpy", "torch"}
