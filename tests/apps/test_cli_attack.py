"""`striate attack` and `striate robustness`, on the shipped models and on a small one."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from striate.adversarial import ATTACKS, Attack, Pgd
from striate.apps.cli import main
from striate.core.checks import DataError
from striate.core.classifier import Classifier
from striate.core.datasets.smear import blood_smear
from striate.core.images import load_image, resize, save_image
from striate.detection import Detector
from striate.tests.adversarial.test_attack import QUICK
from striate.tests.apps.conftest import Ran
from striate.tests.bow_baseline.stand_ins import as_folders, bands


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
    (["-o", "steps"], 2, "--option as name=value"),
    (["-o", "steps=2.5"], 2, "steps to be a whole number"),
    (["-o", "step=3"], 2, "did you mean 'steps'"),
    (["--epsilon", "x"], 2, "--epsilon as a number or a fraction"),
    (["--epsilon", "1/0"], 2, "--epsilon as a number or a fraction"),
    (["--epsilon", "8"], 2, "divide by 255"),
    (["--target", "seven"], 2, "class to be one of 0, 1"),
    (["--target", "7"], 2, "a target that differs from the label"),
    (["--box", "1,2"], 2, "--box as four whole numbers"),
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


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """Folders of bands, and two classifiers of them."""
    folder = tmp_path_factory.mktemp("bands")
    data = bands(12)
    as_folders(data, folder / "data")
    paths = []
    for name in ("lenet5", "linear"):
        model = Classifier(network=name, image_size=28, channels=1).fit(data, epochs=12, batch_size=8, seed=0)
        paths.append(model.save(folder / f"{name}.safetensors"))
    return folder / "data", paths


def test_curves_of_two_models(trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, (first, second) = trained
    out = tmp_path / "r"
    words = ["robustness", str(data), "-w", str(first), "-w", str(second), "--epsilons", "4/255,0.3", "--count", "6"]
    words += ["--split", "train", "-o", "steps=5", "--transfers", "--jpeg", "--out", str(out)]
    found = said(words, capsys)
    assert [curve["model"] for curve in found["curves"]] == [str(first), str(second)]
    for curve in found["curves"]:
        heights = [point["robust_accuracy"] for point in curve["points"]]
        assert heights == sorted(heights, reverse=True)
        assert curve["points"][0]["pictures"] == 6
    assert np.shape(found["transfer"]["fooled"]) == (2, 2)
    assert set(found["honesty"]) == set(found["jpeg"]) == {str(first), str(second)}
    assert (out / "curves.csv").read_text().count("\n") == 7
    assert "<polyline" in (out / "curves.svg").read_text()
    assert json.loads((out / "robustness.json").read_text())["curves"]
    assert main([*words, "--no-checks"]) == 0
    text = capsys.readouterr().out
    assert "robust accuracy" in text
    assert "fooled: made against (rows)" in text


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_has_its_curve(name: str, trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, (_, linear) = trained
    words = ["robustness", str(data), "-w", str(linear), "--method", name, "--count", "2", "--split", "train"]
    settings = QUICK[name] if name != "one-pixel" else {"pixels": 3, "population": 10, "generations": 2}
    words += [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
    words += ["--out", str(tmp_path / "r"), *(["--distance", "l0"] if name == "one-pixel" else [])]
    (curve,) = said([*words, "--epsilons", "2" if name == "one-pixel" else "0.2"], capsys)["curves"]
    assert curve["distance"] == ("l0" if name == "one-pixel" else "linf")
    if ATTACKS[name].minimal:  # 0.2 in L2 would be no more than 0.004 of each value, and nobody fooled
        assert curve["points"][-1]["success_rate"] > 0
    json.loads((tmp_path / "r" / "robustness.json").read_text(), parse_constant=pytest.fail)


def test_no_attack_is_run_again_for_transfers_and_jpeg(
    trained, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, paths = trained
    ran: list[list[float]] = []

    def counted(attack: Pgd, *given, epsilons: list[float], **keywords):
        ran.append(epsilons)
        return Attack.run(attack, *given, epsilons=epsilons, **keywords)

    monkeypatch.setattr(Pgd, "run", counted)
    words = ["robustness", str(data), *(part for path in paths for part in ("-w", str(path))), "--epsilons", "0.2,0.1"]
    words += ["--count", "3", "--split", "train", "-o", "steps=2", "--no-checks", "--out", str(tmp_path / "r")]
    found = said([*words, "--transfers", "--jpeg"], capsys)
    assert ran == [[0.1, 0.2]] * 2
    for row, curve in enumerate(found["curves"]):
        assert found["transfer"]["fooled"][row][row] == pytest.approx(curve["points"][-1]["success_rate"], nan_ok=True)


def test_gradients_are_checked_in_the_attacks_distance(
    trained, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from striate.adversarial import honesty

    data, (_, linear) = trained
    asked: list[dict] = []

    def broken(*_, **keywords) -> None:
        asked.append(keywords)
        raise DataError("anything", "nothing", "stop")

    monkeypatch.setattr(honesty, "check_gradients", broken)
    words = ["robustness", str(data), "-w", str(linear), "--count", "2", "--split", "train", "-o", "steps=1"]
    for distance in ("linf", "l2"):
        out = tmp_path / distance
        assert main([*words, "--distance", distance, "--out", str(out)]) == 3
        assert "<polyline" in (out / "curves.svg").read_text()  # written before what went wrong
    assert [one["distance"] for one in asked] == ["linf", "l2"]
    capsys.readouterr()


def test_what_robustness_refuses(trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, (first, _) = trained
    words = ["robustness", str(data), "-w", str(first), "--split", "train", "--out", str(tmp_path / "r")]
    assert main([*words, "--count", "0"]) == 3
    assert "pictures to attack" in capsys.readouterr().err
    assert main([*words, "--epsilons", "a"]) == 2
    assert "--epsilons as a number or a fraction" in capsys.readouterr().err
    assert main([*words, "--method", "one-pixel"]) == 2
    assert "budgets in l0, for onepixel got --distance linf" in " ".join(capsys.readouterr().err.split())
    assert main([*words, "--distance", "l7"]) == 2
    assert "distance to be one of" in capsys.readouterr().err


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
