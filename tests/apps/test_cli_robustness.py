"""`striate robustness`, on small networks: curves, defences, transfers, and whether gradients are honest."""

import json
from pathlib import Path

import numpy as np
import pytest

from striate.adversarial import ATTACKS, Attack, Pgd, victims
from striate.apps.cli import main
from striate.bow_baseline import BowClassifier
from striate.core.checks import DataError
from striate.core.classifier import Classifier
from striate.tests.adversarial.test_attack import QUICK
from striate.tests.apps.test_cli_attack import said
from striate.tests.bow_baseline.stand_ins import as_folders, bands


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


def test_gradients_are_checked_within_the_curves_budgets(
    trained, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from striate.adversarial import honesty

    data, (_, linear) = trained
    asked: list[dict] = []

    def broken(*_, **keywords) -> None:
        asked.append(keywords)
        raise DataError("anything", "nothing", "stop")

    monkeypatch.setattr(honesty, "check_gradients", broken)
    words = ["robustness", str(data), "-w", str(linear), "--count", "2", "--split", "train"]
    settings = {"linf": ["0.004,0.008,0.9"], "l2": ["0.02,0.01"], "l0": ["1", "--method", "one-pixel"]}
    expected: list[tuple[str | None, float | None]] = []
    for distance, more in settings.items():
        out, quick = tmp_path / distance, "generations=1" if distance == "l0" else "steps=1"
        assert main([*words, "--distance", distance, "--out", str(out), "-o", quick, "--epsilons", *more]) == 3
        assert "<polyline" in (out / "curves.svg").read_text()  # written before what went wrong
        points = json.loads((out / "robustness.json").read_text())["curves"][0]["points"]
        half = [point["epsilon"] for point in points if point["success_rate"] >= 0.5]
        expected.append((None, None) if distance == "l0" else (distance, (half or [points[-1]["epsilon"]])[0]))
    assert [(one.get("distance"), one.get("epsilon")) for one in asked] == expected
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
    assert main([*words, "--defence", "jpg:75"]) == 2
    assert "did you mean 'jpeg'" in capsys.readouterr().err
    assert main(["robustness", str(data), "-w", "cells"]) == 4
    assert "weights of a classifier" in capsys.readouterr().err


def test_what_nothing_fools_is_undecided(trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, (_, linear) = trained
    words = ["robustness", str(data), "-w", str(linear), "--count", "4", "--split", "train", "-o", "steps=2"]
    words += ["--out", str(tmp_path / "r"), "--epsilons"]
    found = said([*words, "1/255"], capsys)["honesty"][str(linear)]
    assert (found["masked"], found["undecided"], found["epsilon"]) == (False, True, 1 / 255)
    assert [check["passed"] for check in found["checks"]] == [True, None, None, None, True]
    assert found["verdict"].endswith("fooled within linf 0.003922, pass a larger budget")
    assert main([*words, "1/255"]) == 0
    assert f"{linear}: {found['verdict']}" in " ".join(capsys.readouterr().out.split())
    larger = said([*words, "1/255,2/255,0.9"], capsys)["honesty"][str(linear)]
    assert (larger["masked"], larger["undecided"]) == (False, False)


def test_a_network_behind_defences_stands_beside_itself(
    trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, (first, _) = trained
    words = ["robustness", str(data), "-w", str(first), "--count", "4", "--split", "train", "-o", "steps=5"]
    words += ["--epsilons", "0.2", "--transfers", "--jpeg", "--out", str(tmp_path / "r")]
    found = said([*words, "--defence", "blur:3", "--defence", "bits:4"], capsys)
    both = [str(first), f"{first}, defended"]
    assert [curve["model"] for curve in found["curves"]] == both == found["transfer"]["columns"]
    assert found["defences"] == ["blur:3", "bits:4"]
    assert set(found["honesty"]) == set(found["jpeg"]) == set(both)
    clean = [curve["points"][0]["clean_accuracy"] for curve in found["curves"]]
    attacked = [curve["points"][1]["robust_accuracy"] for curve in found["curves"]]
    assert clean[0] == 1
    assert attacked[1] < clean[1]
    assert "defences" not in said([*words, "--no-checks"], capsys)


def test_a_network_is_copied_once(
    trained, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, (first, _) = trained
    copies: list[int] = []
    frozen = victims.frozen

    def counted(network):
        copies.append(1)
        return frozen(network)

    monkeypatch.setattr(victims, "frozen", counted)
    words = ["robustness", str(data), "-w", str(first), "--count", "2", "--split", "train", "-o", "steps=1"]
    said([*words, "--defence", "bits:4", "--transfers", "--jpeg", "--out", str(tmp_path / "r")], capsys)
    assert len(copies) == 1


def test_a_bag_of_words_has_no_gradient_to_pass_a_defence(
    trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, (_, linear) = trained
    dataset = bands(12)
    bag = BowClassifier(words=4, samples=500, seed=0).fit(dataset).save(tmp_path / "bag.safetensors")
    words = ["robustness", str(data), "--count", "2", "--split", "train", "-o", "steps=1", "--no-checks"]
    words += ["--epsilons", "0.1", "--defence", "bits:4", "--out", str(tmp_path / "r"), "-w", str(bag)]
    assert main(words) == 4
    assert "a network behind --defence" in capsys.readouterr().err
    assert main([*words, "-w", str(linear), "--black-box", "noise", "--json"]) == 0
    written = capsys.readouterr()
    names = [curve["model"] for curve in json.loads(written.out)["curves"]]
    assert names == [str(bag), str(linear), f"{linear}, defended"]
    assert f"{bag} is not shown behind the defence" in " ".join(written.err.split())
