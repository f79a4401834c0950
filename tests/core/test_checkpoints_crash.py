"""After a full disk, a read-only folder or kill -9 at any step of a save, nothing that the user had is lost."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from striate.core import atomic
from striate.core.atomic import STALE_SECONDS
from striate.core.checkpoints import atomic_write, load_checkpoint, previous_path, save_checkpoint
from striate.core.checks import SaveError


def save(path: Path, value: int) -> None:
    save_checkpoint(path, {"w": torch.full((1000,), value)}, {"kind": "Test", "value": value})


def value(path: Path) -> int:
    tensors, meta = load_checkpoint(path)
    assert (tensors["w"] == meta["value"]).all()
    return int(meta["value"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A checkpoint (2) with a previous one (1)."""
    path = tmp_path / "runs" / "last.safetensors"
    path.parent.mkdir()
    save(path, 1)
    save(path, 2)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def failing(monkeypatch: pytest.MonkeyPatch, name: str, call: int, code: int) -> None:
    """Make the `call`-th call of os.<name> (counted from 0) fail, and every later one."""
    original, calls = getattr(os, name), 0

    def fails(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > call:
            raise OSError(code, os.strerror(code))
        return original(*args, **kwargs)

    monkeypatch.setattr(os, name, fails)


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Let the system itself refuse to make any file longer than `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_disk_full_at_any_byte(path: Path) -> None:
    before = contents(path.parent)
    length = len(before[path.name])
    for size in [*range(0, length, 97), length - 1]:
        with disk_of(size), pytest.raises(SaveError, match="File too large") as caught:
            save(path, 3)
        assert all((caught.value.expected, caught.value.got, caught.value.fix))
        assert contents(path.parent) == before
    with disk_of(length):
        save(path, 3)
    assert (value(path), value(previous_path(path))) == (3, 2)


@pytest.mark.parametrize("keep_previous", [True, False])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO], ids=errno.errorcode.get)
@pytest.mark.parametrize(("name", "call"), [("fsync", 0), ("replace", 0)])
def test_a_step_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: int, code: int, keep_previous: bool
) -> None:
    before = contents(path.parent)
    failing(monkeypatch, name, call, code)
    with pytest.raises(SaveError, match="the file that was there is unchanged") as caught:
        atomic_write(path, lambda file: file.write(b"new"), keep_previous=keep_previous)
    assert os.strerror(code) in caught.value.got
    assert isinstance(caught.value.__cause__, OSError)
    assert contents(path.parent) == before


def test_keeping_the_previous_one_fails_and_is_undone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(path.parent)
    original, calls = os.replace, []

    def fails(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "full")
        original(*args)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(SaveError, match="full"):
        save(path, 3)
    assert len(calls) == 3
    assert contents(path.parent) == before


def test_folder_that_cannot_be_synced_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "fsync", 1, errno.EIO)
    with pytest.raises(SaveError, match=r"safe from a power cut.*complete, but check the disk"):
        save(path, 3)
    assert (value(path), value(previous_path(path))) == (3, 2)
    assert len(contents(path.parent)) == 2


def test_read_only_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(path.parent)

    def refuses(file: Path, mode: str) -> None:  # a mode bit would not do: the superuser may write anywhere
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(file))

    monkeypatch.setattr(atomic, "open", refuses, raising=False)
    with pytest.raises(SaveError, match="Read-only file system"):
        save(path, 3)
    assert contents(path.parent) == before


def test_read_only_file_is_not_replaced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(path.parent)
    monkeypatch.setattr(os, "access", lambda file, mode: not (Path(file) == path and mode == os.W_OK))
    with pytest.raises(SaveError, match="a read-only file"):
        save(path, 3)
    assert contents(path.parent) == before


def test_without_hard_links_a_copy_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "link", 0, errno.EPERM)
    save(path, 3)
    assert (value(path), value(previous_path(path))) == (3, 2)
    before = contents(path.parent)
    assert len(before) == 2

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(SaveError, match="full"):
        save(path, 4)
    assert contents(path.parent) == before


@pytest.mark.parametrize("error", [KeyError("bug"), KeyboardInterrupt()], ids=["bug", "ctrl-c"])
def test_writer_that_raises_leaves_no_trace(path: Path, error: BaseException) -> None:
    before = contents(path.parent)

    def write(file: Any) -> None:
        file.write(b"half")
        raise error

    with pytest.raises(type(error)):
        atomic_write(path, write)
    assert contents(path.parent) == before


def test_first_save_that_fails_leaves_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "replace", 0, errno.ENOSPC)
    with pytest.raises(SaveError):
        save(tmp_path / "a.safetensors", 1)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="a file name to write to; got a folder"):
        atomic_write(tmp_path, lambda file: None)


def test_a_link_is_followed_and_mode_kept(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.safetensors"
    link.symlink_to(path)
    path.chmod(0o600)
    save(link, 3)
    assert link.is_symlink()
    assert (value(path), value(previous_path(path))) == (3, 2)
    assert path.stat().st_mode & 0o777 == 0o600


def test_remains_of_a_killed_save_are_removed_when_old(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = path.with_name(f".{path.name}.0123456789ab.tmp")
    other = path.with_name(".best.safetensors.0123456789ab.tmp")
    for file in (left, other):
        file.write_bytes(b"half")
    save(path, 3)
    assert left.exists()  # it may belong to a save that is going on
    now = atomic.time.time()
    monkeypatch.setattr(atomic.time, "time", lambda: now + STALE_SECONDS + 1)
    save(path, 4)
    assert not left.exists()
    assert other.exists()


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """One row for each moment at which a save was killed, from a process of its own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    probe = Path(__file__).with_name("kill_probe.py")
    done = subprocess.run(
        [sys.executable, str(probe), str(tmp_path_factory.mktemp("killed"))],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_kill_at_every_step_leaves_a_valid_newest_file(killed: list[dict[str, Any]]) -> None:
    assert len(killed) == 22
    for row in killed:
        assert row["killed"], row
        assert row["newest"] in (2, 3), row
        assert row["previous"] in (1, 2), row
        assert not row["strangers"], row


def test_kill_before_the_rename_leaves_the_old_one_and_after_it_the_new_one(killed: list[dict[str, Any]]) -> None:
    for row in killed:
        assert row["newest"] == (2 if row["case"] in EARLY else 3), row


EARLY = ("write", "before 0 fsync", "after 0 fsync", "before 1 link", "after 1 link", "before 2 replace")


def test_the_next_save_after_a_kill_works(killed: list[dict[str, Any]]) -> None:
    assert all(row["newest_after"] == 4 for row in killed)
    assert all(row["previous_after"] == row["newest"] for row in killed)
