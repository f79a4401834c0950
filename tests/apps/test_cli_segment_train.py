"""`striate segment train`: the options are the Python API's, and a run folder holds all that came out."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from striate.apps.cli_segment import OBJECTS, train
from striate.apps.cli_segment_train import BACKBONE, FIT, MAKE, RECIPE, SIDES, SIZE, datasets
from striate.core.checks import UsageError
from striate.core.datasets.load_masks import list_mask_splits
from striate.core.datasets.splits import measured_split
from striate.core.recipe import TrainingOptions
from striate.segmentation import Segmenter, model
from striate.segmentation.instances import find_instances
from striate.segmentation.pyramid import Pyramid

Run = Callable[..., Any]
FAST = ("--size", "n", "--image-size", "64x64", "--batch-size", 4, "--device", "cpu", "--warmup-epochs", 1)


def test_defaults_shown_are_the_apis() -> None:
    make, learn = (inspect.signature(part).parameters for part in (Segmenter.__init__, Segmenter.fit))
    recipe = {field.name: field.default for field in fields(TrainingOptions)}
    ours = inspect.signature(train).parameters
    for name in ("network", "augmentation", "loss", "balance", "monitor"):
        assert {**MAKE, **FIT}[name] == str({**make, **learn}[name].default)
    assert {name: type(recipe[name])(text) for name, text in RECIPE.items()} == recipe
    assert {
        name for name in ours if name in {**make, **learn, **recipe} and ours[name].default not in (None, False)
    } <= {"data"}
    assert inspect.signature(Pyramid).parameters["size"].default == SIZE
    assert (model.BACKBONE, "{}x{}".format(*make["image_size"].default)) == (BACKBONE, SIDES)
    assert OBJECTS["method"] == inspect.signature(find_instances).parameters["method"].default


def test_train_writes_a_run_folder_and_resumes(striate: Run, nuclei: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("segment", "train", nuclei, "--out", run)
    options = ("--epochs", 2, "--loss", "cross_entropy+dice", "--balance", 0.5, "--seed", 3, "--monitor", "dice")
    ran = striate(*words, *options, *FAST, "--augmentation", "microscopy", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["run"], ran.json["epochs"]) == (str(run), 2)
    assert {"miou", "dice", "pixel_accuracy", "loss", "dice_loss"} <= ran.json["metrics"].keys()
    assert "8 pictures, judged by 4 others" in ran.err.replace("\n", " ")
    names = {path.name for path in run.iterdir()}
    assert {"best.safetensors", "last.safetensors", "history.csv", "history.svg", "config.json"} <= names
    asked = json.loads((run / "config.json").read_text())
    assert asked["segmenter"] == {"size": "n", "image_size": "64x64"}
    assert asked["fit"]["loss"] == "cross_entropy+dice"
    best = Segmenter.load(run / "best.safetensors")
    assert best.names == ("background", "foreground")
    figures = json.loads((run / "figures.json").read_text())
    assert figures["dice"] == pytest.approx(best.evaluate(nuclei, "val")["dice"])
    assert figures["counts"]["pictures"] == 4
    before = (run / "history.csv").read_bytes()
    again = striate(*words, "--resume", "--json")  # the options are the saved ones
    assert again.code == 0, again.err
    assert again.json["metrics"] == ran.json["metrics"]
    assert (run / "history.csv").read_bytes() == before
    assert "a training in" in striate(*words).err.replace("\n", " ")
    further = striate("segment", "train", nuclei, "--out", tmp_path / "b", "--weights", run / "best.safetensors",
                      "--epochs", 1, "--batch-size", 8, "--device", "cpu", "--val-split", 0.25)  # fmt: skip
    assert further.code == 0, further.err
    assert "6 pictures, judged by 2 others" in further.err.replace("\n", " ")


def test_the_pictures_to_judge_by(nuclei: Path, tmp_path: Path) -> None:
    """A split called like a number, as VOC's "2012", is no share; COCO's and others' "val2017" is the usual one."""
    for kind in ("images", "labels"):
        shutil.copytree(nuclei / kind / "train", tmp_path / kind / "train")
        for name in ("2012", "val2017"):
            shutil.copytree(nuclei / kind / "val", tmp_path / kind / name)
    for asked, counts in (("2012", (8, 4)), (None, (8, 4)), ("0.25", (6, 2))):
        learn, judge = datasets(tmp_path, asked)
        assert judge is not None
        assert (len(learn), len(judge)) == counts
    assert datasets(tmp_path, "none")[1] is None
    assert measured_split(list_mask_splits(tmp_path)) == "val2017"
    with pytest.raises(UsageError, match=r"a share between 0 and 1; got 2013\.0"):
        datasets(tmp_path, "2013")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["--resume"], 2, "--out runs/segment/1 --resume", id="resume what"),
        pytest.param(["--weights", "{weights}", "--size", "n"], 2, "drop --size", id="weights and size"),
        pytest.param(["--network", "fcn4s"], 2, "did you mean 'fcn", id="network"),
        pytest.param(["--size", "huge"], 2, "n, s", id="size"),
        pytest.param(["--image-size", "64"], 2, "write it like --image-size 352x480", id="image size"),
        pytest.param(["--image-size", "60x64"], 2, "multiples of 32", id="image size that does not fit"),
        pytest.param(["--loss", "dicee"], 2, "did you mean 'dice'", id="loss that is nearly one"),
        pytest.param(["--loss", "crossentropy"], 2, "did you mean 'cross_entropy'", id="loss"),
        pytest.param(["--augmentation", "photo"], 2, "did you mean 'photos'", id="augmentation"),
        pytest.param(["--monitor", "iou"], 2, "did you mean 'miou'", id="monitor"),
        pytest.param(["--epochs", "0"], 2, "epochs above 0", id="no epochs"),
        pytest.param(["--val-split", "tset"], 3, "tset", id="missing split"),
    ],
)
def test_train_refuses(
    striate: Run,
    nuclei: Path,
    segmenter: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = striate("segment", "train", nuclei, *(a.format(weights=segmenter) for a in arguments))
    assert (ran.code, ran.out) == (code, "")
    assert words in " ".join(ran.err.split())
    assert list(tmp_path.iterdir()) == [], "a refused training leaves nothing behind"


def test_an_fcn_starts_from_a_classifier(striate: Run, nuclei: Path, tmp_path: Path) -> None:
    ran = striate("segment", "train", nuclei, "--classifier", "lenet5-mnist", *FAST, "--out", tmp_path / "run")
    assert ran.code == 2
    assert "an FCN to start from a classifier" in " ".join(ran.err.split())
