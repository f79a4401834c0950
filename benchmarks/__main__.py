"""`python -m striate.benchmarks`: everything this machine can measure, kept as rows and rendered into README.md.

With an NVIDIA GPU the kernels, the tasks and whole networks (under ten minutes on an H100); without one the CPU's rows.
`[--rounds N] [--only WORD] [--dry]`; --dry prints the tables and keeps nothing. A case that fails is named and
left out, the others are measured; the program then ends with an error.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch

from striate.benchmarks import (
    attacks,
    attacks_gpu,
    auto_attack,
    bow,
    cpu,
    fooling,
    gpu,
    kernels,
    rivals,
    segmentation,
    style,
    tasks,
    training,
    whole_networks,
)
from striate.benchmarks.harness import Part, Row, keep, measure, new_run
from striate.benchmarks.report import goals_table, render, table

Subject = Callable[[str, int], Iterator[Part]]


def ceiling(name: str, run: str, rounds: int) -> list[Row]:
    """Time what nothing can beat: a copy of 1 GiB (2 GiB moved) or a matrix product of 8192 cubed (1.1 TFLOP)."""
    call: Callable[[], object] = gpu.copy_of(2**31)
    if name.startswith("matmul"):
        a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
        call = partial(torch.matmul, a, b)
    return measure(
        "ceilings", name, {"torch": call}, baseline="torch", run=run, device="cuda", rounds=rounds,
        clock=gpu.device_clock,
    )  # fmt: skip


def ceilings(run: str, rounds: int) -> Iterator[Part]:
    """Name the ceilings."""
    for name in ("copy of 1 GiB", "matmul of 8192 cubed"):
        yield name, partial(ceiling, name, run, rounds)


def subjects() -> dict[str, Subject]:
    """Return what this machine can measure."""
    if not torch.cuda.is_available():
        return {
            "cpu": cpu.parts, "segmentation": segmentation.parts, "training": training.parts, "bow": bow.parts,
            "fooling": fooling.parts, "attacks": attacks.parts, "auto_attack": auto_attack.parts,
            "style": style.parts,
        }  # fmt: skip
    torch.backends.cudnn.benchmark = True
    return {
        "ceilings": ceilings,
        "kernels": kernels.parts,
        "rivals": rivals.parts,
        "networks": whole_networks.parts,
        "segmentation": segmentation.gpu_parts,
        "tasks": tasks.parts,
        "attacks": attacks_gpu.parts,
        "style": style.gpu_parts,
    }


def measured(
    chosen: Mapping[str, Subject], rounds: int, only: str, on_rows: Callable[[list[Row]], None]
) -> tuple[list[Row], list[str]]:
    """Measure case by case, so that a wrong or late one loses nothing of the others.

    Args:
        chosen: Subject -> its parts.
        rounds: See `harness.interleave`.
        only: Cases whose "subject: case" holds this word.
        on_rows: Called with the rows of each case as soon as they are there.

    Returns:
        All rows, and a line for each case that failed.
    """
    run, rows, failures = new_run(), [], []
    for subject, parts in chosen.items():
        start = time.perf_counter()
        for case, part in parts(run, rounds):
            name = f"{subject}: {case}"
            if only not in name:
                continue
            try:
                found = part()
            except Exception as error:  # whatever it is: the other cases are worth their time
                failures.append(f"{name}: {type(error).__name__}: {error}")
                print(f"FAILED {failures[-1]}", flush=True)
                continue
            rows += found
            on_rows(found)
        print(f"{subject}: {time.perf_counter() - start:.0f} s", flush=True)
    return rows, failures


def main() -> None:
    """Measure, keep, render, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", default="", help="cases whose 'subject: case' holds this word")
    parser.add_argument("--dry", action="store_true", help="keep nothing")
    options = parser.parse_args()
    dry = options.dry
    rows, failures = measured(subjects(), options.rounds, options.only, (lambda found: None) if dry else keep)
    print(goals_table(rows) + table(rows))
    if not dry:
        render()
    if failures:
        raise SystemExit(f"{len(failures)} cases failed:\n" + "\n".join(failures))


if __name__ == "__main__":
    main()
