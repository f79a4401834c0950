"""What all tests share: the three tiers' skips, the real data's folder, a cache of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

# No deadline: test machines are shared, and an example's time says nothing about its answer. No database: it would be
# written beside the code. The same examples every time, so that a failure belongs to a change and not to the day;
# HYPOTHESIS_PROFILE=search looks further.
settings.register_profile(
    "repeat", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", settings.get_profile("repeat"), derandomize=False, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this process cannot run."""
    for item in items:
        if item.get_closest_marker("kernel") and not INTERPRETED and not _gpu():
            item.add_marker(
                pytest.mark.skip(reason="needs a GPU, or TRITON_INTERPRET=1 before triton is imported (make test)")
            )
        if item.get_closest_marker("compile") and INTERPRETED:
            item.add_marker(
                pytest.mark.skip(reason="the interpreter replaces the compiler: run without TRITON_INTERPRET")
            )
        if item.get_closest_marker("gpu") and not _gpu():
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU on this machine"))


@cache
def _gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(autouse=True)
def device(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make the tensors of a kernel's test on the GPU where there is one; under the interpreter on the CPU."""
    if INTERPRETED or not request.node.get_closest_marker("kernel"):
        yield
        return
    import torch

    with torch.device("cuda"):
        yield


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests away from the user's cache and from a STRIATE_WEIGHTS folder of theirs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("STRIATE_WEIGHTS", raising=False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real datasets: STRIATE_TEST_DATA, or shared/data beside the clone."""
    folder = Path(os.environ.get("STRIATE_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set STRIATE_TEST_DATA to a folder that holds bccd/")
    return folder
