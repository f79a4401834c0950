"""The Fool page's half of pictures of nothing, run without a browser: from start to download, and what is refused."""

from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="needs the `app` extra")

from streamlit.testing.v1 import AppTest

import striate
from striate.apps import fool_worker
from striate.apps.fool_worker import ASCENT, EVOLUTION, Asked, start

PAGE = Path(striate.__file__).parent / "apps" / "pages" / "fool.py"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page, opened, with little to do."""
    monkeypatch.setattr(fool_worker, "MOST_STEPS", 40)
    monkeypatch.setattr(fool_worker, "MOST_CELLS", 3)
    page = AppTest.from_file(str(PAGE), default_timeout=240).run()
    page.segmented_control(key="fool-half").set_value("Pictures of nothing").run()
    assert not page.exception
    return page


def test_before_anything_is_asked(page: AppTest) -> None:
    assert "press Fool it" in page.info[0].value
    assert page.selectbox(key="fool-weights").value == "lenet5-mnist"
    assert "scenes15-bow" in page.selectbox(key="fool-second").options


def test_an_ascent_from_start_to_download(page: AppTest) -> None:
    page.segmented_control(key="fool-way").set_value(ASCENT).run()
    page.sidebar.button[0].click().run()
    job = page.session_state["fool-job"]
    job.thread.join(240)
    page.run()
    assert not page.exception
    assert "3 of 3 classes" in page.markdown[0].value
    assert page.dataframe[0].value["calls it"].tolist() == ["0"]
    assert [one.value for one in page.text[:3]] == [str(one).replace(" ", "  ", 1) for one in job.found]
    assert job.asked.command() in [code.value for code in page.code]


def test_models_of_other_classes_cannot_be_fooled_together(page: AppTest) -> None:
    page.selectbox(key="fool-second").set_value("small-fashion").run()
    page.sidebar.button[0].click().run()
    page.session_state["fool-job"].thread.join(240)
    page.run()
    assert not page.exception
    assert page.error[0].value == "This cannot be fooled"
    assert any("classes of the first" in text.value for text in page.text)


def test_an_evolution_can_be_stopped_and_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fool_worker, "MOST_CELLS", 2)
    job = start(Asked(EVOLUTION, ("lenet5-mnist",)))
    job.stop.set()
    assert job.thread is not None
    job.thread.join(240)
    assert not job.running
    assert (job.error, job.done, job.names) == (None, 0, ("0", "1"))
    assert job.found is not None
    assert job.found[0].settings["generation"] == 0
    assert len(job.curve) == 1


def test_what_was_asked_is_a_command_and_a_program() -> None:
    both = Asked(EVOLUTION, ("a", "b"), "direct", 3)
    assert both.command() == "striate fool evolve --weights a --weights b --encoding direct --seed 3"
    for asked in (both, Asked(ASCENT, ("a",))):
        compile(asked.python(), "page", "exec")
    assert "fool ascend" in Asked(ASCENT, ("a",)).command()
