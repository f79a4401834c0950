"""Named weights are found without a network, verified, and never replaced by anything else."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from striate.core import weights
from striate.core.checks import ModelError, UsageError
from striate.core.models import MODELS
from striate.core.weights import WEIGHTS, Table, cache_folder, fetch, register, resolve, sha256_of

ROW: dict[str, Any] = {
    "task": "detect", "licence": "Apache-2.0", "data_licence": "MIT", "figures": {"map50": 0.9},
}  # fmt: skip
CONTENT = b"weights" * 1000


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An embedded folder with `cells` and a table that also knows `large`, which has to be fetched."""
    folder = tmp_path / "package"
    folder.mkdir()
    for name in ("cells", "large"):
        (folder / f"{name}.safetensors").write_bytes(CONTENT + name.encode())
    register(folder / "cells.safetensors", index=folder / "index.json", **ROW)
    large = ROW | {"task": "segment", "url": "https://example.org/large.safetensors"}
    register(folder / "large.safetensors", index=folder / "index.json", **large)
    (folder / "large.safetensors").unlink()
    monkeypatch.setattr(weights, "EMBEDDED", folder)
    return folder


@pytest.fixture
def table(package: Path) -> Table:
    return Table(package / "index.json")


def test_register_measures_the_file(package: Path, table: Table) -> None:
    row, path = table["cells"], package / "cells.safetensors"
    assert (row.name, row.file, row.card, row.url) == ("cells", "cells.safetensors", "cells.md", None)
    assert (row.size, row.sha256) == (path.stat().st_size, sha256_of(path))
    assert (row.task, row.licence, row.data_licence, row.figures) == tuple(ROW.values())
    assert list(table) == ["cells", "large"]
    text = (package / "index.json").read_text()
    register(path, index=package / "index.json", **ROW)
    assert (package / "index.json").read_text() == text


def test_embedded_weights_are_found(package: Path, table: Table) -> None:
    assert resolve("cells", table=table) == package / "cells.safetensors"
    assert resolve("cells", "detect", table=table) == package / "cells.safetensors"
    assert fetch("cells", table=table) == package / "cells.safetensors"


def test_folders_are_searched_in_order(
    package: Path, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    cache_folder().mkdir(parents=True)
    content = (package / "cells.safetensors").read_bytes()
    (cache_folder() / "cells.safetensors").write_bytes(content)
    (given / "cells.safetensors").write_bytes(content)
    assert resolve("cells", table=table).parent == package
    monkeypatch.setenv("STRIATE_WEIGHTS", str(given))
    assert resolve("cells", table=table).parent == given
    (given / "cells.safetensors").unlink()
    assert resolve("cells", table=table).parent == package
    (package / "cells.safetensors").unlink()
    assert resolve("cells", table=table).parent == cache_folder()


def test_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == tmp_path / "cache" / "striate"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "striate"


def test_weights_not_fetched_yet_say_how(table: Table) -> None:
    with pytest.raises(ModelError, match="'large' on this machine; got none; run: striate weights fetch large"):
        resolve("large", table=table)


def test_unknown_name_lists_names_and_the_closest(table: Table) -> None:
    for ask in (resolve, fetch):
        with pytest.raises(ModelError, match=r"one of cells, large; got 'cell'; did you mean 'cells'\?"):
            ask("cell", table=table)


def test_another_task_is_refused(table: Table) -> None:
    with pytest.raises(ModelError, match="weights for segment: large; got 'cells', which are for detect"):
        resolve("cells", "segment", table=table)


@pytest.mark.parametrize("content", [CONTENT, CONTENT + b"cellz"], ids=["size", "one byte"])
def test_a_file_that_is_not_the_one_of_the_table(package: Path, table: Table, content: bytes) -> None:
    (package / "cells.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"cells\.safetensors of 7005 bytes, SHA-256 .*weights fetch cells"):
        resolve("cells", table=table)


def test_embedded_weights_that_are_gone(package: Path, table: Table) -> None:
    (package / "cells.safetensors").unlink()
    with pytest.raises(ModelError, match=r"inside the package.*install Striate again"):
        fetch("cells", table=table)


def test_paths_are_taken_as_they_are(tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.safetensors"
    path.write_bytes(b"x")
    Path("cells").write_bytes(b"x")
    for given in (path, str(path), "mine.safetensors", "./cells", Path("cells")):
        assert resolve(given, table=table).read_bytes() == b"x"
    assert resolve("cells", table=table) != Path("cells")  # a bare word is always a name


@pytest.mark.parametrize(
    ("given", "words"),
    [("none.safetensors", "no such file"), ("./cells", "no such file"), (".", "a folder"), (Path("x"), "no such file")],
)
def test_paths_that_are_no_file(
    tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch, given: str | Path, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=rf"a checkpoint file, or one of cells, large; got {words}"):
        resolve(given, table=table)


def test_weights_folder_that_does_not_exist(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_WEIGHTS", "/nowhere/at/all")
    with pytest.raises(UsageError, match="STRIATE_WEIGHTS to name an existing folder"):
        resolve("cells", table=table)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "readable table.*install Striate again"),
        ("[]", "readable table"),
        ('{"schema_version": 1, "weights": {"a": {"size": 3}}}', "readable table"),
        ('{"schema_version": 9, "weights": {}}', "version 1; got 9 in .*; update Striate"),
    ],
)
def test_table_that_cannot_be_used(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(ModelError, match=words):
        list(Table(tmp_path / "index.json"))


def test_table_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="readable table"):
        resolve("cells", table=Table(tmp_path / "index.json"))


def test_the_shipped_table_agrees_with_the_shipped_files() -> None:
    rows = json.loads(weights.INDEX.read_text())["weights"]
    assert set(rows) == set(WEIGHTS)
    files = {path.name for path in weights.EMBEDDED.glob("*.safetensors")}
    assert {row.file for row in WEIGHTS.values() if row.url is None} == files
    for name, row in WEIGHTS.items():
        assert row.url is None or row.url.startswith("https://")
        assert row.licence
        assert row.data_licence
        assert (weights.EMBEDDED / row.card).is_file()
        if row.url is None:
            assert resolve(name).parent == weights.EMBEDDED


def test_torchvision_names_its_files_by_their_digest() -> None:
    borrowed = [row for row in WEIGHTS.values() if row.network]
    assert len(borrowed) == 8
    for row in borrowed:
        assert row.network in MODELS
        assert row.sha256.startswith(Path(row.file).stem.rpartition("-")[2])
        assert len(row.sha256) == 64
        with pytest.raises(ModelError, match=f"run: striate weights fetch {row.name}"):
            resolve(row.name)
