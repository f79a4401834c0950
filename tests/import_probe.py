"""Import every module of the package and report what that changed; run by test_rooms.py in a process of its own.

The libraries that the package imports come first: what they do to the process is their affair. Then torch's questions
about devices are replaced by traps, an audit hook listens for writes, sockets and processes, and the package follows.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import sys
import threading
import warnings
from pathlib import Path
from typing import Any


def state() -> dict[str, str]:
    """Describe what an import could change without anybody seeing it."""
    import numpy
    import torch
    from PIL import Image, ImageFile

    tasks = Path("/proc/self/task")
    return {
        "python threads": str(threading.active_count()),
        "native threads": str(len(list(tasks.iterdir())) if tasks.is_dir() else 0),
        "environment": str(sorted(os.environ.items())),
        "warning filters": str(warnings.filters),
        "random": str(hash(random.getstate())),
        "numpy random": str(numpy.random.get_state()),  # noqa: NPY002 - the global state is what is watched
        "numpy printing": str(numpy.get_printoptions()),
        "torch random": str(torch.random.get_rng_state().sum().item()),
        "torch threads": str(torch.get_num_threads()),
        "torch dtype": str(torch.get_default_dtype()),
        "torch deterministic": str(torch.are_deterministic_algorithms_enabled()),
        "cudnn": str((torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32)),
        "cuda": str(torch.cuda.is_initialized()),
        "pillow": str((Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)),
        "working directory": os.getcwd(),
        "files": str(sorted(str(p) for p in Path.cwd().rglob("*"))),
    }


def main() -> None:
    """Import, compare, print one line of JSON."""
    request = json.load(sys.stdin)
    for name in request["theirs"]:
        importlib.import_module(name)
    import torch

    events: list[str] = []

    def trap(name: str) -> Any:
        def asked(*args: Any, **kwargs: Any) -> Any:
            events.append(f"{name} was asked")
            return 0

        return asked

    for name in ("is_available", "device_count", "get_device_capability", "_lazy_init", "current_device"):
        setattr(torch.cuda, name, trap(f"torch.cuda.{name}"))

    def listen(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR):
            events.append(f"opened for writing: {args[0]}")
        elif event in {"socket.connect", "socket.bind", "subprocess.Popen", "os.mkdir", "os.remove", "os.rename"}:
            events.append(f"{event} {args[0]!s}")

    before = state()
    sys.addaudithook(listen)
    for name in request["ours"]:
        importlib.import_module(name)
    heard = list(events)
    after = state()
    changed = {key: [before[key], after[key]] for key in before if before[key] != after[key]}
    print(json.dumps({"changed": changed, "events": heard}))


if __name__ == "__main__":
    main()
