"""Vectors in memory or in a file, whose pages do not stay the process's."""

from pathlib import Path

import numpy as np
import pytest

from striate.bow_baseline import room as rooms
from striate.bow_baseline.memory import STATUS, status_bytes
from striate.bow_baseline.room import let_go, room


def test_few_numbers_are_held_and_many_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(rooms, "MOST_HELD", 4 * 10 * 3)
    with room(10, 3, None) as held:
        assert (held.shape, held.dtype, type(held)) == ((10, 3), np.float32, np.ndarray)
        assert not list(tmp_path.iterdir())
    with room(11, 3, None) as filed:
        assert (filed.shape, filed.dtype) == ((11, 3), np.float32)
        filed[:] = 1
        assert len(list(tmp_path.rglob("vectors.npy"))) == 1
    assert not list(tmp_path.iterdir())
    (tmp_path / "cache").mkdir()
    with room(1, 3, tmp_path / "cache"):
        assert len(list((tmp_path / "cache").rglob("vectors.npy"))) == 1


def test_the_file_is_removed_where_the_training_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), room(1, 3, tmp_path):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells what of a file is in memory")
def test_what_was_let_go_is_no_longer_the_processs_and_still_there(tmp_path: Path) -> None:
    rows = 2**22  # 32 MiB
    with room(rows, 2, tmp_path) as filed:
        before = status_bytes("RssFile")
        filed[:] = np.arange(rows)[:, None]
        assert status_bytes("RssFile") - before > 2**24
        let_go(np.asarray(filed)[5:])  # whatever view of it
        assert status_bytes("RssFile") - before < 2**22
        np.testing.assert_array_equal(filed[-3:, 0], np.arange(rows - 3, rows, dtype=np.float32))


def test_other_arrays_stay_as_they_are(tmp_path: Path) -> None:
    ones = np.ones(4)
    let_go(ones)
    let_go([1])
    np.testing.assert_array_equal(ones, 1)
    np.save(tmp_path / "a.npy", np.zeros(4))
    private = np.load(tmp_path / "a.npy", mmap_mode="c")
    private[:] = 3  # would be lost
    let_go(private)
    np.testing.assert_array_equal(private, 3)
