"""Archives: who replaces whom, files that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from striate.adversarial.archive import KIND, Archive
from striate.adversarial.direct import DirectEncoding
from striate.adversarial.evolution import Evolution
from striate.adversarial.lineage import Ancestor, Lineage, switches
from striate.core.checkpoints import load_checkpoint, save_checkpoint
from striate.core.checks import CheckpointError
from striate.tests.adversarial.fooled import Quarters


def empty(cells: int = 2) -> Archive:
    ids = np.arange(cells)
    return Archive(("a", "b", "c"), ids, DirectEncoding(), (8, 8), 1, {}, np.zeros((1, 1, 3), np.float32))


def test_a_child_replaces_every_champion_that_it_surpasses_and_no_other() -> None:
    archive = empty()
    assert archive.offer(["x", "y"], np.float32([[0.5, 0.2], [0.4, 0.3]])).all()
    archive.close_generation()
    assert archive.genomes == ["x", "y"]
    assert archive.confidences.tolist() == pytest.approx([0.5, 0.3])
    better = archive.offer(["p", "q"], np.float32([[0.5, 0.4], [0.1, 0.9]]), np.array([0, 0]))
    archive.close_generation()
    assert better.tolist() == [False, True]  # as sure is not surer
    assert archive.genomes == ["x", "q"]
    assert archive.lineage.homes == [-1, -1, 0]
    archive.offer(["z"], np.float32([[0.99, 0.99]]), np.array([1]))
    archive.close_generation()
    assert archive.genomes == ["z", "z"]
    assert archive.rows[0] == archive.rows[1] == 3
    assert archive.ancestors(0) == (Ancestor(0, "a"), Ancestor(1, "b"), Ancestor(2, "a"))
    assert [switches(archive.ancestors(cell)) for cell in (0, 1)] == [2, 1]
    assert archive.born(1) == archive.generation == 2
    assert len(archive.curve) == 3


def test_a_lineage_comes_back_from_its_array() -> None:
    lineage = Lineage()
    rows = [lineage.add(-1, 0, -1), lineage.add(0, 3, 1)]
    back = Lineage.from_array(lineage.to_array(), 2)
    assert back == lineage
    assert len(back) == 2
    assert back.of(rows[1], 0, ("a", "b")) == (Ancestor(0, "b"), Ancestor(3, "a"))


def test_a_lineage_that_cannot_be_is_refused() -> None:
    for rows in ([[0, 0, 0]], [[-1, 0, 1]], [[-1, 0, -1], [0, 1, 7]], [[-1, -5, -1]], [[1, 2]]):
        with pytest.raises(CheckpointError, match="parents come first"):
            Lineage.from_array(np.array(rows), 2)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a short evolution."""
    path = tmp_path_factory.mktemp("archive") / "state.safetensors"
    return Evolution(generations=1, size=(8, 8), channels=1, children=10, batch=10).run(Quarters()).save(path)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("class_ids", torch.tensor([0, 1, 2, 9])),
        ("class_ids", torch.tensor([0, 1, 1, 2])),
        ("confidences", torch.zeros(3)),
        ("rows", torch.tensor([0, 0, 0, 10**6])),
        ("curve", torch.zeros(5, 4)),
        ("probe", torch.zeros(1, 4, 3)),
        ("lineage", torch.tensor([[5, 0, 0]])),
        ("genomes.weights", torch.full((1,), 99.0)),
    ],
)
def test_an_inconsistent_archive_is_refused(kept: Path, tmp_path: Path, name: str, changed: torch.Tensor) -> None:
    _refused(kept, tmp_path, {name: changed}, {})


@pytest.mark.parametrize(
    "changed", [{"size": [10**6, 10**6]}, {"channels": 2}, {"encoding": "other"}, {"generation": 7}, {"names": 3}]
)
def test_an_archive_with_another_header_is_refused(kept: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    _refused(kept, tmp_path, {}, changed)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "w.safetensors", {}, {"kind": "Classifier"})
    with pytest.raises(CheckpointError, match=KIND):
        Archive.load(tmp_path / "w.safetensors")


def _refused(kept: Path, folder: Path, tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    found, meta = load_checkpoint(kept)
    meta = {name: value for name, value in meta.items() if name not in ("sha256", "schema_version")}
    path = save_checkpoint(folder / "w.safetensors", {**found, **tensors}, {**meta, **header})
    with pytest.raises(CheckpointError, match="an archive of fooling images"):
        Archive.load(path)
