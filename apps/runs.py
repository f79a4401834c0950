"""Run folders: where a training command writes, what it was asked for, what came out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.checks import DataError, UsageError
from .console import emit, note, stdout, table
from .training_bar import training_bar

if TYPE_CHECKING:
    from ..core.history import History, Progress

CONFIG, STATE, BEST, LAST = "config.json", "state.safetensors", "best.safetensors", "last.safetensors"


def first_process() -> bool:
    """Whether this process, alone or the first that torchrun started, is the one to write and to speak."""
    return os.environ.get("RANK", "0") == "0"


def begun(learnt: int, judging: int, run: Path) -> str:
    """Say how many pictures a training learns from, and by how many others it is judged."""
    judged = f"judged by {judging} others" if judging else "judged by none: --val-split 0.2 would set a fifth aside"
    return f"training on {learnt} pictures, {judged}, in {run}"


def given(**options: Any) -> dict[str, Any]:
    """Return the options that were given; for the others the Python API's defaults hold."""
    return {name: value for name, value in options.items() if value is not None}


def run_folder(runs: Path, out: Path | None, resume: bool) -> Path:
    """Return the folder to train in, new unless the training in it is to go on.

    Raises:
        UsageError: nothing to resume, or a training there that would be overwritten.
    """
    if out is None and "RANK" in os.environ:
        raise UsageError("--out where several processes train", "none", f"name one folder for all: --out {runs}/1")
    if out is None:
        if resume:
            raise UsageError("--out with --resume", "no --out", f"name the run folder: --out {runs}/1 --resume")
        taken = [int(path.name) for path in runs.glob("*") if path.name.isdigit()]
        return runs / str(max(taken, default=0) + 1)
    if resume and not (out / CONFIG).is_file():
        raise UsageError("a run folder to resume", f"no {CONFIG} in {out}", "check --out, or leave out --resume")
    if not resume and (out / STATE).exists():
        raise UsageError("a new run folder", f"a training in {out}", "pass --resume to go on with it, or another --out")
    return out


def save_config(run: Path, config: dict[str, Any]) -> None:
    """Write what was asked for into the run folder, for `--resume` and for people."""
    from ..core.atomic import atomic_write

    if not first_process():
        return
    run.mkdir(parents=True, exist_ok=True)
    atomic_write(run / CONFIG, lambda file: file.write((json.dumps(config, indent=2) + "\n").encode()))


def with_saved(run: Path, asked: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what the training in `run` was asked for, with what was given now on top.

    Raises:
        DataError: the folder's config.json cannot be read.
    """
    try:
        saved = json.loads((run / CONFIG).read_text(encoding="utf-8"))
        return {group: {**saved[group], **asked[group]} for group in asked}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"a readable {CONFIG} in {run}", repr(error), "train in a new folder") from error


@contextmanager
def training_run(run: Path, config: dict[str, Any] | None, again: str = "") -> Iterator[Callable[[Progress], None]]:
    """Give the callback for the `on_progress` of a training, which shows it on the terminal while the block runs.

    Its first call writes config.json: what `fit` refuses, such as an unknown loss, leaves no folder behind.

    Args:
        run: The run folder.
        config: What `save_config` writes; None where a training is resumed.
        again: The command that goes on with an interrupted training; "" where there is none.
    """
    due = config
    try:
        with training_bar() as show:

            def on_progress(progress: Progress) -> None:
                nonlocal due
                if due is not None:
                    save_config(run, due)
                    due = None
                show(progress)

            yield on_progress
    except KeyboardInterrupt:
        if again and (run / CONFIG).is_file():
            note(f"go on with: {again}")
        raise


def report(task: str, history: History | None, run: Path, as_json: bool) -> None:
    """Print what came out: the folder, the weights, the figures of the best epoch."""
    assert history is not None
    if not first_process():
        return
    best = next((row for row in history.rows if row["epoch"] == history.best_epoch), {})
    files = {"best": str(run / BEST), "last": str(run / LAST)}
    if as_json:
        emit(task, run=str(run), **files, epochs=len(history.rows), best_epoch=history.best_epoch, metrics=best)
        return
    stdout().print(table(f"best epoch of {len(history.rows)}", ("figure", "value"), best.items(), numeric=("value",)))
    stdout().print(f"weights: {files['best']}")
    stdout().print(f"run: {run}")
