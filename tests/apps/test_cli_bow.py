"""`striate bow`, from a folder of pictures to a name and its reasons."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest

from striate.apps import cli_bow
from striate.apps.cli import main
from striate.bow_baseline import BowClassifier
from striate.bow_baseline.bow_parts import DECIDERS
from striate.bow_baseline.descriptors import DenseSift
from striate.core.images import load_image, save_image
from striate.tests.core.test_classifier import stripes

OPTIONS = ["--step", "6", "--bin-sizes", "4", "--encoder", "hard", "--words", "12", "--samples", "1000"]
OPTIONS += ["--pyramid", "1x1+2x2"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stripes")
    for split, seed in (("train", 0), ("val", 1)):
        data = stripes(48, size=40, seed=seed)
        for i, label in enumerate(data.labels):
            folder = root / split / data.names[label]
            folder.mkdir(parents=True, exist_ok=True)
            save_image(data.image(i), folder / f"{i:02}.png")
    return root


@pytest.fixture(scope="module")
def run(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "one"
    assert main(["bow", "train", str(folders), "--out", str(run), *OPTIONS]) == 0
    return run


@pytest.fixture(scope="module")
def weights(run: Path) -> str:
    return str(run / "best.safetensors")


def test_train_writes_a_run_folder(run: Path, weights: str) -> None:
    assert {path.name for path in run.iterdir()} == {"best.safetensors", "figures.json", "config.json"}
    config = json.loads((run / "config.json").read_text())
    assert config["classifier"]["describer_options"] == {"step": 6, "bin_sizes": [4.0]}
    figures = json.loads((run / "figures.json").read_text())
    assert figures["pictures"] == 48
    assert figures["val_top1"] > 0.9
    assert BowClassifier.load(weights).words == 12


def test_train_as_json_with_a_cache_and_a_share_as_validation(folders: Path, tmp_path: Path, capsys) -> None:
    words = ["bow", "train", str(folders / "train"), "--val-split", "0.25", *OPTIONS, "--json"]
    words += ["--encoder", "llc", "--components", "16", "--cache", str(tmp_path / "cache"), "--colour", "opponent"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert (answer["task"], answer["best"]) == ("bow", str(tmp_path / "run" / "best.safetensors"))
    assert set(answer["metrics"]) >= {"val_top1", "cross_validated_top1", "seconds", "c"}
    assert "36 pictures, judged by 12 others" in said.err.replace("\n", " ")
    assert "encoding 36 pictures" in said.err
    assert len(list((tmp_path / "cache").iterdir())) == 49
    nearest = ["--decider", "nearest", "--neighbours", "3", "--metric", "intersection"]
    assert main(["bow", "train", str(folders), "--out", str(tmp_path / "near"), *OPTIONS, *nearest]) == 0
    assert "val_top1" in capsys.readouterr().out


def test_val_as_json_and_as_tables(weights: str, folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bow", "val", str(folders), "--weights", weights]
    assert main([*words, "--split", "train", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["split"] == "train"
    assert main([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["task"], answer["pictures"], answer["split"]) == ("bow", 48, "val")
    assert answer["metrics"]["top1"] > 0.9
    assert set(answer["metrics"]) >= {"top1", "top5", "confusion", "per_class", "calibration_error"}
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "calibration_error" in out
    assert "across" in out


def test_predict(weights: str, folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = sorted((folders / "val" / "down").iterdir())[0]
    assert main(["bow", "predict", str(picture), "--weights", weights]) == 0
    assert f"{picture}: down" in capsys.readouterr().out.replace("\n", "")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    assert main(["bow", "predict", str(picture), str(bad), "--weights", weights, "--json"]) == 3
    answer = json.loads(capsys.readouterr().out)
    assert answer["names"] == ["across", "both", "down"]
    assert answer["results"][0]["label"] == "down"
    assert set(answer["results"][1]) == {"source", "error"}


def test_explain(weights: str, folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = sorted((folders / "val" / "down").iterdir())[0]
    words = ["bow", "explain", str(picture), "--weights", weights, "--out", str(tmp_path / "heat.png")]
    assert main(words) == 0
    said = capsys.readouterr().out.replace("\n", "")
    assert f"{picture}: down: score" in said
    assert "words that say most" in said
    expected = BowClassifier.load(weights).explain(picture)
    assert "score: decision value of the class's SVM, above 0 for the class" in said
    assert f"{expected.base:.3f} without any word" in said
    assert cli_bow.SCORES.keys() == DECIDERS.keys()
    np.testing.assert_array_equal(load_image(tmp_path / "heat.png"), expected.draw_on(load_image(picture)))
    more = ["--label", "across", "--words", str(tmp_path / "words.png"), "--json"]
    assert main([*words, *more]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["label"], answer["method"], answer["drawn"]) == ("across", "exact", str(tmp_path / "heat.png"))
    assert load_image(tmp_path / "words.png").shape == (40, 40, 3)


def test_a_broken_file_is_named_and_the_run_goes_on(folders: Path, tmp_path: Path, capsys) -> None:
    root = tmp_path / "set"
    for i, path in enumerate(sorted((folders / "train").rglob("*.png"))):
        copy = root / "train" / path.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes()
        copy.write_bytes(data[: len(data) // 2] if i == 3 else data)
    assert main(["bow", "train", str(root), "--out", str(tmp_path / "run"), *OPTIONS]) == 0
    said = capsys.readouterr()
    assert "unreadable, left out" in said.err
    assert "47" in said.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["train", "{data}", "--encoder", "fischer"], 2, "did you mean 'fisher'"),
        (["train", "{data}", "--bin-sizes", "4;6"], 2, "write --bin-sizes 4,6,8"),
        (["train", "{data}", "--out", "{run}"], 2, "a model in"),
        (["train", "{data}", "--seed", "-1", "--out", "{new}"], 2, "seed to be a whole number of at least 0 got -1"),
        (["train", "{data}", "--jobs", "0", "--out", "{new}"], 2, "jobs to be a whole number other than 0 got 0"),
        (["val", "{data}", "--weights", "{model}", "--jobs", "0"], 2, "jobs to be a whole number other than 0"),
        (["train", "{data}", "--pyramid", "five"], 2, "levels such as"),
        (["train", "{data}", "--neighbours", "3"], 2, "options of the decider 'svm'"),
        (["train", "{data}", "--words", "9999", "--out", "{new}", *OPTIONS[:4], "--samples", "100"], 3, "fewer words"),
        (["train", "nowhere"], 3, "nothing at nowhere"),
        (["val", "{data}", "--weights", "cells"], 4, "weights for bow"),
        (["val", "{data}", "--weights", "{model}", "--device", "tpu"], 2, "one of cpu, cuda"),
        (["explain", "nowhere.png", "--weights", "{model}", "--out", "{new}.png"], 3, "no file at nowhere.png"),
        (["explain", "{picture}", "--weights", "{model}", "--out", "{new}.png", "--label", "doun"], 2, "'down'"),
        (["explain", "{picture}", "--weights", "{model}", "--out", "{new}.bmp"], 3, "choose .png"),
        (["explane"], 2, "did you mean 'explain'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes(words: list[str], code: int, said: str, run: Path, folders: Path, tmp_path: Path, capsys) -> None:
    places = {
        "data": folders,
        "run": run,
        "model": run / "best.safetensors",
        "new": tmp_path / "new",
        "picture": sorted((folders / "val" / "down").iterdir())[0],
    }
    assert main(["bow", *(word.format(**places) for word in words)]) == code
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "new").exists() or "--words" in words  # nothing is written before the options are right


def test_defaults_shown_are_the_apis() -> None:
    for shown, function in ((cli_bow.MAKE, BowClassifier.__init__), (cli_bow.DENSE, DenseSift.__init__)):
        parameters = inspect.signature(function).parameters
        assert shown == {name: str(p.default) for name, p in parameters.items() if p.default is not p.empty}
