"""`python -m striate.benchmarks`: everything this machine can measure, kept as rows and rendered into README.md.

With an NVIDIA GPU the kernels, the tasks and whole networks (under ten minutes on an H100); without one the CPU's rows.
`[--rounds N] [--only SUBJECT] [--dry]`; --dry prints the tables and keeps nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from striate.benchmarks import cpu, gpu, kernels, tasks, whole_networks
from striate.benchmarks.harness import Row, keep, measure, new_run
from striate.benchmarks.report import goals_table, render, table


def ceilings(run: str, rounds: int) -> list[Row]:
    """Time what nothing can beat: a copy of 1 GiB (2 GiB moved) and a matrix product of 8192 cubed (1.1 TFLOP)."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    calls: dict[str, Callable[[], object]] = {
        "copy of 1 GiB": gpu.copy_of(2**31),
        "matmul of 8192 cubed": lambda: a @ b,
    }
    return [
        row
        for name, call in calls.items()
        for row in measure(
            "ceilings",
            name,
            {"torch": call},
            baseline="torch",
            run=run,
            device="cuda",
            rounds=rounds,
            clock=gpu.device_clock,
        )
    ]


def kernel_rows(run: str, rounds: int) -> list[Row]:
    """Check every case against float64, then time all."""
    cases = (*kernels.CONVOLUTIONS, *kernels.LAYERS)
    for case in cases:
        print(f"{case.name}: right, {gpu.check(case):.2f} of the tolerance", flush=True)
    found = [row for case in cases for row in gpu.rows(case, "kernels", run, rounds)]
    for case in (case for case in kernels.CONVOLUTIONS if case.goal == "G1"):
        inputs, peers = kernels.rivals(case)
        for name, call in peers.items():
            calls = {"striate": gpu.forward(case, inputs, "triton"), name: call}
            found += measure(
                "kernels", f"{case.name}, float16", calls, baseline=name, run=run, device="cuda", rounds=rounds,
                clock=gpu.device_clock, goal=f"G5 {name}", operation="conv2d",
            )  # fmt: skip
    return found


def main() -> None:
    """Measure, keep, render, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", default="", help="subjects whose name holds this word")
    parser.add_argument("--dry", action="store_true", help="keep nothing")
    options = parser.parse_args()
    subjects: dict[str, Callable[[str, int], list[Row]]] = {"cpu": cpu.rows}
    if torch.cuda.is_available():
        torch.backends.cudnn.benchmark = True
        subjects = {
            "ceilings": ceilings,
            "kernels": kernel_rows,
            "gram": tasks.gram_rows,
            "centroids": tasks.centroid_rows,
            "boxes": tasks.box_rows,
            "inference": whole_networks.inference_rows,
            "training": whole_networks.training_rows,
        }
    run, rows = new_run(), []
    for name, subject in subjects.items():
        if options.only in name:
            found = subject(run, options.rounds)
            rows += found
            if not options.dry:
                keep(found)  # one by one, so that a late failure loses little
    print(goals_table(rows) + table(rows))
    if not options.dry:
        render()


if __name__ == "__main__":
    main()
