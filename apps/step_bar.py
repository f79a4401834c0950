"""Steps on a terminal: a bar with the time left on stderr, for attacks and for what makes fooling images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from .console import stderr

if TYPE_CHECKING:
    from ..adversarial.problem import Step


class Show(Protocol):
    """Moves a bar."""

    def __call__(self, done: int, figures: str, left: float, most: int | None = None) -> None:
        """Show steps done, figures, seconds left, and of how many steps, where the bar was not made with that."""


@contextmanager
def step_bar(unit: str, total: int | None = None) -> Iterator[Show]:
    """Give what moves a bar on a terminal; elsewhere nothing is written.

    Args:
        unit: What is counted, before the number.
        total: None until `show` knows it.
    """
    from rich.progress import BarColumn, Progress, TextColumn

    from .training_bar import duration

    console = stderr()
    columns = (TextColumn(unit + " {task.fields[place]}"), BarColumn(), TextColumn("{task.fields[figures]}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(unit, total=total, place="", figures="")

        def show(done: int, figures: str, left: float, most: int | None = None) -> None:
            told, steps = f"{duration(left)} left  {figures}", most or total
            bar.update(task, completed=done, total=steps, place=f"{done}/{steps}", figures=told)

        yield show


def telling(show: Show) -> Callable[[Step], None]:
    """Return an attack's `on_step` for a bar; the time left is that of the part, such as one of an ensemble's."""
    began: dict[str, float] = {}

    def tell(step: Step) -> None:
        if step.attack not in began or not step.step:
            began[step.attack] = time.monotonic()
        each = (time.monotonic() - began[step.attack]) / max(1, step.step)
        fooled = f"{step.attack}: {step.fooled} of {step.count} fooled"
        show(step.step, fooled, each * (step.steps - step.step), step.steps)

    return tell
