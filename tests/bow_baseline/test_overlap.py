"""Pictures that are trained on and measured on: found by their pixels, refused unless asked otherwise."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from striate.bow_baseline.compare import Comparison
from striate.bow_baseline.contender import Contender
from striate.core.checks import DataError, UsageError
from striate.core.datasets.classes import ClassDataset, from_arrays
from striate.core.datasets.doctor import examine
from striate.tests.bow_baseline.stand_ins import as_folders, bands, means


def sets() -> tuple[ClassDataset, ClassDataset]:
    """Two pictures of the test set are in the training set too, one of them under another label."""
    train, test = bands(6), bands(4, seed=1)
    pictures = train.pictures.copy()
    pictures[4], pictures[7] = test.pictures[1], test.pictures[0]
    return from_arrays(pictures, train.labels, train.names), test


def fixed() -> Contender:
    """One that learns nothing."""
    return Contender(
        "fixed", lambda train, seed: SimpleNamespace(predict_proba=lambda images: np.eye(2)[[0] * len(images)])
    )


def test_they_are_refused_and_named() -> None:
    train, test = sets()
    with pytest.raises(DataError, match=r"not measured on; got 2 of 18 in both: .*train picture 4 = .*; take them out"):
        Comparison([means("a")[0]]).run(train, test)


def test_they_are_dropped_or_kept_and_reported() -> None:
    train, test = sets()
    dropped = Comparison([means("a")[0]], shared="drop").run(train, test)
    assert (len(dropped.train), len(dropped.test)) == (16, 12)
    assert dropped.config["shared"] == "drop"
    assert "2 pictures are in both sets and were left out of training" in dropped.notices[0]
    kept = Comparison([means("a")[0]], shared="keep").run(train, test)
    assert len(kept.train) == 18
    assert "trained on all the same" in kept.notices[0]
    assert dropped.config["train"] != kept.config["train"]
    assert Comparison([means("a")[0]]).run(bands(6), test).notices == []


def test_the_doctor_finds_the_same(tmp_path: Path) -> None:
    train, test = sets()
    as_folders(train, tmp_path, "train")
    as_folders(test, tmp_path, "test")
    (found,) = [one for one in examine(tmp_path) if one.kind == "shared between splits"]
    assert found.text.startswith("2 pictures")


def test_pictures_that_look_alike_are_told() -> None:
    shades = np.random.default_rng(0).integers(0, 255, (4, 8, 9)).astype(np.uint8)
    large, small = (shades.repeat(n, 1).repeat(n, 2) for n in (4, 3))
    train, test = (from_arrays(pictures, [0, 1, 0, 1], ("a", "b")) for pictures in (large, small))
    results = Comparison([fixed()]).run(train, test)
    assert any("look like one of another split" in line for line in results.notices)


def test_other_ways_are_unknown() -> None:
    with pytest.raises(UsageError, match="shared to be one of refuse, drop, keep; got 'droop'; did you mean 'drop'"):
        Comparison([means("a")[0]], shared="droop")
