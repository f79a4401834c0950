"""The README is run: its Python snippets as they stand, its shell commands against the Makefile and the command."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = {name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md")}


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENTS[document], flags=re.MULTILINE | re.DOTALL)


SNIPPETS = blocks("README.md", "python")
COMMANDS = [
    # "  # ..." is a remark, NAME=value in front of a command its environment.
    re.sub(r"^([A-Z_]+=\S+ )+", "", line.split("  #")[0].strip())
    for document in DOCUMENTS
    for block in blocks(document, "sh")
    for line in block.splitlines()
    if line.strip() and not line.startswith("#")
]


@pytest.mark.parametrize("index", range(len(SNIPPETS)))
def test_snippet_runs(index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = compile(SNIPPETS[index], f"README.md snippet {index + 1}", "exec")
    exec(code, {"__name__": f"snippet_{index + 1}"})


def test_there_are_twelve_snippets() -> None:
    assert len(SNIPPETS) == 12


def _walk(words: list[str]) -> Any:
    """Follow the words of a `striate` command line down to its command."""
    from striate.apps.cli import app

    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        assert words, "a group needs a command"
        name = words.pop(0)
        assert name in command.commands, f"striate has no command {name!r}"
        command = command.commands[name]
    return command


@pytest.mark.parametrize("line", [c for c in COMMANDS if c.startswith(".venv/bin/striate ")])
def test_striate_command_has_these_options(line: str) -> None:
    words = shlex.split(line)[1:]
    command = _walk(words)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert not {word.split("=")[0] for word in words if word.startswith("-")} - known, f"{command.name} knows {known}"


@pytest.mark.parametrize("line", [c for c in COMMANDS if c.startswith("make")])
def test_make_target_exists(line: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert {w for w in line.split()[1:] if "=" not in w} <= targets


def test_every_command_is_looked_at() -> None:
    known = (".venv/bin/striate ", "make ", "git clone ", ".venv/bin/python ")
    assert not [c for c in COMMANDS if not c.startswith(known)]


@pytest.mark.parametrize("line", [c for c in COMMANDS if c.startswith(".venv/bin/python ")])
def test_files_of_a_command_exist(line: str) -> None:
    assert not [w for w in shlex.split(line)[1:] if "/" in w and not (ROOT / w).exists()]


def links(document: str) -> list[str]:
    visible = re.sub(r"<!--.*?-->", "", DOCUMENTS[document], flags=re.DOTALL)
    return re.findall(r"\]\((?!https?://|#)([^)#]+)", visible)


def test_links_lead_somewhere() -> None:
    targets = [target for document in DOCUMENTS for target in links(document)]
    assert "CONTRIBUTING.md" in targets
    assert not [target for target in targets if not (ROOT / target).exists()]
