"""Files of a bag of words that are forged or damaged: refused in three parts, before memory is taken."""

import tracemalloc
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from striate.bow_baseline.bow_classifier import BowClassifier
from striate.core.checkpoints import load_checkpoint, save_checkpoint
from striate.core.checks import CheckpointError
from striate.tests.bow_baseline.test_bow_classifier import SMALL, pictures


@pytest.fixture(scope="module")
def trained() -> BowClassifier:
    return BowClassifier(**SMALL).fit(pictures())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"words": 13}, "centroids float32"),
        ({"pyramid": "1x1"}, "a decider of 12 numbers; got a decider of 60"),
        ({"kernel": "rbf"}, "the arrays .*support.* of 3 classes"),
        (
            {"describer_options": {"step": 6, "bin_sizes": [4], "colour": "opponent"}},
            "descriptors of 128 numbers; got 384",
        ),
        ({"encoder": "fisher"}, "got nothing; restore what"),
        ({"names": ["a", "b"]}, "of 2 classes"),
        ({"encoder": "later"}, "encoder to be one of"),
        ({"gravity": 1}, "unexpected keyword"),
        ({"pyramid": 5}, "pyramid to be text; got int: 5"),
        ({"pyramid": "99x99"}, "a decider of 117612 numbers; got a decider of 60"),
        ({"names": [1, 2, 3]}, "class names that are text"),
        ({"names": 3}, "not iterable"),
        ({"encoder": "grid", "words": None, "encoder_options": {"components": 10**18, "levels": 2}}, "at most 65536"),
    ],
    ids=str,
)
def test_a_model_saved_with_other_options(trained: BowClassifier, tmp_path: Path, options: dict, words: str) -> None:
    path = trained.save(tmp_path / "bow.safetensors")
    tensors, meta = load_checkpoint(path)
    fields = {name: value for name, value in meta.items() if name not in ("sha256", "schema_version")}
    save_checkpoint(path, tensors, {**fields, "config": {**fields["config"], **options}})
    with pytest.raises(CheckpointError, match=f"a BowClassifier checkpoint of this version; got .*{words}"):
        BowClassifier.load(path)


def test_figures_and_tensors_of_another_kind(trained: BowClassifier, tmp_path: Path) -> None:
    path = trained.save(tmp_path / "bow.safetensors")
    tensors, meta = load_checkpoint(path)
    fields = {name: value for name, value in meta.items() if name not in ("sha256", "schema_version")}
    for changed, more in (
        (tensors, {"figures": 5}),
        ({**tensors, "decider.weights": tensors["decider.weights"].long()}, {}),
    ):
        save_checkpoint(path, changed, {**fields, **more})
        with pytest.raises(CheckpointError, match="a BowClassifier checkpoint of this version"):
            BowClassifier.load(path)


def test_a_forged_pyramid_takes_no_memory(trained: BowClassifier, tmp_path: Path) -> None:
    path = trained.save(tmp_path / "bow.safetensors")
    tensors, meta = load_checkpoint(path)
    fields = {name: value for name, value in meta.items() if name not in ("sha256", "schema_version")}
    save_checkpoint(path, tensors, {**fields, "config": {**fields["config"], "pyramid": "99x99"}})
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="a decider of 117612 numbers"):
            BowClassifier.load(path)
        assert tracemalloc.get_traced_memory()[1] < 400_000  # 0.47 MB is the vector
    finally:
        tracemalloc.stop()


def test_tensors_left_over_and_missing(trained: BowClassifier, tmp_path: Path) -> None:
    path = trained.save(tmp_path / "bow.safetensors")
    tensors, meta = load_checkpoint(path)
    fields = {name: value for name, value in meta.items() if name not in ("sha256", "schema_version")}
    for changed in (
        {**tensors, "colour.map": tensors["decider.c"]},
        {**tensors, "encoder.more": tensors["decider.c"]},
        {name: tensor for name, tensor in tensors.items() if name != "decider.weights"},
    ):
        save_checkpoint(path, changed, fields)
        with pytest.raises(CheckpointError, match="a BowClassifier checkpoint of this version"):
            BowClassifier.load(path)
    assert "decider.weights" in load_file(trained.save(path))
