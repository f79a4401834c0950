"""The part of the Style page that paints at once, run without a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("streamlit", reason="needs the `app` extra")

from streamlit.testing.v1 import AppTest

from striate.apps.cli import main
from striate.apps.style_fast_part import code
from striate.core.images import load_image, save_image
from striate.style import FastStyle, fast_paint
from striate.tests.style.stand_ins import disc


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Weights of a painter that has learned nothing, where the page looks for more than it ships."""
    folder = tmp_path / "weights"
    folder.mkdir()
    painter = FastStyle(widths=(4, 4, 4), blocks=1, crop=64)
    painter._start((), seed=0)  # as training begins
    monkeypatch.setenv("STRIATE_WEIGHTS", str(folder))
    return str(painter.save(folder / "plain.safetensors"))


def script() -> None:
    from striate.apps import pick, style_fast_part
    from striate.tests.style.stand_ins import disc

    style_fast_part.show_part(pick.Picture("disc", "disc.png", disc()))


def test_the_part_paints_at_once_and_shows_how(weights: str) -> None:
    page = AppTest.from_function(script, default_timeout=120).run()
    assert not page.exception
    page.selectbox(key="style-fast-name").set_value(weights)
    page.slider(key="style-fast-strength").set_value(0.5)
    page.selectbox(key="style-fast-colours").set_value("luminance").run()
    assert not page.exception
    assert [button.label for button in page.get("download_button")] == ["PNG"]
    python, command = (block.value for block in page.code)
    assert "transform('disc.png', size=512, strength=0.5, colours='luminance')" in python
    assert "style-fast apply disc.png" in command


def test_what_is_asked_for_reaches_the_painter(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []
    real = FastStyle.transform

    def transform(self: FastStyle, content: Any, **options: Any) -> Any:
        asked.append(options)
        return real(self, content, **options)

    monkeypatch.setattr(FastStyle, "transform", transform)
    page = AppTest.from_function(script, default_timeout=120)
    page.session_state["style-fast-name"] = weights
    page.session_state["style-fast-strength"] = 0.65
    page.session_state["style-fast-colours"] = "luminance"
    page.run()
    assert not page.exception
    assert asked == [{"size": 512, "strength": 0.65, "colours": "luminance"}]


def test_what_cannot_be_painted_is_shown(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_paint, "free_memory", lambda _: 1000.0)
    page = AppTest.from_function(script, default_timeout=120)
    page.session_state["style-fast-name"] = weights
    page.session_state["style-fast-strength"] = 0.35  # not painted before
    page.run()
    assert not page.exception
    assert "This cannot be painted" in page.error[0].value


def test_the_program_and_the_command_that_are_shown_paint_the_same(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_image(disc(), tmp_path / "disc.png")
    python, command = code("disc.png", weights, {"size": 40, "strength": 0.5, "colours": "style"})
    exec(python, {})
    by_python = load_image("painted.png")
    assert by_python.shape == (29, 40, 3)
    assert main(command.split()[1:]) == 0
    assert np.array_equal(load_image("painted.png"), by_python)
