"""The memory of a painting: what is asked for beside what is taken, and what there is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from striate.core.checks import UsageError
from striate.style.memory import _of_groups, free_memory, needed, tile_for
from striate.tests.style.stand_ins import STYLE_LAYERS, tiny

NAMES = list(STYLE_LAYERS)
TAKEN = """
import gc, sys
import numpy as np
from striate.style import StyleTransfer

def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))

def transfer(size):
    options = {"size": size, "steps": 12, "smallest": 0, "precision": sys.argv[1]}
    return StyleTransfer(**options).fit(np.zeros((64, 64, 3), np.uint8))

picture = np.random.default_rng(0).integers(0, 255, (192, 256, 3)).astype(np.uint8)
transfer(64).transform(picture)
larger = transfer(256)
gc.collect()
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
larger.transform(picture)
print(larger.memory(192, 256), status("VmHWM") - before)
"""


def test_tiles_are_as_large_as_the_budget_allows() -> None:
    features = tiny()
    whole, half, quarter = (needed(features, NAMES, 4096, 4096, tile) for tile in (None, 1024, 512))
    assert quarter < half < whole
    assert tile_for(features, NAMES, 4096, 4096, whole) is None
    assert tile_for(features, NAMES, 4096, 4096, half) == 1024
    assert tile_for(features, NAMES, 4096, 4096, half - 1) == 768
    with pytest.raises(UsageError, match=r"GiB of memory for 4096 x 4096 pixels; got 0\.0 GiB"):
        tile_for(features, NAMES, 4096, 4096, 1e6)


def test_a_picture_that_is_only_looked_at_takes_less_and_half_floats_half() -> None:
    features = tiny()
    painted, seen = (needed(features, NAMES, 512, 512, gradient=gradient) for gradient in (True, False))
    assert seen < painted / 2
    assert needed(features.computing_in(torch.bfloat16), NAMES, 512, 512) < painted * 0.8


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from Linux's /proc")
def test_the_estimate_is_no_less_than_what_is_taken(precision: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", TAKEN, precision], capture_output=True, text=True, check=True, timeout=300
    )
    estimate, taken = map(int, ran.stdout.split())
    assert taken <= estimate <= 1.5 * taken  # seen: 1.40 times in fp32, 1.30 in bf16; 1.15 and 1.07 at 512 pixels


def test_free_memory_is_a_share_of_what_there_is() -> None:
    assert 2**20 < free_memory(torch.device("cpu")) < 2**45


def group(place: Path, version: int, limit: str, used: int, files: int = 0) -> None:
    """Write what the system shows of a control group."""
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    place.mkdir(parents=True, exist_ok=True)
    for name, value in zip(names, (limit, used), strict=True):
        (place / name).write_text(f"{value}\n")
    total = "" if version == 2 else "total_"
    (place / "memory.stat").write_text(f"anon {used}\n{total}inactive_file {files}\n")


@pytest.mark.parametrize("version", [1, 2])
def test_the_limits_of_control_groups_are_heeded(version: int, tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("0::/all/mine\n" if version == 2 else "11:cpu,cpuacct:/x\n4:memory:/all/mine\n0::/\n")
    top = tmp_path if version == 2 else tmp_path / "memory"
    group(top / "all", version, "1000", 700, 100)
    group(top / "all" / "mine", version, "max" if version == 2 else str(2**63 - 4096), 300)
    assert [*_of_groups(membership, tmp_path)] == [400]
    group(top / "all" / "mine", version, "350", 300, 20)
    assert [*_of_groups(membership, tmp_path)] == [70, 400]
    group(top / "all" / "mine", version, "200", 300)
    assert min(_of_groups(membership, tmp_path)) == 0


def test_a_container_s_own_group_stands_at_the_top(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("0::/of/the/host\n")
    group(tmp_path, 2, "500", 100)
    assert [*_of_groups(membership, tmp_path)] == [400]
    assert [*_of_groups(tmp_path / "none", tmp_path)] == []


def test_a_limit_leaves_a_share_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.style.memory._of_groups", lambda *_: iter([1000.0]))
    assert free_memory(torch.device("cpu")) == 600
