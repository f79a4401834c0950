"""Every program in examples/ is run, in an empty folder and a process of its own, see fork_server.py."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.core.weights import WEIGHTS

Run = Callable[[str, Path], str]
ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = {file.stem: file for file in sorted((ROOT / "examples").rglob("*.py")) if file.stem != "experiment"}
# What a program is given, and a word that it must print.
RUNS = {
    "borrow_weights": ([], "largest difference"),
    "convert_dataset": (["shapes", "train", "coco", "out"], "-> coco"),
    "detect_picture": ([], "RBC"),
    "segment_picture": ([], "nuclei, median area"),
    "train_shapes": (["1"], "map50"),
    **{
        name: (["data", "--pictures", "40", "--epochs", "1"], said)
        for name, said in {
            "dropout_against_overfitting": "dropout 0.5: train error",
            "fcn_strides": "FCN-8s: mIoU",
            "feature_neighbours": "features: ",
            "lenet_robustness": "checkerboard: ",
            "pca_colour": "with PCA colour: test error",
            "plain_or_residual": "residual 56: train error",
            "pooling_kinds": "stochastic: train error",
            "relu_against_tanh": "tanh: 25 % training error after more than 1 epochs",
            "removing_layers": "without either: ",
            "three_3x3_or_one_7x7": "one 7x7: sees 7 pixels",
        }.items()
    },
}
# What the lectures' experiments read; the others of them read pictures of CIFAR's kind.
DIGITS = ("dropout_against_overfitting", "lenet_robustness")


def write_pictures(folder: Path, side: int, channels: int) -> None:
    """Write a few pictures as class folders: ten classes, each of one grey level in noise."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 2)):
        for label in range(10):
            (folder / split / str(label)).mkdir(parents=True)
            for i in range(count):
                picture = 20 * label + rng.integers(0, 60, (side, side, channels)).squeeze()
                Image.fromarray(picture.astype(np.uint8)).save(folder / split / str(label) / f"{i}.png")


def write_masks(folder: Path) -> None:
    """Write a few pictures of CamVid's layout, half of them sky."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for part in (split, f"{split}annot"):
            (folder / part).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)).save(folder / split / f"{i}.png")
            Image.fromarray(np.repeat([0, 3], 24)[:, None].repeat(64, 1).astype(np.uint8)).save(
                folder / f"{split}annot" / f"{i}.png"
            )


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Run a program of `RUNS` in an empty folder and return what it printed."""
    command = [sys.executable, str(ROOT / "tests" / "fork_server.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None

        def ask(name: str, folder: Path) -> str:
            request = {"program": str(EXAMPLES[name]), "arguments": RUNS[name][0], "folder": str(folder)}
            print(json.dumps(request), file=server.stdin, flush=True)
            answer = json.loads(server.stdout.readline())
            assert answer["status"] == 0, answer["err"][-3000:]
            return answer["out"]

        yield ask
        server.stdin.close()


def test_every_example_is_run() -> None:
    assert set(RUNS) == set(EXAMPLES)


@pytest.mark.parametrize("name", RUNS)
def test_example(name: str, run: Run, tmp_path: Path) -> None:
    if name == "segment_picture" and "nuclei" not in WEIGHTS:
        pytest.skip("the `nuclei` weights are not in the table yet")
    if name == "convert_dataset":
        from striate.core.datasets.synthetic import write_synthetic

        write_synthetic(tmp_path / "shapes", n_train=2, n_val=1, scene="shapes", seed=0)
    if name == "fcn_strides":
        write_masks(tmp_path / "data")
    elif EXAMPLES[name].parent.name == "lectures":
        write_pictures(tmp_path / "data", *((28, 1) if name in DIGITS else (32, 3)))
    said = run(name, tmp_path)
    assert RUNS[name][1] in said
    if name == "borrow_weights":  # the same answer as theirs
        assert float(said.split(":")[1].split()[0]) < 1e-5


def test_a_program_that_fails_is_noticed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, said in (("raise ValueError('a fault')", "a fault"), ("raise SystemExit('no data')", "no data")):
        (tmp_path / "bad.py").write_text(text)
        monkeypatch.setitem(EXAMPLES, "bad", tmp_path / "bad.py")
        monkeypatch.setitem(RUNS, "bad", ([], ""))
        with pytest.raises(AssertionError, match=said):
            run("bad", tmp_path)
