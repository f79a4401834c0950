"""The bar of an attack: on a terminal, and nowhere else."""

import io

import pytest
from rich.console import Console

from striate.adversarial.problem import Step
from striate.apps import step_bar


def test_a_terminal_sees_steps_and_what_is_fooled(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(step_bar, "stderr", lambda: Console(file=file, force_terminal=True, width=100))
    with step_bar.step_bar("fab: step") as show:
        tell = step_bar.telling(show)
        tell(Step("fab", 0, 40, 0, 3))
        tell(Step("fab", 10, 40, 2, 3))
    shown = file.getvalue()
    assert "fab: step 10/40" in shown
    assert "fab: 2 of 3 fooled" in shown


def test_the_time_left_is_that_of_the_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten steps in two seconds, so 30 more take six; the next attack of an ensemble begins anew."""
    now = iter((0.0, 0.0, 2.0, 100.0, 100.0, 101.0))
    monkeypatch.setattr(step_bar.time, "monotonic", lambda: next(now))
    left: list[float] = []
    tell = step_bar.telling(lambda done, figures, seconds, most=None: left.append(seconds))
    for step in (
        Step("apgd", 0, 40, 0, 1),
        Step("apgd", 10, 40, 0, 1),
        Step("fab", 0, 20, 0, 1),
        Step("fab", 5, 20, 0, 1),
    ):
        tell(step)
    assert left == pytest.approx([0, 6, 0, 3])


def test_a_file_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(step_bar, "stderr", lambda: Console(file=file))
    with step_bar.step_bar("step", 3) as show:
        show(1, "", 0.0)
    assert file.getvalue() == ""
