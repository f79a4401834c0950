"""`striate doctor`: what is wrong with a dataset before anyone trains on it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .console import emit, note, stdout, table

PROBLEMS = 3  # as for data that cannot be used


def doctor(
    data: Annotated[
        Path, typer.Argument(help="Folder of class folders, idx, CIFAR, npz; of VOC, YOLO, COCO boxes; of masks.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Examine a data set: unreadable files, empty classes, copies between splits, labels or masks that cannot be right.

    Nothing is altered. The exit code is 3 when something would make a training or its figures wrong.
    """
    from ..core.datasets.doctor import examine

    findings = examine(data)
    if as_json:
        emit("doctor", data=str(data), findings=[asdict(finding) for finding in findings])
    elif not findings:
        note("nothing to complain about")
    else:
        rows = [(f.level, f.kind, "\n".join((f.text, *f.sources[:5]))) for f in findings]
        stdout().print(table(f"{data}", ("level", "what", "where"), rows))
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(PROBLEMS)
