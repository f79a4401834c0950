"""The Style page, run without a browser."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("streamlit", reason="needs the `app` extra")

from streamlit.testing.v1 import AppTest

import striate
from striate.apps import style_worker
from striate.apps.style_worker import Work
from striate.core.checks import UsageError
from striate.style.patterns import pattern

PAGE = Path(striate.__file__).parent / "apps" / "pages" / "style.py"
CONTENT = np.zeros((40, 56, 3), np.uint8) + np.arange(56, dtype=np.uint8)[None, :, None] * 4
PATIENT = 600  # seconds, on a machine with much else to do
SMALL = {"size": 48, "steps": 4, "smallest": 0}


def painted(**options: object) -> Work:
    work = Work(CONTENT, pattern("mosaic", size=48), {**SMALL, **options}).start()
    work.wait(PATIENT)
    return work


def test_a_painting_is_made_in_the_background() -> None:
    work = painted()
    assert work.problem is None
    assert work.painting is not None
    assert work.painting.image.shape == (34, 48, 3)
    assert work.done == 1
    assert work.preview is not None
    assert not work.running


def begun(**options: object) -> Work:
    """Return a long painting, once there is a first look at it."""
    work = Work(CONTENT, pattern("mosaic", size=48), {**SMALL, "steps": 100_000, **options}).start()
    until(lambda: bool(work.losses))
    return work


def until(true: Callable[[], bool]) -> None:
    for _ in range(20 * PATIENT):
        if true():
            return
        time.sleep(0.05)
    pytest.fail("it did not come to that")


def test_a_stop_keeps_the_picture() -> None:
    work = begun()
    work.stop()
    work.wait(PATIENT)
    assert work.painting is not None
    assert "of 100000, as asked" in work.painting.notice
    data = work.file("png", 8)
    assert data[1:4] == b"PNG"
    assert work.file("png", 8) is data


def test_a_stop_ends_one_that_waits_and_the_others_keep_their_order() -> None:
    first, second, third = begun(), *(Work(CONTENT, CONTENT, {**SMALL, "steps": 100_000}).start() for _ in range(2))
    assert (first.ahead, second.ahead, third.ahead) == (0, 1, 2)
    second.stop()
    second.wait(PATIENT)
    assert not second.running
    assert second.painting is None
    assert second.problem is None
    assert third.ahead == 1
    for work in (third, first):  # the other way round third could begin in between
        work.stop()
        work.wait(PATIENT)
    assert first.painting is not None
    assert third.painting is None


def test_one_that_nobody_watches_makes_room_for_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    left = begun()
    monkeypatch.setattr(style_worker, "PATIENCE", 0.5)
    time.sleep(0.6)
    assert left.running  # nobody waits
    monkeypatch.setattr(style_worker, "PATIENCE", 60.0)
    left._seen -= 100
    waiting = Work(CONTENT, CONTENT, SMALL).start()
    left.wait(PATIENT)
    assert left.abandoned
    assert left.painting is not None
    waiting.wait(PATIENT)
    assert waiting.painting is not None
    assert waiting.painting.finished


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
    ended = Work(CONTENT, CONTENT, SMALL)
    ended.stop()
    ended.start().wait(PATIENT)
    page.session_state["style-work"] = ended
    page.run()
    assert not page.exception
    assert "ended before it began" in page.info[0].value
    page.session_state["style-work"] = painted(size=4)
    page.run()
    assert "This cannot be painted" in page.error[0].value
