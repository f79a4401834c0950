"""Where things of the user's lie on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder of what can be had again: `$XDG_CACHE_HOME/striate`, by default `~/.cache/striate`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "striate"
