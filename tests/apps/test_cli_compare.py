"""`striate compare`, from pictures to a report, and the same report again from its config."""

import json
import shlex
from pathlib import Path

import pytest

from striate.apps import cli_compare, duel
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
        (["--between", "tiny,bow"], 2, "contender to be one of linear:epochs=2,least_steps=4, tiny got 'bow'"),
        (["--between", "tiny,tiny"], 2, "two different contenders got 'tiny' twice"),
        (["-c", "bow:name=x"], 2, "write x=bow to give it a name"),
        (["-c", "bow:label=x"], 2, "write x=bow to give it a name"),
        (["-c", "bow:seed=3"], 2, "pass the comparison's seeds, --seeds"),
        (["-c", "bow:words=20.5"], 2, "words to be a whole number of at least 1 got 20.5"),
        (["-c", "bow:words=many"], 2, "words to be a whole number of at least 1 got 'many'"),
        (["-c", "bow:pyramid=5"], 2, "pyramid to be text got int: 5"),
        (["--seeds", "-1"], 2, "seed to be a whole number of at least 0 got -1"),
        (["--shared", "droop"], 2, "did you mean 'drop'"),
        (["--most", "40"], 2, "write --most 40,20"),
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


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ({"seeds": 3}, "seeds: 3"),
        ({"contenders": "bow"}, "contenders: 'bow'"),
        ({"contenders": [3]}, "contenders: [3]"),
        ({"resamples": "many"}, "resamples: 'many'"),
        ({"level": True}, "level: True"),
        ({"colour": "red"}, "the config.json of a report"),
        (["seeds"], "the config.json of a report"),
    ],
)
def test_configs_of_wrong_types(command: object, said: str, folders: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"command": command}))
    words = ["compare", str(folders), "--config", str(tmp_path / "config.json"), "--out", str(tmp_path / "r")]
    assert main(words) == 3
    assert said in " ".join(capsys.readouterr().err.split())


def test_between_is_checked_before_pictures_are_read(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_compare, "pictures", lambda *a, **k: pytest.fail("read"))
    words = ["compare", str(folders), *QUICK, "--fresh", "--out", str(tmp_path / "r"), "--between", "tiny,nobody"]
    assert main(words) == 2


def test_what_the_page_shows_is_what_it_does(folders: Path, tmp_path: Path, capsys) -> None:
    contenders = (QUICK[1], QUICK[3])
    asked = {
        "data": str(folders), "contenders": contenders, "seeds": (1,), "per_class": (2,), "corruptions": "blur",
        "severities": (2,), "resamples": 100, "most": (5, 3),
    }  # fmt: skip
    results, summary = duel.compared(**asked)
    assert (len(results.train), len(results.test)) == (15, 6)
    shown: dict = {}
    exec(duel.as_python(asked), shown)
    assert figures(json.dumps({**shown["summary"].to_dict(), "report": 0, "fitted": 0})) == figures(
        json.dumps({**summary.to_dict(), "report": 0, "fitted": 0})
    )
    command = shlex.split(duel.as_command(asked))[1:]
    assert main([*command, "--fresh", "--json", "--out", str(tmp_path / "r")]) == 0
    third = figures(capsys.readouterr().out)
    for name in ("table", "pairs", "curves", "crossings", "robustness"):
        assert third[name] == figures(json.dumps({**summary.to_dict(), "report": 0, "fitted": 0}))[name]


def test_without_data_a_set_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duel, "SMALL_PER_CLASS", 2)
    monkeypatch.setattr(duel, "SMALL_TEST", 1)
    train, test = duel.pictures(None)
    assert (len(train), len(test)) == (12, 6)
    small = duel.parse_contender("cnn", small=True)
    assert small.name == "cnn"
    assert small.options["image_size"] == duel.SMALL["cnn"]["image_size"]
    assert duel.parse_contender("cnn").options["image_size"] == 96
