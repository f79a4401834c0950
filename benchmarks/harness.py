"""One way to time everything: interleaved rounds, medians, and the machine written into every row.

Candidates take turns inside each round, and the order turns with the rounds, so that a warmer processor or a busier
neighbour touches all of them alike. A row keeps device, threads, load and versions beside its median; rows are appended
to results/<subject>.jsonl and never edited, losing ones included. report.py renders them.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median, quantiles

FOLDER = Path(__file__).resolve().parent
LIBRARIES = ("torch", "triton", "numpy", "onnxruntime", "opencv-python-headless")


@dataclass(frozen=True)
class Row:
    """One candidate in one case of one run; times are milliseconds."""

    subject: str
    case: str
    candidate: str
    median_ms: float
    p10_ms: float
    p90_ms: float
    rounds: int
    baseline: bool
    run: str
    device: str
    threads: int
    load: float
    commit: str
    versions: dict[str, str] = field(default_factory=dict)
    goal: str = ""  # the line of goals.py that the case counts for
    operation: str = ""  # the operation of core.ops that the case is about
    peak_mb: float = 0.0  # device memory, where it was asked for


class Differs(Exception):
    """A candidate computed something else than the others: nothing was timed."""


Part = tuple[str, Callable[[], list[Row]]]  # a case's name, and what checks and times it
Clock = Callable[[Callable[[], object]], float]  # a call -> milliseconds


def wall_clock(call: Callable[[], object]) -> float:
    """Time one call by the clock on the wall."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def interleave(
    candidates: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 30,
    warmup: int = 3,
    clock: Clock = wall_clock,
) -> dict[str, list[float]]:
    """Time every candidate once a round.

    Args:
        candidates: Name -> a call without arguments that does the whole of the work.
        rounds: How many times each is timed.
        warmup: How many rounds before that are thrown away.
        clock: How a call is timed; on a GPU `gpu.device_clock`.

    Returns:
        Name -> milliseconds, one a round.
    """
    names = list(candidates)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(warmup + rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            spent = clock(candidates[name])
            if turn >= warmup:
                times[name].append(spent)
    return times


def device_name(device: str = "cpu") -> str:
    """Name the processor or the graphics card."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    # Virtual machines often hide the model; the flags still say which of the fast paths exists.
    flags = {word for line in lines if line.startswith("flags") for word in line.split()}
    fast = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile") if flag in flags]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores ({' '.join(fast)})"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that are timed."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "absent"
    return found


def commit() -> str:
    """Return the commit that is measured, with a plus where the tree holds more than it, or "unknown"."""
    run = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    return run.stdout.strip() or "unknown"


def measure(
    subject: str,
    case: str,
    candidates: Mapping[str, Callable[[], object]],
    *,
    baseline: str,
    run: str,
    device: str = "cpu",
    threads: int = 1,
    rounds: int = 30,
    warmup: int = 3,
    clock: Clock = wall_clock,
    goal: str = "",
    operation: str = "",
    peaks: Mapping[str, float] | None = None,
) -> list[Row]:
    """Time `candidates` on one case and return a row for each.

    Args:
        subject: The benchmark's file name without .py; names the results file.
        case: What is computed ("network, 416x416, batch 1").
        candidates: See `interleave`.
        baseline: The candidate that the table's ratios divide by.
        run: One name for all rows of this run: `new_run()`.
        device: "cpu" or a torch CUDA device.
        threads: The number of threads that the caller gave every candidate.
        rounds: See `interleave`.
        warmup: See `interleave`.
        clock: See `interleave`.
        goal: The line of goals.py that the case counts for.
        operation: The operation of core.ops that the case is about.
        peaks: Candidate -> megabytes of device memory at its peak.
    """
    load, device, known, measured = round(os.getloadavg()[0], 2), device_name(device), versions(), commit()
    rows = []
    for name, values in interleave(candidates, rounds=rounds, warmup=warmup, clock=clock).items():
        deciles = quantiles(values, n=10, method="inclusive") if len(values) > 1 else values * 9
        rows.append(
            Row(
                subject,
                case,
                name,
                median_ms=round(median(values), 4),
                p10_ms=round(deciles[0], 4),
                p90_ms=round(deciles[8], 4),
                rounds=rounds,
                baseline=name == baseline,
                run=run,
                device=device,
                threads=threads,
                load=load,
                commit=measured,
                versions=known,
                goal=goal,
                operation=operation,
                peak_mb=round((peaks or {}).get(name, 0.0), 1),
            )
        )
    return rows


def new_run() -> str:
    """Return the name of a run: the time it started, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def keep(rows: Iterable[Row], folder: Path = FOLDER / "results") -> None:
    """Append rows to the results of their subject."""
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        with (folder / f"{row.subject}.jsonl").open("a") as file:
            file.write(json.dumps(asdict(row), sort_keys=True) + "\n")


def read(folder: Path = FOLDER / "results") -> list[Row]:
    """Return all rows ever kept."""
    lines = [line for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]
    return [Row(**json.loads(line)) for line in lines]
