"""Which models a page can offer, and the card that goes with each."""

from __future__ import annotations

import os
from pathlib import Path

from ..core.checkpoints import load_checkpoint
from ..core.weights import EMBEDDED, WEIGHTS, resolve

SUFFIX = ".safetensors"


def choices(task: str) -> list[str]:
    """Return what can be chosen: the task's named weights, shipped ones first, then the files in STRIATE_WEIGHTS.

    Nothing is downloaded here: choosing weights that are not on this machine yet says which command fetches them.
    """
    named = sorted((entry for entry in WEIGHTS.values() if entry.task == task), key=lambda entry: entry.url is not None)
    return [entry.name for entry in named] + [str(path) for path in own_files() if path.stem not in WEIGHTS]


def title(choice: str) -> str:
    """Return what to show for a choice: a name as it is, a file without its folder and suffix."""
    return Path(choice).stem if choice.endswith(SUFFIX) else choice


def own_files() -> list[Path]:
    """Return the weight files in the STRIATE_WEIGHTS folder, without the copies kept of earlier ones."""
    folder = os.environ.get("STRIATE_WEIGHTS")
    if not folder or not Path(folder).is_dir():
        return []
    return sorted(path for path in Path(folder).glob(f"*{SUFFIX}") if not path.stem.endswith(".prev"))


def card(name: str) -> str:
    """Return the model card as Markdown; for weights without one, what their header says."""
    if name in WEIGHTS:
        path = EMBEDDED / WEIGHTS[name].card
        if path.is_file():
            return path.read_text(encoding="utf-8")
    _, meta = load_checkpoint(resolve(name))
    classes = ", ".join(f"`{entry}`" for entry in meta.get("names", ()))
    return f"**{Path(name).stem}**: a `{meta.get('kind')}` for {classes or 'no classes'}. No model card came with it."
