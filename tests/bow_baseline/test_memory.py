"""Peak memory: short peaks count, old ones do not, and no figure is invented."""

from pathlib import Path

import numpy as np
import pytest

from striate.bow_baseline.memory import RESET, STATUS, PeakMemory, status_bytes

MEGABYTE = 2**20
linux = pytest.mark.skipif(not RESET.exists(), reason="the peak is Linux's to tell")


def take(megabytes: int) -> None:
    """Fill memory and let go of it at once."""
    assert np.ones(megabytes * MEGABYTE, np.uint8)[-1] == 1


@linux
@pytest.mark.parametrize("megabytes", [40, 120])
def test_what_comes_and_goes_counts(megabytes: int) -> None:
    with PeakMemory() as memory:
        take(megabytes)
    assert memory.peak == pytest.approx(megabytes * MEGABYTE, rel=0.05)


@linux
def test_an_earlier_peak_does_not_count() -> None:
    take(200)
    with PeakMemory(collect=False) as memory:
        take(20)
    assert memory.peak == pytest.approx(20 * MEGABYTE, rel=0.1)


@linux
def test_the_peak_is_told_after_a_failure_too() -> None:
    memory = PeakMemory()

    def fail() -> None:
        take(30)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), memory:
        fail()
    assert memory.peak is not None
    assert memory.peak > 25 * MEGABYTE


@pytest.mark.parametrize("name", ["RESET", "STATUS"])
def test_where_the_system_does_not_tell_there_is_no_figure(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(f"striate.bow_baseline.memory.{name}", tmp_path / "none" / "nothing")
    with PeakMemory() as memory:
        take(1)
    assert memory.peak is None


@pytest.mark.skipif(not STATUS.exists(), reason="Linux alone has it")
def test_a_size_that_is_not_told() -> None:
    with pytest.raises(OSError, match="no VmNothing"):
        status_bytes("VmNothing")
