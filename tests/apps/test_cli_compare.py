"""`striate compare`, from pictures to a report, and the same report again from its config."""

import json
from pathlib import Path

import pytest

from striate.apps import duel
from striate.apps.cli import main
from striate.tests.bow_baseline.stand_ins import as_folders, bands

QUICK = ["-c", "linear:epochs=2,least_steps=4", "-c", 'tiny=mlp:epochs=2,least_steps=4,options={"hidden":[8]}']


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_folders(bands(8), tmp_path_factory.mktemp("bands"))


def figures(text: str) -> dict:
    found = json.loads(text)
    for row in found["table"]:
        for name in ("fit_seconds", "predict_milliseconds", "peak_bytes"):
            row.pop(name)
    for name in ("report", "fitted"):
        found.pop(name)
    return found


def test_a_report_and_the_same_again(folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", str(folders), *QUICK, "--cache", str(tmp_path / "cache"), "--seeds", "0,1", "--per-class", "3"]
    words += ["--corruptions", "blur,jpeg", "--severities", "2", "--test-share", "0.25", "--resamples", "200"]
    assert main([*words, "--out", str(tmp_path / "one"), "--json"]) == 0
    written = capsys.readouterr()
    first = json.loads(written.out)
    assert first["task"] == "compare"
    assert first["fitted"] == 8
    assert {row["name"] for row in first["table"]} == {"linear:epochs=2,least_steps=4", "tiny"}
    assert "fit tiny, seed 1, all pictures" in written.err
    assert Path(first["report"]).is_file()
    again = ["compare", "--config", str(tmp_path / "one" / "config.json"), "--out", str(tmp_path / "two"), "--json"]
    assert main([*again, "--cache", str(tmp_path / "cache")]) == 0
    second = capsys.readouterr().out
    assert json.loads(second)["fitted"] == 0
    assert figures(second) == figures(written.out)
    assert main([*again, "--fresh"]) == 0  # trained anew, and the same to the last digit
    third = capsys.readouterr().out
    assert json.loads(third)["fitted"] == 8
    assert figures(third) == figures(written.out)


def test_tables_for_people(folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", str(folders), *QUICK, "--fresh", "--resamples", "50", "--between", "tiny,linear:epochs=2"]
    assert main([*words, "--out", str(tmp_path / "r")]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert main([*words[:-2], "--out", str(tmp_path / "r")]) == 0
    said = capsys.readouterr().out
    assert "Accuracy and cost" in said
    assert "points ahead of" in said
    assert f"report: {tmp_path / 'r' / 'report.html'}" in said.replace("\n", "")


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["-c", "bof"], 2, "did you mean 'bow"),
        (["-c", "cnn:epoch=3"], 2, "did you mean 'epochs'"),
        (["-c", "cnn:3"], 2, "write cnn:epochs=20, say"),
        (["-c", "cnn-finetuned"], 2, "pass weights, such as"),
        (["--seeds", "one"], 2, "write --seeds 5,10,20"),
        (["--corruptions", "blurr"], 2, "did you mean 'blur'"),
        (["--severities", "7"], 2, "severities from 1 to 5"),
        (["--per-class", "50"], 3, "50 pictures of each class"),
        (["--between", "linear"], 2, "write --between bow,cnn"),
        (["--test-share", "2"], 2, "a share between 0 and 1"),
        (["--config", "nothing.json"], 3, "config.json of a report"),
    ],
)
def test_faults(
    more: list, code: int, said: str, folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", str(folders), *([] if "-c" in more else QUICK), *more, "--fresh", "--out", str(tmp_path / "r")]
    assert main(words) == code
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "r").exists()


def test_without_data_a_set_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duel, "SMALL_PER_CLASS", 2)
    monkeypatch.setattr(duel, "SMALL_TEST", 1)
    train, test = duel.pictures(None)
    assert (len(train), len(test)) == (12, 6)
    small = duel.parse_contender("cnn", small=True)
    assert small.name == "cnn"
    assert small.options["image_size"] == duel.SMALL["cnn"]["image_size"]
    assert duel.parse_contender("cnn").options["image_size"] == 96
