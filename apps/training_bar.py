"""Training on a terminal: a bar with the time left on stderr, and one line of figures for each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from .console import stderr

if TYPE_CHECKING:
    from ..core.training import Progress


@contextmanager
def training_bar() -> Iterator[Callable[[Progress], None]]:
    """Give the callback for `on_progress`; the bar is there while the block runs.

    Where stderr is no terminal only the epochs' lines are written: a bar in a log file is noise.
    """
    console = stderr()
    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%  {task.fields[left]} left  {task.fields[figures]}"),
    )
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=None, epoch="–", left="–", figures="")

        def on_progress(progress: Progress) -> None:
            _advance(bar, task, progress)
            if progress.notice:
                bar.console.print(progress.notice)
            if progress.metrics:
                bar.console.print(epoch_line(progress))

        yield on_progress


def epoch_line(progress: Progress) -> str:
    """Write what an epoch gave: `epoch 3/100  loss 1.234  map50 0.871  map 0.552  12 s`."""
    figures = {"loss": progress.losses["loss"], **progress.metrics} if "loss" in progress.losses else progress.metrics
    return f"epoch {progress.epoch}/{progress.epochs}  {_figures(figures)}  {duration(progress.seconds)}"


def duration(seconds: float) -> str:
    """Write seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


def _advance(bar: Bar, task: TaskID, progress: Progress) -> None:
    total = progress.epochs * progress.steps
    bar.update(
        task,
        total=total,
        completed=(progress.epoch - 1) * progress.steps + progress.step,
        epoch=f"{progress.epoch}/{progress.epochs}",
        left=duration(progress.eta_seconds),
        figures=_figures({"loss": progress.losses["loss"]} if "loss" in progress.losses else {}),
    )


def _figures(figures: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items() if isinstance(value, (int, float)))
