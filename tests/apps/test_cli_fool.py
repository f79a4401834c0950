"""`striate fool`: pictures in a folder, going on, two models, what is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from striate.apps import cli_fool
from striate.apps.any_classifier import any_classifier
from striate.core.checks import ModelError
from striate.core.classifier import Classifier
from striate.core.images import load_image
from striate.tests.apps.conftest import Ran

Striate = Callable[..., Ran]
QUICK = ("--children", "20", "--batch", "10", "--generations")
FEW = ("--classes", "1,7")


def test_evolve_writes_pictures_that_fool(striate: Striate, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = striate("fool", "evolve", "--weights", "lenet5-mnist", "--out", out, *QUICK, 1, "--json")
    assert (ran.code, ran.json["task"], ran.json["generation"]) == (0, "fool", 1)
    names = sorted(path.name for path in out.iterdir())
    assert names == [
        *(f"{digit}-{digit}.png" for digit in range(10)), "config.json", "fooling.csv", "sheet.png",
        "state.prev.safetensors", "state.safetensors",
    ]  # fmt: skip
    rows = list(csv.DictReader((out / "fooling.csv").read_text().splitlines()))
    pictures = [load_image(out / f"{digit}-{digit}.png") for digit in range(10)]
    again = Classifier.from_pretrained("lenet5-mnist").predict_proba(pictures).diagonal()
    assert [float(row["confidence"]) for row in rows] == pytest.approx(again.tolist())
    assert [one["confidence"] for one in ran.json["results"]] == pytest.approx(again.tolist())


def test_the_table_counts_generations_or_steps_and_says_who_is_fooled(striate: Striate, tmp_path: Path) -> None:
    words = ("--weights", "lenet5-mnist", *FEW, "--out")
    for unit, more in (("generation", ("evolve", *QUICK, 0)), ("steps", ("ascend", "--steps", 1))):
        out = tmp_path / unit
        ran = striate("fool", *more, *words, out)
        assert ran.code == 0
        head = next(line for line in ran.out.splitlines() if "confidence of the PNG" in line)
        assert [part.strip() for part in head.strip("┃").split("┃")] == [
            "class", "confidence of the PNG", "called", "fooled", unit,
        ]  # fmt: skip
        told = {row["class"]: "yes" if row["fooled"] == "True" else "no" for row in _rows(out)}
        shown = [[part.strip() for part in line.strip("│").split("│")] for line in ran.out.splitlines() if "│" in line]
        assert {line[0]: line[3] for line in shown} == told
        assert "no" in told.values()


def _rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "fooling.csv").read_text().splitlines()))


def test_an_evolution_goes_on_where_it_stood(striate: Striate, tmp_path: Path) -> None:
    part, whole = tmp_path / "part", tmp_path / "whole"
    words = ("fool", "evolve", "--weights", "lenet5-mnist", *FEW, "--encoding", "direct", "--seed", 3)
    assert striate(*words, "--out", whole, *QUICK, 3).code == 0
    assert striate(*words, "--out", part, *QUICK, 1).code == 0
    ran = striate("fool", "evolve", "--weights", "lenet5-mnist", "--out", part, "--resume", "--generations", 3)
    assert ran.code == 0
    assert (part / "fooling.csv").read_text() == (whole / "fooling.csv").read_text()
    other = striate("fool", "evolve", "--weights", "lenet5-mnist", "--out", part, "--resume", "--seed", 4)
    assert other.code == 2
    assert "seed=4" in other.err


def test_an_interrupted_evolution_says_how_to_go_on(
    striate: Striate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving = cli_fool._saving

    def interrupted(
        run: Path, asked: dict[str, Any], show: Callable[[int, str, float], None]
    ) -> Callable[[object], None]:
        tell = saving(run, asked, show)

        def then_stop(now: object) -> None:
            tell(now)  # type: ignore[arg-type]
            raise KeyboardInterrupt

        return then_stop

    monkeypatch.setattr(cli_fool, "_saving", interrupted)
    ran = striate("fool", "evolve", "--weights", "lenet5-mnist", *FEW, "--out", tmp_path / "out", *QUICK, 5)
    assert ran.code == 130
    assert "--resume" in ran.err
    assert (tmp_path / "out" / "state.safetensors").is_file()


def test_what_is_refused_leaves_no_folder(striate: Striate, tmp_path: Path) -> None:
    ran = striate("fool", "evolve", "--weights", "lenet5-mnist", "--classes", "nosuch", "--out", tmp_path / "out")
    assert ran.code == 2
    assert not (tmp_path / "out").exists()


def test_a_goal_of_one_never_ends_an_evolution() -> None:
    assert cli_fool._made({"goal": 1.0, "size": "8"}) == {"goal": None, "size": (8, 8)}
    assert cli_fool._made({"goal": 0.9}) == {"goal": 0.9}


def test_ascend_two_models_at_once(striate: Striate, tmp_path: Path) -> None:
    other = Classifier.from_pretrained("lenet5-mnist")
    other.views = "flip"  # the same network, which looks at the mirror image too
    path = other.save(tmp_path / "other.safetensors")
    words = ("fool", "ascend", "--weights", "lenet5-mnist", "--weights", path, "--classes", "1,8", "--steps", 60)
    ran = striate(*words, "--jitter", 1, "--out", tmp_path / "out")
    assert ran.code == 0
    assert "2 of 2 classes fooled" in ran.out
    rows = list(csv.DictReader((tmp_path / "out" / "fooling.csv").read_text().splitlines()))
    assert [row["labels"] for row in rows] == ["1 1", "8 8"]
    assert json.loads((tmp_path / "out" / "config.json").read_text())["make"]["jitter"] == 1


def test_a_bag_of_words_has_no_gradient_to_climb(striate: Striate, tmp_path: Path) -> None:
    ran = striate("fool", "ascend", "--weights", "scenes15-bow", "--size", 64, "--out", tmp_path / "out", "--json")
    assert ran.code == 4
    assert "use evolution" in ran.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("evolve", "--size", "big"), "--size as 64 or 48x64"),
        (("evolve", "--encoding", "pixel"), "encoding to be one of direct, cppn"),
        (("ascend", "--classes", "x"), "class to be one of"),
        (("ascend", "--device", "tpu"), "device to be one of"),
        (("evolve", "--resume"), "--out with --resume"),
        (("climb",), "command of"),
    ],
)
def test_what_cannot_be_done_is_said(striate: Striate, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    out = () if "--resume" in words else ("--out", tmp_path / "out")
    ran = striate("fool", *words, "--weights", "lenet5-mnist", *out)
    assert ran.code == 2
    assert said in " ".join(ran.err.split())


def test_weights_of_something_else_are_no_classifier() -> None:
    with pytest.raises(ModelError, match="weights of a classifier"):
        any_classifier("cells")
    assert any_classifier("lenet5-mnist").names[3] == "3"
