"""The Detect page, run without a browser. What the model answers is fixed here; one test uses the shipped weights."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("streamlit", reason="needs the `app` extra")

from streamlit.testing.v1 import AppTest

import striate
from striate.apps import worker
from striate.apps.cli import main
from striate.apps.samples import SAMPLES
from striate.core.checks import ModelError
from striate.core.weights import WEIGHTS
from striate.detection import Detections

HOME = Path(striate.__file__).parent / "apps" / "pages" / "home.py"
NAMES = ("Platelets", "RBC", "WBC")


def answer(image: np.ndarray, weights: str, **options: Any) -> Detections:
    """Three boxes with the scores 0.9, 0.6 and 0.3, thresholded as the detector would."""
    boxes = np.array([[10, 10, 60, 60], [20, 30, 50, 80], [5, 5, 25, 25]], np.float32)
    found = Detections(
        boxes,
        np.array([0.9, 0.6, 0.3], np.float32),
        np.array([1, 1, 0]),
        NAMES,
        image.shape[:2],
        speed={"network": 20.0, "decode": 2.0},
    )
    wanted = options.get("classes") or NAMES
    return found[(found.scores >= options["confidence"]) & np.isin(found.labels, wanted)]


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[int, ...], dict[str, Any]]]:
    """Everything that the page asks the model: the picture's shape and the options."""
    asked: list[tuple[tuple[int, ...], dict[str, Any]]] = []

    def detect(image: np.ndarray, weights: str, **options: Any) -> Detections:
        asked.append((image.shape, options))
        return answer(image, weights, **options)

    monkeypatch.setattr(worker, "detect", detect)
    return asked


@pytest.fixture
def page(tiny: Path, monkeypatch: pytest.MonkeyPatch, questions: list[Any]) -> AppTest:
    """The page, opened on a machine that has one model."""
    monkeypatch.setenv("STRIATE_WEIGHTS", str(tiny.parent))
    app = AppTest.from_file(str(HOME), default_timeout=60)
    app.query_params["sample"] = "shapes"
    app.run()
    app.selectbox(key="model").set_value(str(tiny)).run()
    assert not app.exception
    return app


def metric(page: AppTest, label: str) -> str:
    return next(m.value for m in page.metric if m.label == label)


def sample_buttons(page: AppTest) -> list[str]:
    return [button.label for button in page.button if (button.key or "").startswith("sample-")]


def png(height: int = 48, width: int = 64) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def upload(page: AppTest, data: bytes, name: str = "mine.png") -> AppTest:
    return page.file_uploader[0].set_value((name, data, "image/png")).run()


def test_opens_with_a_result(page: AppTest) -> None:
    assert page.title[0].value == "Detect"
    assert (metric(page, "Found"), metric(page, "Mean score"), metric(page, "Time")) == ("3", "0.60", "22 ms")
    assert [entry.title for entry in SAMPLES] == [
        button.label for button in page.button if (button.key or "").startswith("sample-")
    ]
    assert not page.error


def test_table_and_downloads_hold_the_detections(page: AppTest) -> None:
    table = page.dataframe[0].value
    assert list(table["class"]) == ["RBC", "RBC", "Platelets"]
    np.testing.assert_allclose(table[["x", "y", "w", "h"]], [[10, 10, 50, 50], [20, 30, 30, 50], [5, 5, 20, 20]])
    assert [button.label for button in page.get("download_button")] == ["PNG", "JSON", "CSV"]


def test_sliders_and_classes_reach_the_model(page: AppTest, questions: list[Any]) -> None:
    page.slider[0].set_value(0.5).run()
    assert metric(page, "Found") == "2"
    page.slider[1].set_value(0.45).run()
    page.sidebar.get("button_group")[0].set_value(["Platelets"]).run()
    assert questions[-1][1] == {"confidence": 0.5, "iou_threshold": 0.45, "classes": ["Platelets"]}
    assert (metric(page, "Found"), metric(page, "Mean score")) == ("0", "–")
    assert "Nothing found" in page.info[0].value


def test_reset_returns_to_the_models_own_values(page: AppTest, questions: list[Any]) -> None:
    page.slider[0].set_value(0.5).run()
    next(button for button in page.button if button.label == "Reset").click().run()
    assert questions[-1][1] == {"confidence": 0.25, "iou_threshold": 0.6}
    assert page.slider[0].value == 0.25


def test_another_sample_is_another_picture(page: AppTest, questions: list[Any]) -> None:
    page.button(key="sample-cat").click().run()
    assert questions[-1][0] == (300, 451, 3)
    assert "sample('cat')" in page.code[0].value
    assert page.query_params["sample"] in ("cat", ["cat"])


def test_same_question_is_asked_once(page: AppTest, questions: list[Any]) -> None:
    before = len(questions)
    page.run()
    page.run()
    assert len(questions) == before


def test_upload_is_used_until_a_sample_is_clicked(page: AppTest, questions: list[Any]) -> None:
    upload(page, png(48, 64))
    assert questions[-1][0] == (48, 64, 3)
    assert "predict('mine.png'" in page.code[0].value
    page.button(key="sample-cat").click().run()
    assert questions[-1][0] == (300, 451, 3)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"GIF89a no picture", id="no picture"),
        pytest.param(png()[:40], id="truncated"),
        pytest.param(b"<script>alert(1)</script>", id="markup"),
    ],
)
def test_bad_upload_says_what_to_do(page: AppTest, data: bytes, questions: list[Any]) -> None:
    asked = len(questions)
    upload(page, data)
    assert not page.exception
    assert page.error[0].value == "This picture cannot be read"
    assert {"**Expected**", "**Got**", "**What to do**"} <= {entry.value for entry in page.markdown}
    assert len(questions) == asked
    assert len(sample_buttons(page)) == len(SAMPLES), "the way back stays open"


def test_file_name_is_never_markup(page: AppTest) -> None:
    name = "**bold** <b>x</b>'.png"
    upload(page, png(), name)
    assert name in [entry.value for entry in page.text]
    assert not any(name in entry.value for entry in page.markdown)
    assert not any(name in entry.value for entry in page.caption)


def test_code_runs_as_it_stands(page: AppTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    python, commands = (entry.value for entry in page.code[:2])
    exec(compile(python, "page", "exec"), {})
    assert capsys.readouterr().out
    for line in commands.splitlines():
        program, *words = shlex.split(line)
        assert (program, main(words)) == ("striate", 0)
    assert (tmp_path / "found" / "shapes-boxes.png").is_file()


def test_damaged_model_says_what_to_do(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half.safetensors").write_bytes(tiny.read_bytes()[:1000])
    monkeypatch.setenv("STRIATE_WEIGHTS", str(tmp_path))
    app = AppTest.from_file(str(HOME), default_timeout=60).run()
    app.selectbox(key="model").set_value(str(tmp_path / "half.safetensors")).run()
    assert not app.exception
    assert app.error[0].value == "This model cannot be used"
    assert any("half.safetensors" in entry.value for entry in app.text)


def test_error_while_searching_says_what_to_do(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ModelError("the weights", "a removed file", "load the page again")

    monkeypatch.setattr(worker, "detect", fail)
    page.button(key="sample-cat").click().run()
    assert not page.exception
    assert page.error[0].value == "This picture could not be searched"
    assert "load the page again" in [entry.value for entry in page.text]


@pytest.mark.skipif("cells" not in WEIGHTS, reason="the `cells` weights are not in the table yet")
def test_shipped_model_finds_cells_in_the_first_sample() -> None:
    app = AppTest.from_file(str(HOME), default_timeout=60).run()
    assert not app.exception
    assert not app.error
    assert app.selectbox(key="model").value == "cells"
    assert int(metric(app, "Found")) >= 5
    assert set(app.dataframe[0].value["class"]) <= set(NAMES)


def test_json_download_is_what_the_command_prints(page: AppTest) -> None:
    found = answer(np.zeros((48, 64, 3), np.uint8), "", confidence=0.0)
    assert [row["label"] for row in json.loads(found.to_json())["detections"]] == ["RBC", "RBC", "Platelets"]
