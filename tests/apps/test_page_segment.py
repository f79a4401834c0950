"""The Segment page, run without a browser, on a tiny segmenter that has learned bright discs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("streamlit", reason="needs the `app` extra")

from streamlit.testing.v1 import AppTest

import striate
from striate.apps import worker
from striate.apps.cli import main
from striate.apps.models import choices
from striate.apps.samples import SAMPLES, sample
from striate.core.checks import ModelError
from striate.core.images import encode_image
from striate.core.weights import WEIGHTS
from striate.segmentation import LabelMap, Segmenter
from striate.segmentation.counting import objects_of
from striate.segmentation.stains import haematoxylin
from striate.tests.apps.conftest import nuclei_picture

PAGE = Path(striate.__file__).parent / "apps" / "pages" / "segment.py"
STREETS = ("sky", "road", "tree", "$x$ [a](b)")


@pytest.fixture
def page(segmenter: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page, opened on a machine that has this model, with a picture of discs uploaded."""
    monkeypatch.setenv("STRIATE_WEIGHTS", str(segmenter.parent))
    app = AppTest.from_file(str(PAGE), default_timeout=60).run()
    app.selectbox(key="segment-model").set_value(str(segmenter)).run()
    assert not app.exception
    return upload(app, encode_image(nuclei_picture(7)[0], "png"))


@pytest.fixture
def streets(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page, with a model of four classes, of which three are found, a third of the picture each."""

    class Model:
        names = STREETS

    def segment(image: np.ndarray, weights: str, **options: Any) -> LabelMap:
        labels = np.zeros(image.shape[:2], np.uint8)
        third = image.shape[0] // 3
        labels[third : 2 * third], labels[2 * third :] = 1, 3
        return LabelMap(labels, STREETS, speed={"network": 12.0 if options.get("flip") else 6.0})

    monkeypatch.setattr(worker, "segmenter", lambda weights: Model())
    monkeypatch.setattr(worker, "segment", segment)
    page.button(key="sample-cat").click().run()
    assert not page.exception
    return page


def upload(page: AppTest, data: bytes, name: str = "mine.png") -> AppTest:
    return page.file_uploader[0].set_value((name, data, "image/png")).run()


def metric(page: AppTest, label: str) -> str:
    return next(m.value for m in page.metric if m.label == label)


def downloads(page: AppTest) -> list[str]:
    return [button.label for button in page.get("download_button")]


def test_objects_are_counted(page: AppTest, segmenter: Path) -> None:
    found = Segmenter.load(segmenter).predict(nuclei_picture(7)[0])
    instances = objects_of(found, "nucleus", least_area=20)
    assert metric(page, "Objects") == str(len(instances))
    assert len(instances) == nuclei_picture(7)[1].max() > 1
    assert metric(page, "Median area") == f"{np.median(instances.areas):.0f} px"
    table = page.dataframe[0].value
    assert dict(zip(table["class"], table["pixels"], strict=True)) == found.counts()
    assert table["share"].sum() == pytest.approx(100)
    assert downloads(page) == ["Mask", "Overlay", "Areas", "Objects"]
    assert not page.error


def test_settings_of_the_counting(page: AppTest) -> None:
    before = int(metric(page, "Objects"))
    page.number_input(key="least-area").set_value(10_000).run()
    assert (metric(page, "Objects"), metric(page, "Median area")) == ("0", "–")
    assert "No objects found" in page.info[0].value
    page.number_input(key="least-area").set_value(20).run()
    page.segmented_control(key="method").set_value("components").run()
    assert int(metric(page, "Objects")) == before, "these discs do not touch"
    assert "method='components'" in page.code[0].value
    page.sidebar.selectbox[1].set_value("nothing").run()
    assert [m.label for m in page.metric] == ["Classes found", "Largest", "Time"]
    assert downloads(page) == ["Mask", "Overlay", "Areas"]
    assert "objects_of" not in page.code[0].value


def test_the_model_is_asked_once(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    real = worker.segment

    def segment(image: np.ndarray, weights: str, **options: Any) -> LabelMap:
        asked.append(options)
        return real(image, weights, **options)

    monkeypatch.setattr(worker, "segment", segment)
    page.slider(key="opacity").set_value(80).run()
    page.run()
    assert asked == []
    page.toggle(key="flip").set_value(True).run()
    assert asked == [{"flip": True}]
    assert "flip=True" in page.code[0].value
    assert "--flip" in page.code[1].value
    page.button(key="sample-cat").click().run()
    assert len(asked) == 2


def test_legend_chooses_what_is_drawn(streets: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[dict[str, Any]] = []
    real = LabelMap.draw_on

    def draw_on(self: LabelMap, image: np.ndarray, **options: Any) -> np.ndarray:
        drawn.append(options)
        return real(self, image, **options)

    monkeypatch.setattr(LabelMap, "draw_on", draw_on)
    labels = [box.label for box in streets.checkbox]
    assert [label.split(") ", 1)[1] for label in labels] == ["sky", "road", r"\$x\$ \[a\]\(b\)"]
    streets.checkbox[1].uncheck().run()
    assert drawn[-1] == {"opacity": 0.5, "classes": ["sky", "$x$ [a](b)"], "legend": False}
    streets.slider(key="opacity").set_value(100).run()
    assert drawn[-1]["opacity"] == 1.0
    count = len(drawn)
    next(c for c in streets.segmented_control if c.label == "Show").set_value("Picture").run()
    assert (len(drawn), len(streets.checkbox)) == (count, 0)


def test_a_model_of_many_classes(streets: AppTest) -> None:
    assert (metric(streets, "Classes found"), metric(streets, "Largest")) == ("3", "33 %")
    assert metric(streets, "Time") == "6 ms"
    assert "No sample shows what this model knows" in streets.info[0].value
    assert "segment predict samples/cat.png" in streets.code[1].value
    counted = streets.sidebar.selectbox[1]
    assert (counted.value, counted.options) == ("nothing", ["nothing", *STREETS])
    counted.set_value("road").run()
    assert metric(streets, "Objects") == "1"


def test_begins_with_a_picture_of_nuclei(segmenter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_WEIGHTS", str(segmenter.parent))
    app = AppTest.from_file(str(PAGE), default_timeout=60).run()
    app.selectbox(key="segment-model").set_value(str(segmenter)).run()
    buttons = [button.label for button in app.button if (button.key or "").startswith("sample-")]
    assert buttons[0] == "Tissue"
    assert sorted(buttons) == sorted(entry.title for entry in SAMPLES)
    assert "sample('stained-tissue')" in app.code[0].value
    assert not app.info or "No sample shows" not in app.info[0].value


def test_tissue_is_seen_by_its_blue_stain(page: AppTest, segmenter: Path) -> None:
    assert [toggle.label for toggle in page.sidebar.toggle] == ["Mirror image too", "Blue stain only"]
    assert not page.sidebar.toggle[1].value, "an uploaded picture is taken as it is"
    assert "haematoxylin" not in page.code[0].value + page.code[1].value
    page.button(key="sample-stained-tissue").click().run()
    assert page.sidebar.toggle[1].value
    found = Segmenter.load(segmenter).predict(haematoxylin(sample("stained-tissue").image()))
    assert metric(page, "Objects") == str(len(objects_of(found, least_area=20)))
    assert "haematoxylin(sample('stained-tissue').image())" in page.code[0].value
    assert "--haematoxylin" in page.code[1].value
    compile(page.code[0].value, "page", "exec")


def test_code_runs_as_it_stands(page: AppTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    page.button(key="sample-shapes").click().run()
    python, commands = (entry.value for entry in page.code[:2])
    monkeypatch.chdir(tmp_path)
    exec(compile(python, "page", "exec"), {})
    assert f"{metric(page, 'Objects')} objects" in capsys.readouterr().out
    for line in commands.splitlines():
        program, *words = shlex.split(line)
        assert (program, main(words)) == ("striate", 0)
    files = {path.name for path in (tmp_path / "found").iterdir()}
    assert files == {"shapes-mask.png", "shapes-overlay.png", "areas.csv", "objects.csv"}
    rows = (tmp_path / "found" / "objects.csv").read_text().splitlines()
    assert len(rows) - 1 == int(metric(page, "Objects"))


@pytest.mark.parametrize("data", [b"", b"GIF89a no picture"], ids=["empty", "no picture"])
def test_bad_upload_says_what_to_do(page: AppTest, data: bytes) -> None:
    upload(page, data)
    assert not page.exception
    assert page.error[0].value == "This picture could not be segmented"
    assert {"**Expected**", "**Got**", "**What to do**"} <= {entry.value for entry in page.markdown}
    page.button(key="sample-shapes").click().run()
    assert not page.error


def test_models_that_cannot_be_used(segmenter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half.safetensors").write_bytes(segmenter.read_bytes()[:1000])
    monkeypatch.setenv("STRIATE_WEIGHTS", str(tmp_path))
    app = AppTest.from_file(str(PAGE), default_timeout=60).run()
    app.selectbox(key="segment-model").set_value(str(tmp_path / "half.safetensors")).run()
    assert not app.exception
    assert app.error[0].value == "This model cannot be used"


def test_without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.apps.models.WEIGHTS", {})
    app = AppTest.from_file(str(PAGE), default_timeout=60).run()
    assert not app.exception
    assert "There is no segmenter" in app.warning[0].value
    assert "striate segment train" in app.code[0].value


def test_errors_while_looking_say_what_to_do(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ModelError("the weights", "a removed file", "load the page again")

    monkeypatch.setattr(worker, "segment", fail)
    page.button(key="sample-cat").click().run()
    assert not page.exception
    assert page.error[0].value == "This picture could not be segmented"
    assert "load the page again" in [entry.value for entry in page.text]


@pytest.mark.skipif("nuclei" not in WEIGHTS, reason="the `nuclei` weights are not in the table yet")
def test_shipped_model_counts_nuclei_in_a_real_photograph() -> None:
    app = AppTest.from_file(str(PAGE), default_timeout=60).run()
    if app.selectbox(key="segment-model").value != "nuclei":
        app.selectbox(key="segment-model").set_value("nuclei").run()
    assert not app.exception
    assert choices("segment")[0] in app.selectbox(key="segment-model").options
    assert "sample('stained-tissue')" in app.code[0].value
    assert int(metric(app, "Objects")) >= 80  # a good part of those that can be told apart by eye
