"""Input checks: what was expected, what came, what to do about it.

Every error a user can cause is a `StriateError` (a `ValueError`) in three parts, so that the terminal, the page and a
program can each show it in their own way.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral, Real


class StriateError(ValueError):
    """Base of all errors a user can cause.

    Args:
        expected: What would have been right ("a JPEG, PNG or WebP file").
        got: What came instead ("an empty file: smear.png").
        fix: What to do ("save the picture again").
    """

    def __init__(self, expected: str, got: str, fix: str) -> None:
        super().__init__(f"expected {expected}; got {got}; {fix}")
        self.expected = expected
        self.got = got
        self.fix = fix

    def __reduce__(self) -> tuple[type[StriateError], tuple[str, str, str]]:
        # An exception is unpickled by calling its class with `args`, which holds the one joined message; without this
        # an error raised in a worker process could not reach its parent.
        return type(self), (self.expected, self.got, self.fix)


class UsageError(StriateError):
    """An option, argument or name that does not exist or is out of range."""


class ImageError(StriateError):
    """A picture that cannot be read within the loader's contract."""


class DataError(StriateError):
    """A dataset, split or annotation that cannot be used."""


class ModelError(StriateError):
    """Weights or a model that cannot be used."""


class CheckpointError(ModelError):
    """A checkpoint that is damaged, foreign, of another kind or of a newer version."""


class SaveError(StriateError):
    """A file that could not be written: disk full, folder missing or read-only. What was there before is untouched."""


class ExportError(StriateError):
    """A network that could not be exported, or whose export does not agree with it."""


class TrainingError(StriateError):
    """A training that cannot go on, such as a loss that is not a number."""


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name nearest to `name`, or None when none is near; upper and lower case count as equal."""
    by_lower = {entry.lower(): entry for entry in known}
    matches = get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)  # at 0.5 'foo' is 'deepfool'
    return by_lower[matches[0]] if matches else None


def unknown(kind: str, name: str, known: Iterable[str], error: type[StriateError] = UsageError) -> StriateError:
    """Build (not raise) the error for a name that is not known: lists the known ones and the closest.

    Args:
        kind: The noun for the message, such as "activation".
        name: What came.
        known: All names that would have been right.
        error: The class of the error.
    """
    names = list(known)
    near = closest(name, names)
    fix = f"did you mean {near!r}?" if near else "choose one of those names"
    return error(f"{kind} to be one of {', '.join(names) or '(none)'}", repr(name), fix)


def positive(name: str, value: float, error: type[StriateError] = UsageError) -> None:
    """Raise unless `value` is a finite number above zero."""
    if not isinstance(value, Real) or not 0 < value < float("inf"):
        raise error(f"{name} to be a positive number", repr(value), f"pass {name} above 0")


def whole(name: str, value: int, least: int = 1, error: type[StriateError] = UsageError) -> None:
    """Raise unless `value` is a whole number of `least` or more; 2.0, True and text are none."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        fix = f"pass {name}={max(least, 10)}, say"
        raise error(f"{name} to be a whole number, {least} or more", repr(value), fix)


def fraction(name: str, value: float, error: type[StriateError] = UsageError) -> None:
    """Raise unless `value` is a number in [0, 1]."""
    if not isinstance(value, Real) or not 0 <= value <= 1:
        raise error(f"{name} to lie between 0 and 1", repr(value), f"pass {name} from 0 to 1")
