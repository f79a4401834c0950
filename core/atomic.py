"""Writing a file so that a crash at any moment leaves either the old one or the new one, whole.

The order is: a temporary file in the same folder, fsync(file), rename over the old one, fsync(folder). A rename inside
one file system is atomic (POSIX rename(2)); without the fsync before it a power cut may leave the new name on an empty
file, without the one after it the old file may come back.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from .checks import SaveError

# A temporary file that nobody has touched for an hour belongs to a process that was killed: the slowest write seen is
# seconds, and the files of a write that is still going on change all the time.
STALE_SECONDS = 3600.0


def previous_path(path: str | Path) -> Path:
    """Return where the file before the newest one is kept: `cells.safetensors` -> `cells.prev.safetensors`."""
    path = Path(path)
    return path.with_name(f"{path.stem}.prev{path.suffix}")


def atomic_write(path: str | Path, write: Callable[[BinaryIO], object], *, keep_previous: bool = False) -> Path:
    """Write a file whole or not at all.

    Whatever `write` raises, and whatever the disk does, `path` then still holds what it held before and no temporary
    file is left. Only a process killed outright can leave one (`.NAME.*.tmp`); a write to the same path an hour later
    removes it.

    Args:
        path: Where the file goes; its folder must exist. A symbolic link is followed, not replaced.
        write: Called once with the open binary file.
        keep_previous: Keep the file that was there as `previous_path(path)`.

    Returns:
        The path written.

    Raises:
        SaveError: Disk full, folder missing or read-only, or any other `OSError` on the way.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     atomic_write(Path(folder) / "a.txt", lambda file: file.write(b"whole")).read_bytes()
        b'whole'
    """
    target = Path(os.path.realpath(path))
    _check_target(target)
    try:
        with _temporary(target) as fresh, _temporary(target) as held:
            with open(fresh, "xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, fresh)
                if keep_previous:
                    _hold(target, held)
            os.replace(fresh, target)
            if held.exists():
                _keep(held, target)
    except OSError as error:
        raise SaveError(
            f"to write {target}",
            f"{type(error).__name__}: {error.strerror or error}",
            "free some space or choose a folder that can be written to; the file that was there is unchanged",
        ) from error
    _sync_folder(target)
    _remove_stale(target)
    return target


def _check_target(target: Path) -> None:
    if target.is_dir():
        raise SaveError("a file name to write to", f"a folder: {target}", "add a file name to it")
    if not target.parent.is_dir():
        raise SaveError("an existing folder to write into", f"{target.parent}", "create that folder first")
    # A rename would replace even a file marked read-only, because it needs only the folder's permission.
    if target.exists() and not os.access(target, os.W_OK):
        raise SaveError("a file that may be replaced", f"a read-only file: {target}", "choose another name")


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    # The token keeps two processes that save to one name from writing into each other's file.
    path = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        yield path
    finally:
        # A disk that went read-only also refuses this; the first error is the one to report.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _hold(target: Path, held: Path) -> None:
    """Give the old file a second name, so that there is no moment in which neither old nor new has the first."""
    try:
        os.link(target, held)
    except OSError:  # FAT and some network file systems have no hard links: the same, at the price of a copy
        shutil.copy2(target, held)
        _sync_file(held)


def _keep(held: Path, target: Path) -> None:
    """Turn the held old file into the previous one; when that fails, put it back so that nothing has changed."""
    try:
        os.replace(held, previous_path(target))
    except OSError:
        os.replace(held, target)
        raise


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(target: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder, and makes renames durable itself
        return
    try:
        _sync_file(target.parent)
    except OSError as error:
        raise SaveError(
            f"{target} to be safe from a power cut",
            f"{type(error).__name__}: {error.strerror or error}",
            "the file is complete, but check the disk and save it once more",
        ) from error


def _remove_stale(target: Path) -> None:
    for path in target.parent.glob(f".{_literal(target.name)}.*.tmp"):
        with contextlib.suppress(OSError):  # another process may have finished or removed it meanwhile
            # ctime, not mtime: a hard link to an old checkpoint keeps the old mtime but gets a new ctime.
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and time.time() - status.st_ctime > STALE_SECONDS:
                path.unlink()


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "[]*?" else letter for letter in name)
