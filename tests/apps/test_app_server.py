"""`striate app` comes up, answers, serves the page's script to a browser, and stops on Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="needs the `app` extra")

PATIENCE = 60.0  # seconds; on a quiet machine the server is up within 3


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running server and its address; killed at the end whatever happened."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "striate.apps.cli", "app", "--host", "127.0.0.1", "--port", str(port)]
    log = tmp_path / "log"
    with log.open("w") as stream:
        environment = {**os.environ, "HOME": str(tmp_path)}
        process = subprocess.Popen(command, stdout=stream, stderr=stream, cwd=tmp_path, env=environment, text=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health", process, log)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def wait_for(address: str, process: subprocess.Popen[str], log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            if get(address) == "ok":
                return
        except urllib.error.URLError:
            time.sleep(0.2)
    raise AssertionError(f"no answer within {PATIENCE} s:\n{log.read_text()}")


def get(address: str) -> str:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return str(answer.read().decode())


def test_serves_the_page_and_stops(server: tuple[subprocess.Popen[str], str], tmp_path: Path) -> None:
    process, address = server
    assert "<title>" in get(address)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE) in (0, 130)
    assert "Traceback" not in (tmp_path / "log").read_text()
    left = {path.name for path in tmp_path.iterdir()} - {"log", "cache"}
    assert not left, f"the server wrote {left}"
