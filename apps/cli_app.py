"""`striate app` opens the web page; `striate samples` writes its sample pictures to a folder."""

from __future__ import annotations

import socket
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from ..core.checks import UsageError
from .console import emit, note
from .server import flags

HOME = Path(__file__).resolve().parent / "pages" / "home.py"


def serve(
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8501,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "localhost",
) -> None:
    """Serve the web page until Ctrl-C."""
    need_extra("streamlit", "app")
    need_free_port(host, port)
    from streamlit.web import cli

    from .worker import warm_up

    # Beside the server's start: torch alone takes seconds to import, and the first visitor would wait for it.
    threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
    note(f"Striate is at http://{'localhost' if host == '0.0.0.0' else host}:{port} (Ctrl-C stops it)")
    cli.main(["run", str(HOME), *flags(host, port)], prog_name="streamlit", standalone_mode=False)


def samples(
    out: Annotated[Path, typer.Option(help="Folder to write into; made if it is missing.")] = Path("samples"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the sample pictures as PNG files: rendered blood smears and shapes, and photographs from scikit-image."""
    need_extra("skimage", "app")
    from ..core.images import save_image
    from .samples import SAMPLES

    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for sample in SAMPLES:
        path = out / sample.file_name
        save_image(sample.image(), path)
        paths.append(str(path))
    if as_json:
        emit("samples", files=paths)
    else:
        print("\n".join(paths))


def need_extra(module: str, extra: str) -> None:
    """Raise unless a module of an optional extra is installed.

    Raises:
        UsageError: it is not.
    """
    if find_spec(module) is None:
        raise UsageError(
            f"the {extra!r} extra to be installed", f"no module {module}", f"pip install 'striate[{extra}]'"
        )


def need_free_port(host: str, port: int) -> None:
    """Raise when nothing can listen there.

    Raises:
        UsageError: the port is taken, or the address is not this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise UsageError(
            f"to be able to listen on {host}:{port}",
            error.strerror or str(error),
            "pass another --port (or --host), or stop the program that listens there",
        ) from error
