"""Downloads against a server on this machine that drops, forgets and lies."""

from __future__ import annotations

import hashlib
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from striate.core import download as module
from striate.core.checks import ModelError, SaveError
from striate.core.download import ATTEMPTS, download
from striate.core.weights import Table, Weights, cache_folder, fetch, resolve

CONTENT = bytes(range(256)) * 4096  # 1 MiB, four chunks
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; the server's attributes tell how badly."""

    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        if server.status:
            self.send_response(server.status)
            if server.location:
                self.send_header("Location", server.location)
            self.end_headers()
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and server.ranges else 0
        if start >= len(server.content):
            self.send_response(416)
            self.end_headers()
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            at = start + server.shift
            self.send_header("Content-Range", f"bytes {at}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        sent = server.drops.pop(0) if server.drops else len(body)
        try:
            self.wfile.write(body[:sent])
            if sent < len(body):
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side has read enough and left

    def log_message(self, *_: Any) -> None:
        """Stay silent."""


class Server(http.server.ThreadingHTTPServer):
    content, ranges, shift, status, location = CONTENT, True, 0, 0, ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []
        self.drops: list[int] = []  # bytes after which each answer breaks off

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/w.safetensors"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "w.safetensors"


def part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def get(server: Server, target: Path, **more: Any) -> Path:
    return download(server.url, target, len(CONTENT), DIGEST, **more)


def test_whole_file(server: Server, target: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert get(server, target, on_progress=lambda here, whole: seen.append((here, whole))) == target
    assert target.read_bytes() == CONTENT
    assert [file.name for file in target.parent.iterdir()] == ["w.safetensors"]
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert server.asked == [None]


def test_connection_dropped_half_way_goes_on(server: Server, target: Path) -> None:
    server.drops = [len(CONTENT) // 2, 1000]
    get(server, target)
    assert target.read_bytes() == CONTENT
    half = len(CONTENT) // 2
    assert server.asked == [None, f"bytes={half}-", f"bytes={half + 1000}-"]


def test_a_later_call_goes_on_where_the_first_gave_up(server: Server, target: Path) -> None:
    server.drops = [5000] + [0] * (ATTEMPTS - 1)
    with pytest.raises(ModelError, match=rf"{len(CONTENT)} bytes from .*; got .*; try again.*goes on"):
        get(server, target)
    assert part(target).read_bytes() == CONTENT[:5000]
    assert not target.exists()
    server.asked.clear()
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.asked == ["bytes=5000-"]
    assert not part(target).exists()


def test_server_without_range_starts_over(server: Server, target: Path) -> None:
    server.ranges, server.drops = False, [5000]
    get(server, target)
    assert target.read_bytes() == CONTENT


def test_answer_for_another_place_is_not_appended(server: Server, target: Path) -> None:
    server.shift, server.drops = 7, [5000]
    with pytest.raises(ModelError):  # what follows is taken for a new beginning, and its digest is wrong
        get(server, target)
    assert not target.exists()


def test_server_that_always_drops_is_given_up(server: Server, target: Path) -> None:
    server.ranges, server.drops = False, [5000, 4000] * 100
    with pytest.raises(ModelError, match="bytes from"):
        get(server, target)
    assert len(server.asked) <= ATTEMPTS + 1


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(CONTENT[:-1] + b"!", id="one byte wrong"),
        pytest.param(CONTENT + b"!", id="too long"),
        pytest.param(CONTENT * 20, id="much too long"),
    ],
)
def test_wrong_content_is_removed(server: Server, target: Path, content: bytes) -> None:
    server.content, chunks = content, []
    with pytest.raises(ModelError, match=f"with SHA-256 {DIGEST[:12]}.*the part was removed"):
        get(server, target, on_progress=lambda here, whole: chunks.append(here))
    assert len(chunks) <= 5  # what comes after the expected size is not read to its end
    assert not list(target.parent.iterdir())
    server.content = CONTENT
    assert get(server, target).read_bytes() == CONTENT


def test_a_part_of_another_file_is_removed(server: Server, target: Path) -> None:
    target.parent.mkdir()
    part(target).write_bytes(b"another file")
    with pytest.raises(ModelError, match="the part was removed"):
        get(server, target)
    assert get(server, target).read_bytes() == CONTENT


@pytest.mark.parametrize(("content", "right"), [(CONTENT, True), (CONTENT + b"x", False)], ids=["complete", "too long"])
def test_a_part_that_is_already_long_enough(server: Server, target: Path, content: bytes, right: bool) -> None:
    target.parent.mkdir()
    part(target).write_bytes(content)
    if right:
        assert get(server, target).read_bytes() == CONTENT
    else:
        with pytest.raises(ModelError, match="the part was removed"):
            get(server, target)
    assert server.asked == []
    assert not part(target).exists()


def test_file_on_the_server_is_shorter_than_the_part(server: Server, target: Path) -> None:
    target.parent.mkdir()
    part(target).write_bytes(CONTENT[:5000])
    server.content = CONTENT[:4000]
    with pytest.raises(ModelError, match="416"):
        get(server, target)
    assert not part(target).exists()


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (403, 1), (500, ATTEMPTS), (503, ATTEMPTS)])
def test_refusals(server: Server, target: Path, status: int, asked: int) -> None:
    server.status = status
    with pytest.raises(ModelError, match=f"HTTP Error {status}"):
        get(server, target)
    assert len(server.asked) == asked
    assert not target.exists()


def test_nobody_answers(server: Server, target: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/w"
        with pytest.raises(ModelError, match="Connection refused"):
            download(url, target, 10, DIGEST)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/w",
        "ftp://example.org/w",
        "file:///etc/passwd",
        "w.safetensors",
        "http://localhost.evil.org/w",
    ],
)
def test_only_https(target: Path, url: str) -> None:
    with pytest.raises(ModelError, match=r"an https address; got .*STRIATE_WEIGHTS"):
        download(url, target, 10, DIGEST)
    assert not target.parent.exists()


@pytest.mark.parametrize("location", ["http://example.org/w", "ftp://example.org/w"])
def test_a_redirect_does_not_leave_https(server: Server, target: Path, location: str) -> None:
    server.status, server.location = 302, location
    with pytest.raises(ModelError, match=r"an https address; got (http|ftp)://example"):
        get(server, target)


def test_disk_full_keeps_what_has_arrived(server: Server, target: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(SaveError, match=r"File too large.*XDG_CACHE_HOME"):
            get(server, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert CONTENT.startswith(part(target).read_bytes())
    assert part(target).stat().st_size >= 262_144
    assert get(server, target).read_bytes() == CONTENT


def test_fetch_then_resolve(server: Server) -> None:
    row = Weights("big", "detect", "w.safetensors", len(CONTENT), DIGEST, "Apache-2.0", "MIT", {}, "big.md", server.url)
    table = {"big": row}
    with pytest.raises(ModelError, match="striate weights fetch big"):
        resolve("big", table=table)
    assert server.asked == []
    path = fetch("big", table=table)
    assert path == cache_folder() / "w.safetensors" == resolve("big", table=table)
    assert fetch("big", table=table) == path
    assert len(server.asked) == 1
    assert "big" not in Table()
