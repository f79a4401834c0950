"""`striate classify train --adversary`: words on the command line, an adversary in the training."""

import json
from pathlib import Path

import pytest
from PIL import Image

from striate.adversarial.training import AdversarialTraining
from striate.apps.cli import main
from striate.core.checkpoints import load_state
from striate.tests.core.test_classifier import stripes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stripes")
    data = stripes(24, seed=0)
    for i, label in enumerate(data.labels):
        (root / data.names[label]).mkdir(exist_ok=True)
        Image.fromarray(data.pictures[i]).save(root / data.names[label] / f"{i}.png")
    return root


def words(folder: Path, run: Path, *more: str) -> list[str]:
    made = ["classify", "train", str(folder), "--out", str(run), "--network", "strided", "--widths", "4,8,8"]
    return [*made, "--epochs", "1", "--batch-size", "12", "--val-split", "none", "--device", "cpu", *more]


def test_the_words_reach_the_training_and_are_kept_for_its_resume(folder: Path, tmp_path: Path) -> None:
    given = "trades,epsilon=8/255,steps=2,beta=3"
    assert main(words(folder, tmp_path / "run", "--adversary", given)) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["fit"]["adversary"] == given
    state, _ = load_state(tmp_path / "run" / "state.safetensors")
    assert state["identity"]["adversary"] == AdversarialTraining(8 / 255, 2, method="trades", beta=3).settings()
    header, row = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert "divergence_loss" in header
    assert float(row.split(",")[header.split(",").index("divergence_loss")]) > 0
    again = ["classify", "train", str(folder), "--out", str(tmp_path / "run"), "--resume"]
    assert main(again) == 0
    assert main([*again, "--adversary", "pgd,epsilon=0.3"]) != 0


def test_words_that_make_no_adversary_write_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for given, said in (("pdg,epsilon=0.1", "did you mean 'pgd'"), ("pgd", "write pgd,epsilon=8/255")):
        assert main(words(folder, tmp_path / "run", "--adversary", given)) == 2
        assert said in capsys.readouterr().err.replace("\n", " ")
        assert not (tmp_path / "run" / "state.safetensors").exists()
