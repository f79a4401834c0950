"""Run programs, each in a process of its own that is forked from this one, where torch is imported already.

Reads one JSON object a line, {"program": path, "arguments": [...], "folder": where to run}, and answers each with
{"status": exit status, "out": stdout, "err": stderr}. Run by test_examples.py: an import of torch costs more than most
of the programs.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import traceback
from pathlib import Path
from typing import Any

import torch


def become(program: str, arguments: list[str], folder: str) -> int:
    """Run a program as `python program arguments` in `folder` would; return its exit status."""
    os.chdir(folder)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{folder}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = [program, *arguments]
    sys.path[0] = str(Path(program).parent)
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Run what is asked for in a fork."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = become(**request)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    out, err = (Path(f"{request['folder']}.{name}").read_text() for name in ("out", "err"))
    return {"status": status, "out": out, "err": err}


if __name__ == "__main__":
    torch.set_num_threads(1)  # a fork has none of its parent's threads
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
