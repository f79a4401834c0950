"""`striate classify`, from a folder of pictures to a name."""

import csv
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from striate.apps.cli import main
from striate.core.models import MODELS, build
from striate.tests.core.test_classifier import stripes


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stripes")
    for split, seed in (("train", 0), ("val", 1)):
        data = stripes(48, seed=seed)
        for i, label in enumerate(data.labels):
            folder = root / split / data.names[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(data.pictures[i]).save(folder / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def run(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "one"
    words = ["classify", "train", str(folders), "--out", str(run), "--network", "lenet5", "--epochs", "6"]
    assert main([*words, "--batch-size", "8", "--device", "cpu", "--json"]) == 0
    return run


def test_train_writes_a_run_folder(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {"best.safetensors", "last.safetensors", "history.csv", "history.svg", "config.json"} <= names
    assert json.loads((run / "config.json").read_text())["classifier"] == {"network": "lenet5"}
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    figures = json.loads((run / "figures.json").read_text())
    assert figures["top1"] == max(float(row["top1"]) for row in rows)
    assert {"confusion.svg", "calibration.svg"} <= names


def test_val_as_json_and_as_tables(run: Path, folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["classify", "val", str(folders), "--weights", str(run / "best.safetensors")]
    assert main([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["task"] == "classify"
    assert answer["pictures"] == 48
    assert answer["metrics"]["top1"] > 0.8
    assert set(answer["metrics"]) >= {"top1", "top5", "confusion", "per_class", "calibration_error"}
    assert main(words) == 0
    assert "calibration_error" in capsys.readouterr().out


def test_predict(run: Path, folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = str(run / "best.safetensors")
    picture = next((folders / "val" / "down").iterdir())
    assert main(["classify", "predict", str(picture), "--weights", weights]) == 0
    assert f"{picture}: down" in capsys.readouterr().out.replace("\n", "")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    assert main(["classify", "predict", str(picture), str(bad), "--weights", weights, "--json"]) == 3
    results = json.loads(capsys.readouterr().out)["results"]
    assert results[0]["label"] == "down"
    assert set(results[1]) == {"source", "error"}


def test_resume_and_other_faults(run: Path, folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["classify", "train", str(folders), "--out", str(run)]
    assert main(words) == 2
    assert "a training in" in capsys.readouterr().err
    assert main([*words, "--resume", "--json"]) == 0  # it is done, and says so again
    assert json.loads(capsys.readouterr().out)["epochs"] == 6
    for more, said in (
        (["--weights", str(run / "best.safetensors"), "--network", "mlp"], "drop --network"),
        (["--network", "lenet9"], "did you mean 'lenet5'"),
        (["--mean", "a,b"], "write --mean 0.5,0.5,0.5"),
        (["--network", "lenet5", "--widths", "8,8"], "options of 'lenet5'"),
        (["--network", "lenet5", "--dropout", "0.5", "--epochs", "0"], "epochs to be a positive number"),
        (["--epochs", "-3"], "-3   to do     pass epochs above 0"),
        (["--augmentation", "objcts"], "did you mean 'objects'"),
        (["--monitor", "top2"], "did you mean 'top"),
        (["--train-layers", "99"], "layers"),
    ):
        assert main(["classify", "train", str(folders), "--out", str(run / "new"), *more]) == 2
        assert said in capsys.readouterr().err.replace("\n", " ")
        assert not (run / "new").exists()


def test_a_share_of_the_pictures_as_validation(folders: Path, tmp_path: Path, capsys) -> None:
    words = ["classify", "train", str(folders / "train"), "--out", str(tmp_path / "r"), "--network", "linear"]
    assert main([*words, "--epochs", "1", "--val-split", "0.25", "--device", "cpu"]) == 0
    assert "36 pictures, judged by 12 others" in capsys.readouterr().err.replace("\n", " ")


def test_the_lectures_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "lenet5-1998", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["parameters"] == 60_000
    assert [row["name"] for row in answer["layers"]][:3] == ["c1", "squash1", "s2"]
    assert main(["info", "vgg16"]) == 0
    out = capsys.readouterr().out
    assert "138,357,544 parameters, 15.47 G multiply-adds" in out.replace("\n", "")
    assert main(["info", "vgg61"]) == 2
    assert "did you mean 'vgg1" in capsys.readouterr().err.replace("\n", " ")
    assert main(["info"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in MODELS)


def test_borrowed_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(build("squeezenet1.1", 3).state_dict(), tmp_path / "theirs.pth")
    (tmp_path / "names.txt").write_text("cat\ndog\nfox\n")
    out = tmp_path / "ours.safetensors"
    words = ["weights", "borrow", str(tmp_path / "theirs.pth"), "--network", "squeezenet1.1", "--out", str(out)]
    assert main([*words, "--names", str(tmp_path / "names.txt")]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    Image.new("RGB", (40, 30)).save(tmp_path / "picture.png")
    assert main(["classify", "predict", str(tmp_path / "picture.png"), "--weights", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["names"] == ["cat", "dog", "fox"]
    assert main([*words[:-1], str(tmp_path / "x.safetensors"), "--network", "resnet18"]) == 4
    assert "the tensors of" in capsys.readouterr().err
