"""A run folder begins with the training's first step, and says how to go on with what was interrupted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from striate.apps.runs import CONFIG, training_run
from striate.core.history import Progress

STEP = Progress(1, 1, 1, 2, {"loss": 1.0})


def test_what_was_asked_for_is_written_at_the_first_step_and_once(tmp_path: Path) -> None:
    with training_run(tmp_path / "run", {"epochs": 3}) as on_progress:
        assert not (tmp_path / "run").exists()
        on_progress(STEP)
        assert json.loads((tmp_path / "run" / CONFIG).read_text()) == {"epochs": 3}
        (tmp_path / "run" / CONFIG).write_text("mine")
        on_progress(STEP)
    assert (tmp_path / "run" / CONFIG).read_text() == "mine"


def test_a_resumed_training_keeps_what_was_asked_for(tmp_path: Path) -> None:
    with training_run(tmp_path, None) as on_progress:
        on_progress(STEP)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("begun", "again", "told"), [(True, "cmd", 1), (False, "cmd", 0), (True, "", 0)])
def test_an_interrupted_training_names_the_command_that_can_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], begun: bool, again: str, told: int
) -> None:
    def interrupted() -> None:
        with training_run(tmp_path, {}, again) as on_progress:
            if begun:
                on_progress(STEP)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert capsys.readouterr().err.count("go on with: cmd") == told
