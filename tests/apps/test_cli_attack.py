"""`striate attack`, on the shipped models."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from striate.adversarial import ATTACKS
from striate.apps.cli import main
from striate.apps.cli_attack import attack_names
from striate.core.classifier import Classifier
from striate.core.datasets.smear import blood_smear
from striate.core.images import load_image, resize, save_image
from striate.detection import Detector
from striate.tests.apps.conftest import Ran


@pytest.fixture(scope="module")
def digit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seven, as MNIST frames it."""
    image = np.zeros((28, 28, 3), np.uint8)
    for start, end in (((8, 6), (19, 6)), ((19, 6), (12, 22))):
        cv2.line(image, start, end, (255, 255, 255), 2, cv2.LINE_AA)
    return save_image(image, tmp_path_factory.mktemp("digit") / "seven.png")


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_digit_is_misread(digit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["attack", str(digit), "--weights", "lenet5-mnist", "--epsilon", "64/255", "-o", "steps=30"]
    out, drawing = tmp_path / "out.png", tmp_path / "drawing.png"
    found = said([*words, "--out", str(out), "--drawing", str(drawing)], capsys)
    assert found["task"] == "attack"
    assert found["success"]
    assert found["label_before"] == "7"
    assert found["norms"]["linf"] <= 64 / 255 + 1e-9
    assert "steps=30" in found["attack"]
    assert Classifier.from_pretrained("lenet5-mnist").predict(out).label == found["label_after"] != "7"
    assert load_image(drawing).shape[1] > 700
    aimed = said([*words, "--target", "2", "--confidence", "0.6", "--epsilon", "0.4"], capsys)
    assert aimed["target"] == "2"
    assert aimed["success"] == (aimed["label_after"] == "2" and aimed["confidence"] >= 0.6)
    assert main([*words, "--box", "0,0,14,28", "--outside"]) == 0
    assert "pgd" in capsys.readouterr().out.lower()


def test_cells_vanish_and_a_mask_flips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    smear = save_image(resize(blood_smear(seed=7)[0], (128, 128)), tmp_path / "smear.png")
    quick = ["-o", "steps=8", "-o", "random_start=false"]
    detector = Detector.from_pretrained("cells")
    detector.image_size = 128  # a tenth of the time
    cells = str(detector.save(tmp_path / "cells.safetensors"))
    found = said(["attack", str(smear), "--weights", cells, *quick, "--epsilon", "16/255"], capsys)
    assert found["success"]
    plain = save_image(np.full((64, 64, 3), 60, np.uint8), tmp_path / "plain.png")
    words = ["attack", str(plain), "--weights", "nuclei", *quick, "--epsilon", "0.3", "--box", "16,16,48,48"]
    assert main(words) == 2
    assert "--target for a segmenter" in capsys.readouterr().err
    assert "success" in said([*words, "--target", "nucleus"], capsys)
    assert main([*words, "--label", "nucleus"]) == 2
    assert "a classifier with those options" in capsys.readouterr().err


WRONG = [
    (["--method", "pdg"], 2, "did you mean 'pgd'"),
    (["--method", "foo"], 2, "choose one of those names"),
    (["-o", "steps"], 2, "--option as name=value"),
    (["-o", "steps=2.5"], 2, "steps to be a whole number"),
    (["-o", "step=3"], 2, "did you mean 'steps'"),
    (["--epsilon", "x"], 2, "--epsilon as a number or a fraction"),
    (["--epsilon", "1/0"], 2, "--epsilon as a number or a fraction"),
    (["--epsilon", "8"], 2, "divide by 255"),
    (["--target", "seven"], 2, "class to be one of 0, 1"),
    (["--target", "7"], 2, "a target that differs from the label"),
    (["--box", "1,2"], 2, "--box as four whole numbers"),
    (["--box", "20,0,29,28"], 2, "a box (x0, y0, x1, y1) inside (0, 0, 28, 28)"),
    (["--outside"], 2, "--box with --outside"),
    (["--weights", "nobody"], 4, "nobody"),
    (["--out", "x.jpg"], 3, "a file name that ends in .png"),
]


@pytest.mark.parametrize(("words", "code", "text"), WRONG, ids=[" ".join(words) for words, _, _ in WRONG])
def test_wishes_that_are_refused(
    words: list[str], code: int, text: str, digit: Path, capsys: pytest.CaptureFixture[str], monkeypatch, tmp_path
) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ["-o", "steps=1"] if "--method" not in words else []
    given = [] if "--weights" in words else ["--weights", "lenet5-mnist"]
    assert main(["attack", str(digit), *given, *quick, *words]) == code
    assert text in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("option", "file", "said"),
    [("--out", "f.jpg", "ends in .png"), ("--drawing", "w.xyz", "ends in"), ("--out", "no/f.png", "no such folder")],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_attack(
    striate: Callable[..., Ran], option: str, file: str, said: str, tmp_path: Path
) -> None:
    save_image(np.full((32, 32, 3), 99, np.uint8), tmp_path / "grey.png")
    ran = striate("attack", tmp_path / "grey.png", "--weights", "no-such-weights", option, tmp_path / file)
    assert ran.code != 0
    assert said in ran.err  # and not that there are no such weights


def test_the_help_names_every_attack(striate: Callable[..., Ran]) -> None:
    assert attack_names() == tuple(ATTACKS)
    told = re.sub(r"[^a-z-]+", " ", striate("attack", "--help").out)
    assert all(name in told for name in ATTACKS)
