"""Options of this room: their checks, with the type named where it is the wrong one, and their plain values."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from ..core.checks import UsageError, positive


def whole_number(name: str, value: Any, least: int = 1) -> None:
    """Raise a UsageError unless `value` is a whole number, Python's or NumPy's, of at least `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        fix = f"pass {name}={least}, or a larger whole number"
        raise UsageError(f"{name} to be a whole number of at least {least}", repr(value), fix)


def above_zero(name: str, value: Any) -> None:
    """Raise a UsageError unless `value` is a finite number above zero."""
    _number(name, value)
    positive(name, value)


def not_negative(name: str, value: Any) -> None:
    """Raise a UsageError unless `value` is a finite number of at least zero."""
    _number(name, value)
    if not 0 <= value < float("inf"):
        raise UsageError(f"{name} of at least 0", repr(value), f"pass {name}=0 or more")


def text(name: str, value: Any) -> None:
    """Raise a UsageError unless `value` is text."""
    if not isinstance(value, str):
        raise UsageError(f"{name} to be text", f"{type(value).__name__}: {value!r}", "put it into quotation marks")


def check_jobs(jobs: Any) -> None:
    """Raise a UsageError unless `jobs` is None or a whole number that joblib knows: not 0."""
    if jobs is not None and (not isinstance(jobs, Integral) or isinstance(jobs, bool) or jobs == 0):
        expected = "jobs to be a whole number other than 0"
        raise UsageError(expected, repr(jobs), "pass 1 or more, or -1 for as many as there are cores")


def plain(value: Any) -> Any:
    """Return a value as JSON has it: NumPy's numbers become Python's, tuples lists."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def _number(name: str, value: Any) -> None:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise UsageError(f"{name} to be a number", f"{type(value).__name__}: {value!r}", f"pass {name}=1.0, say")
