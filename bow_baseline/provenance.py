"""Which versions and which code figures were computed with."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "striate", "joblib", "numpy", "opencv-python-headless", "pillow", "scikit-learn", "scipy", "torch",
)  # fmt: skip
CPU = Path("/proc/cpuinfo")
ROOMS = ("core", "bow_baseline")
AFTER = frozenset(
    f"{name}.py"
    for name in (
        "charts", "curves", "disagreements", "figures", "provenance", "report", "report_html", "report_tables",
        "results", "statistics", "summary",
    )
)  # fmt: skip
"""Files of this room that only draw conclusions from answers: a change in them makes no answer stale."""


def versions() -> dict[str, str]:
    """Return the versions of Python, of the packages and of our own code that answers may depend on."""
    found = {"python": platform.python_version(), "code": code_digest()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # OpenCV comes under several names
            found[package] = "not installed under this name"
    return found


@cache
def machine() -> str:
    """Return what times depend on beside the versions: processor, threads and graphics card."""
    lines = CPU.read_text().splitlines() if CPU.is_file() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    processor = next(names, platform.processor() or platform.machine())
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{processor}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {card}"


@cache
def code_digest(root: Path = ROOT, rooms: tuple[str, ...] = ROOMS) -> str:
    """Return a digest of the source that trains and answers, 16 digits: in a clone the version says too little.

    Args:
        root: Of the package.
        rooms: Whose source; an attack or a style from another room brings that room's along.
    """
    digest = hashlib.sha256()
    for room in rooms:
        for path in sorted((root / room).rglob("*.py")):
            if room != "bow_baseline" or path.name not in AFTER:
                digest.update(f"{path.relative_to(root).as_posix()} ".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
