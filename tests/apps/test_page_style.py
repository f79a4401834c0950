"""The Style page, run without a browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("streamlit", reason="needs the `app` extra")

from streamlit.testing.v1 import AppTest

import striate
from striate.apps.style_worker import Work
from striate.core.checks import UsageError
from striate.style.patterns import pattern

PAGE = Path(striate.__file__).parent / "apps" / "pages" / "style.py"
CONTENT = np.zeros((40, 56, 3), np.uint8) + np.arange(56, dtype=np.uint8)[None, :, None] * 4
SMALL = {"size": 48, "steps": 4, "smallest": 0}


def painted(**options: object) -> Work:
    work = Work(CONTENT, pattern("mosaic", size=48), {**SMALL, **options}).start()
    work.wait(120)
    return work


def test_a_painting_is_made_in_the_background() -> None:
    work = painted()
    assert work.problem is None
    assert work.painting is not None
    assert work.painting.image.shape == (34, 48, 3)
    assert work.done == 1
    assert work.preview is not None
    assert not work.running


def test_a_stop_keeps_the_picture() -> None:
    work = Work(CONTENT, pattern("mosaic", size=48), {**SMALL, "steps": 5000})
    work.stop()
    work.start().wait(120)
    assert work.painting is not None
    assert work.painting.notice == "stopped at step 5 of 5000, as asked"


def test_what_cannot_be_painted_is_kept_to_be_shown() -> None:
    assert isinstance(painted(size=4).problem, UsageError)


def test_the_page_asks_paints_and_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    page = AppTest.from_file(str(PAGE), default_timeout=120).run()
    assert not page.exception
    assert "press Paint" in page.info[0].value
    page.session_state["style-work"] = painted()
    page.run()
    assert not page.exception
    assert [slider.label for slider in page.slider if slider.label == "Before and after"]
    page.session_state["style-work"] = painted(size=4)
    page.run()
    assert "This cannot be painted" in page.error[0].value
