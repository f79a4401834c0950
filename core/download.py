"""Downloading one known file: over https, going on where it stopped, and named only once its SHA-256 is right."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from .checks import ModelError, SaveError

ATTEMPTS = 5  # in a row without progress
PAUSE_SECONDS = 0.5  # before the second attempt, twice that before the third, ...
TIMEOUT_SECONDS = 30.0  # without a byte
CHUNK_BYTES = 1 << 18
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def download(
    url: str, target: Path, size: int, sha256: str, *, on_progress: Callable[[int, int], None] | None = None
) -> Path:
    """Download a file whose size and digest are known.

    What has arrived stands in `<target>.part`, and the next call goes on from there (HTTP Range). A part that is too
    long or of the wrong digest is removed, and `target` never holds anything but the right file.

    Args:
        url: https; plain http only from this machine itself.
        target: Where the file goes; the folder is made.
        size: Bytes.
        sha256: Hexadecimal digest.
        on_progress: Called with (bytes here, `size`).

    Returns:
        `target`.

    Raises:
        ModelError: Address not allowed, connection refused or lost, wrong content.
        SaveError: Disk full or folder not writable; the part is kept.
    """
    _check_url(url)
    part = target.with_name(target.name + ".part")
    _on_disk(target, lambda: target.parent.mkdir(parents=True, exist_ok=True))
    have, failures = _part_size(part), 0
    most = have
    while have < size:
        time.sleep(failures * PAUSE_SECONDS)
        try:
            have = _append(url, part, have, size, on_progress)
            reason = f"connection closed after {have} of {size} bytes"
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            have = _part_size(part)
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, urllib.error.HTTPError):
                error.close()
                if error.code == 416:  # the server's file ends before our part does: it is another file
                    part.unlink()
                if error.code < 500:  # the server understood and says no: asking again changes nothing
                    failures = ATTEMPTS
        # Only a new record counts as progress: a server that always starts over and drops would keep us here for ever.
        most, failures = max(most, have), (1 if have > most else failures + 1)
        if have < size and failures >= ATTEMPTS:
            raise ModelError(f"{size} bytes from {url}", reason, "try again: the download goes on where it stopped")
    return _finish(part, target, url, size, sha256)


def _append(url: str, part: Path, have: int, size: int, on_progress: Callable[[int, int], None] | None) -> int:
    """Ask for what is missing and append it; return the bytes now in the part."""
    headers = {"User-Agent": "striate", "Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    opener = urllib.request.build_opener(_Redirects)
    with opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS) as answer:
        if have and not (answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")):
            have = 0  # a server without Range sends everything again
        with _on_disk(part, lambda: open(part, "ab" if have else "wb")) as file:
            # Reading goes on at the expected size, so that a file too long is noticed, but not past it without end.
            while have <= size and (chunk := answer.read(CHUNK_BYTES)):
                _on_disk(part, partial(file.write, chunk))
                have += len(chunk)
                if on_progress:
                    on_progress(min(have, size), size)
            _on_disk(part, file.flush)
    return have


def _finish(part: Path, target: Path, url: str, size: int, sha256: str) -> Path:
    with open(part, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        found = os.fstat(file.fileno()).st_size
        _on_disk(part, lambda: os.fsync(file.fileno()))
    if found != size or digest != sha256:
        part.unlink()
        what = f"{found} bytes with {digest[:12]}..."
        fix = "the part was removed: try again, and if it happens twice do not use that address"
        raise ModelError(f"{size} bytes with SHA-256 {sha256[:12]}... from {url}", what, fix)
    _on_disk(target, lambda: os.replace(part, target))
    return target


def _part_size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _on_disk(path: Path, action: Callable[[], Any]) -> Any:
    """Do something to a file, telling errors of the disk from those of the network (both are OSError)."""
    try:
        return action()
    except OSError as error:
        got = f"{type(error).__name__}: {error.strerror or error}"
        fix = "free some space or set XDG_CACHE_HOME to a folder that can be written; what has arrived is kept"
        raise SaveError(f"to write {path}", got, fix) from error


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ModelError("an https address", url, "download the file by hand and name its folder in STRIATE_WEIGHTS")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not away from https."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        _check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
