"""Run by test_checkpoints_crash.py: kill a save before and after each of its steps, and tell what is left.

Each case is a fork that patches os.fsync, os.link and os.replace to count, and sends itself SIGKILL at one of them.
Prints one JSON list.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from striate.core import atomic
from striate.core.checkpoints import load_checkpoint, load_state, previous_path, save_checkpoint, save_state

STEPS = ("fsync", "link", "replace", "replace", "fsync")
Save = Callable[[Path, int], object]


def save_weights(path: Path, value: int) -> None:
    save_checkpoint(path, {"w": torch.full((1000,), value)}, {"kind": "Test", "value": value})


def save_training(path: Path, value: int) -> None:
    save_state(path, {"w": torch.full((1000,), value), "value": value})


def arm(step: int, after: bool) -> None:
    """Kill this process at its `step`-th call of the watched functions; check that it is the one expected."""
    calls = 0

    def watch(name: str) -> None:
        original = getattr(os, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            mine, calls = calls, calls + 1
            if STEPS[mine] != name:
                os._exit(9)
            if mine == step and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*args, **kwargs)
            if mine == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(os, name, watched)

    for name in set(STEPS):
        watch(name)


def arm_write() -> None:
    """Kill this process when half of the bytes are on the disk."""
    original = atomic.open if hasattr(atomic, "open") else open

    def opened(*args: Any, **kwargs: Any) -> Any:
        file = original(*args, **kwargs)
        write = file.write

        class Half:
            fileno, flush = file.fileno, file.flush

            def __enter__(self) -> Half:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def write(self, data: bytes) -> None:
                write(data[: len(data) // 2])
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)

        return Half()

    atomic.open = opened  # type: ignore[attr-defined]


def run(folder: Path, save: Save, case: str, prepare: Callable[[], None]) -> dict[str, Any]:
    folder.mkdir()
    path = folder / "last.safetensors"
    save(path, 1)
    save(path, 2)
    child = os.fork()
    if child == 0:
        prepare()
        save(path, 3)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    left = [file.name for file in folder.iterdir() if file not in (path, previous_path(path))]
    row = {
        "case": case,
        "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
        "newest": value(path, save),
        "previous": value(previous_path(path), save),
        "strangers": [name for name in left if not (name.startswith(".last.safetensors.") and name.endswith(".tmp"))],
    }
    save(path, 4)
    return row | {"newest_after": value(path, save), "previous_after": value(previous_path(path), save)}


def value(path: Path, save: Save) -> int:
    if save is save_weights:
        tensors, meta = load_checkpoint(path, kind="Test")
        assert (tensors["w"] == meta["value"]).all()
        return int(meta["value"])
    state, notice = load_state(path)
    assert not notice
    return int(state["value"])


def main() -> None:
    rows, folder = [], Path(sys.argv[1])
    for save in (save_weights, save_training):
        rows.append(run(folder / f"{save.__name__}-write", save, "write", arm_write))
        for step, name in enumerate(STEPS):
            for after in (False, True):
                case = f"{'after' if after else 'before'} {step} {name}"
                where = folder / f"{save.__name__}-{case}"
                rows.append(run(where, save, case, lambda step=step, after=after: arm(step, after)))  # type: ignore[misc]
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
