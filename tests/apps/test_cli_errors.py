"""Every mistake ends in one message of three parts and the exit code of its kind."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from striate.apps import cli_info
from striate.core.checks import (
    CheckpointError,
    DataError,
    ExportError,
    ImageError,
    ModelError,
    StriateError,
    TrainingError,
    UsageError,
)

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param("detct", "did you mean 'detect'?", id="misspelt command"),
        pytest.param("detect trian", "did you mean 'train'?", id="misspelt verb"),
        pytest.param("detect train data --epoch 3", "did you mean '--epochs'?", id="misspelt option"),
        pytest.param("detect predict --iou-treshold 1 a.png", "did you mean '--iou-threshold'?", id="misspelt too"),
        pytest.param("detect train data --epochs many", "invalid value for '--epochs'", id="word for a number"),
        pytest.param("detect predict", "see `striate detect predict --help`", id="no picture named"),
        pytest.param("detect train data --epochs", "--epochs", id="option without its value"),
        pytest.param("detect export a.onnx --pictures 640", "--pictures 480x640", id="half a size"),
        pytest.param("detect val data --weights cells --device tpu", "one of cpu, cuda", id="unknown device"),
        pytest.param("app --port 0", "port", id="port out of range"),
        pytest.param("app --host 203.0.113.1", "pass another --port (or --host)", id="address of another machine"),
    ],
)
def test_usage(striate: Run, arguments: str, words: str) -> None:
    ran = striate(*arguments.split())
    assert (ran.code, ran.out) == (2, "")
    assert words in " ".join(ran.err.split())
    assert "UsageError" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError, 2),
        (DataError, 3),
        (ImageError, 3),
        (ModelError, 4),
        (CheckpointError, 4),
        (ExportError, 5),
        (TrainingError, 1),
        (StriateError, 1),
    ],
)
@pytest.mark.parametrize("flag", [[], ["--json"]], ids=["table", "json"])
def test_exit_code_and_three_parts(
    striate: Run, monkeypatch: pytest.MonkeyPatch, error: type[StriateError], code: int, flag: list[str]
) -> None:
    def fail() -> None:
        raise error("one [bold]thing[/bold]", "another", "do this")

    monkeypatch.setattr(cli_info, "versions", fail)
    ran = striate("info", *flag)
    assert (ran.code, ran.out) == (code, "")
    if flag:
        assert json.loads(ran.err) == {
            "schema_version": 1,
            "error": {
                "type": error.__name__,
                "message": "expected one [bold]thing[/bold]; got another; do this",
                "expected": "one [bold]thing[/bold]",
                "got": "another",
                "fix": "do this",
                "exit_code": code,
            },
        }
    else:
        lines = [" ".join(line.split()) for line in ran.err.splitlines()]
        assert lines == [
            f"striate: {error.__name__}",
            "expected one [bold]thing[/bold]",
            "got another",
            "to do do this",
        ]


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        pytest.param(["detect", "predict", "nowhere.png"], 3, "ImageError", id="no such picture"),
        pytest.param(
            ["detect", "predict", "{picture}", "--weights", "none.safetensors"], 4, "ModelError", id="no file"
        ),
        pytest.param(["detect", "predict", "{picture}", "--weights", "cels"], 4, "ModelError", id="unknown weights"),
        pytest.param(["detect", "predict", "{picture}", "--weights", "{picture}"], 4, "CheckpointError", id="picture"),
        pytest.param(["detect", "val", "nowhere", "--weights", "{tiny}"], 3, "DataError", id="no data"),
        pytest.param(["detect", "train", "nowhere"], 3, "DataError", id="no training data"),
        pytest.param(["weights", "path", "nothing"], 4, "ModelError", id="path of unknown weights"),
        pytest.param(["weights", "fetch", "nothing"], 4, "ModelError", id="fetch of unknown weights"),
        pytest.param(
            ["detect", "predict", "{picture}", "--weights", "{tiny}", "--classes", "RBCs"], 2, "UsageError", id="class"
        ),
        pytest.param(
            ["detect", "predict", "{picture}", "--weights", "{tiny}", "--confidence", "7"], 2, "UsageError", id="range"
        ),
        pytest.param(
            ["detect", "val", "{data}", "--weights", "{tiny}", "--split", "x", "--format", "cooc"],
            2,
            "UsageError",
            id="format",
        ),
    ],
)
def test_wrong_input(
    striate: Run, picture: Path, tiny: Path, arguments: list[str], code: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(picture.parent)
    filled = [a.format(picture=picture, tiny=tiny, data=picture.parent) for a in arguments]
    ran = striate(*filled, "--json")
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert json.loads(ran.err.splitlines()[-1])["error"]["type"] == kind


def test_closest_class_is_named(striate: Run, picture: Path, tiny: Path) -> None:
    ran = striate("detect", "predict", picture, "--weights", tiny, "--classes", "rbc")
    assert "did you mean 'RBC'?" in ran.err


def test_one_bad_picture_does_not_cost_the_others(striate: Run, picture: Path, tiny: Path) -> None:
    bad = picture.with_name("bad.png")
    bad.write_bytes(picture.read_bytes()[:50])
    ran = striate("detect", "predict", bad, picture, "--weights", tiny, "--json")
    assert ran.code == 3
    first, second = ran.json["results"]
    assert (first["source"], first["error"]["type"]) == (str(bad), "ImageError")
    assert (second["source"], "error" in second) == (str(picture), False)
    assert json.loads(ran.err)["error"]["exit_code"] == 3


def test_port_in_use(striate: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = striate("app", "--host", "127.0.0.1", "--port", taken.getsockname()[1])
    assert ran.code == 2
    assert "pass another --port" in ran.err


def test_system_errors_are_runtime_errors(striate: Run, picture: Path, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    ran = striate("detect", "predict", picture, "--weights", tiny, "--out", tmp_path / "file" / "out")
    assert ran.code == 1
    assert "Traceback" not in ran.err
    assert "check that the path exists" in ran.err


def test_interrupt(striate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_info, "versions", interrupt)
    ran = striate("info")
    assert (ran.code, ran.out, ran.err.strip()) == (130, "", "striate: interrupted")


def test_a_defect_of_ours_is_not_hidden(striate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect() -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(cli_info, "versions", defect)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        striate("info")
