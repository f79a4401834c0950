"""What the command says and where: results on stdout, progress and complaints on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from ..core.checks import DataError, ExportError, ImageError, ModelError, StriateError, UsageError
from .tables import FoldingTable

SCHEMA_VERSION = 1
RUNTIME_ERROR = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_CODES: tuple[tuple[type[StriateError], int], ...] = (
    (UsageError, 2),
    (DataError, 3),
    (ImageError, 3),
    (ModelError, 4),
    (ExportError, 5),
)


def exit_code(error: BaseException) -> int:
    """Return the exit code of the `striate` command for an error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), RUNTIME_ERROR)


def stdout() -> Console:
    """Return a console for results. Made at call time, so that a redirected `sys.stdout` is honoured."""
    return Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=not sys.stdout.isatty())


def stderr() -> Console:
    """Return a console for progress, notes and errors."""
    return Console(file=sys.stderr, highlight=False, markup=False, soft_wrap=not sys.stderr.isatty())


def emit(task: str, **fields: Any) -> None:
    """Print one JSON object on one line of stdout: the schema version, the task, then `fields`.

    Figures that are not numbers (the AP of a class without objects) become null, because JSON has no NaN.
    """
    print(json.dumps(plain({"schema_version": SCHEMA_VERSION, "task": task, **fields}), allow_nan=False))


def note(message: str) -> None:
    """Print one line for a person on stderr."""
    stderr().print(message)


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    numeric: Sequence[str] = (),
    unbroken: Sequence[str] = (),
) -> FoldingTable:
    """Build a table; the columns named in `numeric` are set flush right, they and those in `unbroken` never folded."""
    texts = [[cell_text(cell) for cell in row] for row in rows]
    return FoldingTable(title, columns, texts, numeric=numeric, unbroken=unbroken)


def cell_text(value: object) -> str:
    """Write one value for a table: three decimals (powers of ten below 0.01), a dash where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.01 else f"{value:.2e}"


def show_error(error: StriateError, as_json: bool) -> None:
    """Print an error in its three parts on stderr, as an object when the result was to be JSON."""
    if as_json:
        print(json.dumps(error_document(error)), file=sys.stderr)
        return
    console = stderr()
    console.print(Text(f"striate: {kind(error)}", style="bold red"))
    for label, part in (("expected", error.expected), ("got", error.got), ("to do", error.fix)):
        console.print(Text.assemble("  ", (f"{label:<8}", "bold"), "  ", part))


def kind(error: StriateError) -> str:
    """Return the name of an error's class; of a private class its public parent's."""
    return next(parent.__name__ for parent in type(error).__mro__ if not parent.__name__.startswith("_"))


def error_fields(error: StriateError) -> dict[str, str]:
    """Return an error as plain strings: type, message and its three parts."""
    return {
        "type": kind(error),
        "message": str(error),
        "expected": error.expected,
        "got": error.got,
        "fix": error.fix,
    }


def error_document(error: StriateError) -> dict[str, Any]:
    """Return the JSON object that `--json` puts on stderr."""
    return {"schema_version": SCHEMA_VERSION, "error": {**error_fields(error), "exit_code": exit_code(error)}}


def plain(value: Any) -> Any:
    """Turn numpy and torch scalars into Python's, tuples into lists and non-finite figures into None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
