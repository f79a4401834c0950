"""Every program in examples/ is run, in an empty folder and a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = {file.stem: file for file in sorted((ROOT / "examples").glob("*.py"))}
# What a program is given, and a word that it must print.
RUNS = {
    "borrow_weights": ([], "largest difference"),
    "convert_dataset": (["shapes", "train", "coco", "out"], "-> coco"),
    "detect_picture": ([], "RBC"),
    "train_shapes": (["1"], "map50"),
}


def run(name: str, folder: Path) -> str:
    arguments, _ = RUNS[name]
    # Warnings are errors here as in the tests, except in the libraries' own start-up.
    command = [sys.executable, str(EXAMPLES[name]), *arguments]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return finished.stdout


def test_every_example_is_run() -> None:
    assert set(RUNS) == set(EXAMPLES)


@pytest.mark.parametrize("name", RUNS)
def test_example(name: str, tmp_path: Path) -> None:
    if name == "convert_dataset":
        from striate.core.datasets.synthetic import write_synthetic

        write_synthetic(tmp_path / "shapes", n_train=2, n_val=1, scene="shapes", seed=0)
    assert RUNS[name][1] in run(name, tmp_path)


def test_borrowed_weights_give_the_same_answer(tmp_path: Path) -> None:
    difference = float(run("borrow_weights", tmp_path).split(":")[1].split()[0])
    assert difference < 1e-5
