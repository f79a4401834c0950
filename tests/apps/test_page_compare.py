"""The Compare page, run without a browser, on the two cheapest contenders and few pictures."""

from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="needs the `app` extra")

from streamlit.testing.v1 import AppTest

import striate
from striate.apps import duel, duel_worker
from striate.tests.bow_baseline.stand_ins import as_folders, bands

ASKED = duel_worker.Asked("rendered", ("bow", "linear"))
PAGE = Path(striate.__file__).parent / "apps" / "pages" / "compare.py"


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page, opened, with a set of its own to choose."""
    as_folders(bands(6, side=40), tmp_path / "bands", "train")
    as_folders(bands(6, seed=1, side=40), tmp_path / "bands", "test")
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path))
    monkeypatch.setattr(duel, "SMALL_PER_CLASS", 4)
    monkeypatch.setattr(duel, "SMALL_TEST", 3)
    page = AppTest.from_file(str(PAGE), default_timeout=240).run()
    assert not page.exception
    return page


def test_before_anything_is_asked(page: AppTest) -> None:
    assert "press Compare" in page.info[0].value
    assert page.selectbox(key="compare-data").options == ["Rendered scenes", "bands"]
    page.multiselect(key="compare-contenders").set_value(["bow"]).run()
    assert page.button[0].disabled
    assert any("at least two" in one.value for one in page.caption)


def test_a_duel_from_start_to_trial(page: AppTest) -> None:
    page.multiselect(key="compare-contenders").set_value(["bow", "linear"]).run()
    page.button[0].click().run()
    assert not page.exception
    assert not page.error
    said = page.markdown[0].value
    assert "points ahead of" in said
    assert [tab.label for tab in page.tabs][:4] == ["Table", "Curves", "Disagreements", "Try a picture"]
    assert set(page.dataframe[0].value["contender"]) == {"bow", "linear"}
    assert {metric.label for metric in page.metric} == {"bow", "linear"}
    assert {metric.value for metric in page.metric} <= set(duel.pictures("rendered")[0].names)
    assert [code.value for code in page.code][:1] == [ASKED.python()]
    assert ASKED.command() in [code.value for code in page.code]
    assert "--seeds 0 --per-class none --corruptions none --severities 2,4" in ASKED.command()


def test_classes_keep_their_shares(page: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in sorted((tmp_path / "bands" / "train" / "dark").iterdir())[2:]:
        path.unlink()
    asked = duel_worker.Asked(str(tmp_path / "bands"), ("linear:epochs=1,least_steps=1",), resamples=20)
    results, _ = duel_worker.duel(asked)
    assert results.train.counts() == {"bright": 6, "dark": 2, "middle": 6}
    assert results.test.counts() == {"bright": 6, "dark": 6, "middle": 6}


def test_a_set_of_ones_own_that_cannot_be_used(page: AppTest, tmp_path: Path) -> None:
    for path in (tmp_path / "bands" / "train" / "dark").iterdir():
        path.write_bytes(b"nothing")
    page.selectbox(key="compare-data").set_value(str(tmp_path / "bands")).run()
    page.button[0].click().run()
    assert not page.exception
    assert [error.value for error in page.error] == ["These cannot be compared"]
