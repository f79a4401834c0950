"""`striate detect`: what it finds, measures and learns is what the Python API finds, measures and learns."""

from __future__ import annotations

import csv
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate.apps.cli_train import MAKE, RECIPE, train
from striate.apps.training_bar import duration, epoch_line, training_bar
from striate.core.datasets.synthetic import write_synthetic
from striate.core.history import Progress
from striate.core.images import load_image
from striate.core.recipe import TrainingOptions
from striate.core.weights import WEIGHTS
from striate.detection import Detector

Run = Callable[..., Any]
FAST = ("--image-size", 64, "--batch-size", 2, "--device", "cpu")


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures of shapes to learn from and two to judge by."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return write_synthetic(folder, 4, 2, scene="shapes", size=(48, 64), seed=0)


def test_defaults_shown_are_the_apis() -> None:
    make = inspect.signature(Detector.__init__).parameters
    recipe = {field.name: field.default for field in fields(TrainingOptions)}
    assert {name: str(make[name].default) for name in MAKE if name != "names"} == {
        name: text for name, text in MAKE.items() if name != "names"
    }
    assert {name: type(recipe[name])(text) for name, text in RECIPE.items()} == recipe
    ours = inspect.signature(train).parameters
    assert {name for name in ours if name in {**make, **recipe} and ours[name].default is not None} == set()


def test_predict_finds_what_the_api_finds(striate: Run, tiny: Path, picture: Path) -> None:
    shown = striate("detect", "predict", picture, "--weights", tiny, "--confidence", 0.01, "--json").json
    found = Detector.load(tiny).predict(picture, confidence=0.01)
    (result,) = shown["results"]
    assert len(found) > 0
    assert result["detections"] == found.to_dict()["detections"]
    assert (shown["schema_version"], shown["task"], shown["names"]) == (1, "detect", ["Platelets", "RBC", "WBC"])
    assert (result["source"], result["height"], result["width"]) == (str(picture), 40, 60)


def test_predict_takes_files_folders_and_patterns_once_each(striate: Run, tiny: Path, picture: Path) -> None:
    folder = picture.parent
    (folder / "copy.png").write_bytes(picture.read_bytes())
    ran = striate("detect", "predict", folder / "*.png", folder, picture, "--weights", tiny, "--json")
    assert [Path(result["source"]).name for result in ran.json["results"]] == ["copy.png", "noise.png"]


def test_predict_keeps_the_classes_asked_for(striate: Run, tiny: Path, picture: Path) -> None:
    def labels(*options: object) -> set[str]:
        arguments = ("detect", "predict", picture, "--weights", tiny, "--confidence", 0.0, "--json", *options)
        return {row["label"] for row in striate(*arguments).json["results"][0]["detections"]}

    assert len(labels()) == 3
    assert labels("--classes", "RBC") == {"RBC"}
    assert labels("--classes", "RBC, WBC") == labels("--classes", "RBC", "--classes", "WBC") == {"RBC", "WBC"}


def test_predict_for_people(striate: Run, tiny: Path, picture: Path) -> None:
    ran = striate("detect", "predict", picture, "--weights", tiny, "--confidence", 0.01)
    assert ran.code == 0
    assert all(word in ran.out for word in ("noise.png", "class", "score"))
    assert "nothing found" in striate("detect", "predict", picture, "--weights", tiny, "--confidence", 0.99).out


def test_drawn_pictures_never_replace_others(striate: Run, tiny: Path, picture: Path) -> None:
    before = picture.read_bytes()
    other = picture.parent / "sub" / picture.name
    other.parent.mkdir()
    other.write_bytes(before)
    arguments = ("detect", "predict", picture, other, "--weights", tiny, "--confidence", 0.01)
    results = striate(*arguments, "--out", picture.parent, "--json").json["results"]
    assert [Path(result["drawn"]).name for result in results] == ["noise-boxes.png", "noise-boxes-2.png"]
    assert picture.read_bytes() == other.read_bytes() == before
    drawn = Detector.load(tiny).predict(picture, confidence=0.01).draw_on(load_image(picture))
    np.testing.assert_array_equal(load_image(results[0]["drawn"]), drawn)


def test_val_measures_what_the_api_measures(striate: Run, shapes: Path, tmp_path: Path) -> None:
    weights = Path(
        striate("detect", "train", shapes, "--out", tmp_path / "run", "--epochs", 1, *FAST, "--json").json["best"]
    )
    shown = striate("detect", "val", shapes, "--weights", weights, "--split", "val", "--json").json
    assert (shown["schema_version"], shown["task"], shown["split"], shown["pictures"]) == (1, "detect", "val", 2)
    assert shown["metrics"] == json.loads(json.dumps(Detector.load(weights).evaluate(shapes, "val")))
    assert {"map50", "map", "per_class"} <= shown["metrics"].keys()
    human = striate("detect", "val", shapes, "--weights", weights)
    assert human.code == 0
    assert all(name in human.out for name in ("map50", "circle", "square", "triangle"))


def test_train_writes_a_run_folder_and_resumes(striate: Run, shapes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ("--epochs", 2, "--learning-rate", 0.001, "--seed", 3, *FAST)
    ran = striate("detect", "train", shapes, "--out", run, *options, "--json")
    assert ran.code == 0, ran.err
    shown = ran.json
    assert (shown["run"], shown["epochs"]) == (str(run), 2)
    assert {"map50", "map", "loss"} <= shown["metrics"].keys()
    assert "epoch 2/2" in ran.err
    for name in ("best", "last"):
        assert Detector.load(shown[name]).names == ("circle", "square", "triangle")
    with (run / "history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2
    asked = json.loads((run / "config.json").read_text())
    assert asked["options"] == {"epochs": 2, "batch_size": 2, "learning_rate": 0.001, "device": "cpu", "seed": 3}
    assert asked["detector"] == {"image_size": 64}
    before = (run / "history.csv").read_bytes()
    again = striate("detect", "train", shapes, "--out", run, "--resume", "--json")  # the options are the saved ones
    assert again.code == 0, again.err
    assert again.json["metrics"] == shown["metrics"]
    assert (run / "history.csv").read_bytes() == before


def test_train_never_writes_over_a_training(striate: Run, tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"mine")
    ran = striate("detect", "train", "data", "--out", tmp_path)
    assert (ran.code, "pass --resume" in ran.err) == (2, True)
    assert (tmp_path / "state.safetensors").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["--resume"], 2, "--out runs/detect/1 --resume", id="resume what"),
        pytest.param(["--resume", "--out", "nowhere"], 2, "leave out --resume", id="resume nothing"),
        pytest.param(["--weights", "{tiny}", "--size", "n"], 2, "drop --size", id="weights and size"),
        pytest.param(["--size", "huge"], 2, "one of n, s", id="unknown size"),
        pytest.param(["--optimizer", "adam2"], 2, "did you mean 'adam", id="unknown optimizer"),
        pytest.param(["--epochs", "0"], 2, "pass epochs above 0", id="no epochs"),
        pytest.param(["--mosaic", "2"], 2, "mosaic", id="no probability"),
        pytest.param(["--split", "tset"], 3, "tset", id="missing split"),
    ],
)
def test_train_refuses(
    striate: Run,
    shapes: Path,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = striate("detect", "train", shapes, *(a.format(tiny=tiny) for a in arguments))
    assert (ran.code, ran.out) == (code, "")
    assert words in " ".join(ran.err.split())
    assert list(tmp_path.iterdir()) == [], "a refused training leaves nothing behind"


def test_runs_are_numbered(striate: Run, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "detect" / "7").mkdir(parents=True)
    shown = striate("detect", "train", shapes, "--epochs", 1, "--val-split", "none", *FAST, "--json").json
    assert shown["run"] == str(Path("runs", "detect", "8"))


def test_interrupted_training_says_how_to_go_on(shapes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["detect", "train", shapes, "--out", run, "--epochs", 100_000, *FAST]
    command = [sys.executable, "-m", "striate.apps.cli", *map(str, words)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )  # fmt: skip
    until = time.monotonic() + 120
    while not (run / "state.safetensors").exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    assert "Traceback" not in err
    assert f"--out {run} --resume" in " ".join(err.split())
    assert Detector.load(run / "last.safetensors").names == ("circle", "square", "triangle")


def test_bar_shows_the_figures_of_each_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    with training_bar() as on_progress:
        on_progress(Progress(1, 3, 1, 2, {"loss": 2.0}, eta_seconds=65.0))
        on_progress(Progress(1, 3, 2, 2, {"loss": 1.5}, {"map50": 0.25}, seconds=3.0, notice="read this"))
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.splitlines() == ["read this", "epoch 1/3  loss 1.5  map50 0.25  0:00:03"]
    assert duration(3725) == "1:02:05"
    assert epoch_line(Progress(2, 3, 1, 1, {}, {"map": 0.5}, seconds=1)) == "epoch 2/3  map 0.5  0:00:01"


def test_export_is_the_detector(striate: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="needs the `export` extra")
    out = tmp_path / "tiny.onnx"
    shown = striate("detect", "export", out, "--weights", tiny, "--pictures", "48x64", "--json").json
    assert (shown["file"], out.is_file(), 0 <= shown["difference"] < 1e-3) == (str(out), True, True)
    sizes: list[tuple[int, int] | None] = []

    def export(self: Detector, path: Path, size: tuple[int, int] | None) -> float:
        sizes.append(size)
        return 2.5e-6

    monkeypatch.setattr(Detector, "export", export)
    ran = striate("detect", "export", out, "--weights", tiny)
    assert (ran.out, "on 16 pictures: 2.5e-06" in " ".join(ran.err.split())) == (f"{out}\n", True)
    assert sizes == [None]


def test_val_refuses_weights_for_other_classes(striate: Run, shapes: Path, tiny: Path) -> None:
    ran = striate("detect", "val", shapes, "--weights", tiny)
    assert (ran.code, ran.out) == (3, "")
    assert "class 'triangle' is unknown: box dropped" in ran.err
    assert "choose weights for this data's classes" in " ".join(ran.err.split())


@pytest.mark.skipif("cells" not in WEIGHTS, reason="the `cells` weights are not in the table yet")
def test_shipped_weights_need_no_option_and_no_network(striate: Run, tmp_path: Path) -> None:
    striate("samples", "--out", tmp_path)
    (result,) = striate("detect", "predict", tmp_path / "smear-1.png", "--json").json["results"]
    assert len(result["detections"]) >= 5
