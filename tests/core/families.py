"""What the test files of the kernel families declare for the tests that hold for all of them.

RAW      name of a raw operation -> a call that returns its arguments (small tensors, some that require gradients)
COMPILE  case -> (function of tensors, their shapes[, options of the `record` fixture])
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any


def gather(declaration: str) -> dict[str, Any]:
    """Merge the dictionaries of that name of all test files here."""
    found: dict[str, Any] = {}
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        if f"\n{declaration} = {{" in file.read_text():
            declared = getattr(import_module(f"striate.tests.core.{file.stem}"), declaration)
            assert not found.keys() & declared.keys(), f"{file.name} declares a name twice"
            found |= declared
    return found
