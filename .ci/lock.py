"""Write requirements.lock from the packages installed beside this Python: every package that striate[all] reaches.

Run by `make lock` inside .venv. Kept out on purpose: hashes and index addresses (the same lock serves PyPI and a local
folder of wheels), the "+cpu" suffix and CUDA's own packages (pip takes those from torch's exact pins where the CUDA
build is installed). A package reached only through platform markers keeps them.
"""

from __future__ import annotations

import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

HEADER = """\
# Exact versions that the Makefile installs; `make lock` writes this file. pyproject.toml keeps the ranges.
# Plain pip on Python 3.11 and 3.12; torch's CPU build (2.13.0+cpu) satisfies torch==2.13.0 too.
"""
# triton is what PyPI's torch 2.13.0 requires on Linux; the CPU build of torch does not name it, so striate does.
SYSTEMS = [
    {"sys_platform": "linux", "platform_system": "Linux"},
    {"sys_platform": "darwin", "platform_system": "Darwin"},
]


def wanted(requirement: Requirement, extras: set[str]) -> tuple[bool, str | None]:
    """Say whether a requirement is followed, and the marker to keep when not every system asks for it."""
    if requirement.marker is None:
        return True, None
    marker = requirement.marker
    systems = [any(marker.evaluate(system | {"extra": extra}) for extra in extras | {""}) for system in SYSTEMS]
    if all(systems) or not any(systems):
        return any(systems), None
    return True, str(marker)


def closure(root: str, extras: set[str]) -> dict[str, set[str | None]]:
    """Return every installed package that `root` needs, with the markers of the ways that lead to it."""
    found: dict[str, set[str | None]] = {}
    queue: list[tuple[str, set[str]]] = [(root, extras)]
    seen: set[tuple[str, frozenset[str]]] = set()
    while queue:
        name, name_extras = queue.pop()
        if (name, frozenset(name_extras)) in seen:
            continue
        seen.add((name, frozenset(name_extras)))
        for line in distribution(name).requires or []:
            requirement = Requirement(line)
            follow, marker = wanted(requirement, name_extras)
            if follow:
                child = canonicalize_name(requirement.name)
                found.setdefault(child, set()).add(marker)
                queue.append((child, set(requirement.extras)))
    return found


def main(path: Path) -> None:
    """Write the lock to `path`."""
    packages = closure("striate", {"all"})
    packages.pop("striate", None)
    lines = []
    for name, markers in sorted(packages.items()):
        version = Version(distribution(name).version).public
        marker = "" if None in markers else "; " + " or ".join(sorted(m for m in markers if m))
        lines.append(f"{name}=={version}{marker}\n")
    path.write_text(HEADER + "".join(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
