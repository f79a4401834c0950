"""The `striate` command: its tree of commands, and one place where errors become messages and exit codes.

Nothing here imports torch: `striate --help` has to answer at once, so each command imports what it needs when it runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from .. import __version__
from ..core.checks import StriateError, UsageError, unknown
from . import (
    cli_app,
    cli_attack,
    cli_bench,
    cli_bow,
    cli_classify,
    cli_compare,
    cli_detect,
    cli_doctor,
    cli_fool,
    cli_info,
    cli_robustness,
    cli_segment,
    cli_style,
    cli_style_fast,
    cli_weights,
)
from .console import INTERRUPTED, RUNTIME_ERROR, exit_code, note, show_error
from .groups import Group

app = typer.Typer(
    name="striate",
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Computer vision from the first convolution up: train, measure and use classifiers, detectors and segmenters.",
    epilog="Exit codes: 0 ok, 1 runtime, 2 usage, 3 data or picture, 4 model, 5 export, 130 interrupted.",
)
app.add_typer(cli_detect.app, name="detect")
app.add_typer(cli_classify.app, name="classify")
app.add_typer(cli_segment.app, name="segment")
app.add_typer(cli_bow.app, name="bow")
app.add_typer(cli_fool.app, name="fool")
app.add_typer(cli_style_fast.app, name="style-fast")
app.add_typer(cli_weights.app, name="weights")
app.add_typer(cli_bench.app, name="bench")
app.command("style")(cli_style.style)
app.command("texture")(cli_style.texture)
app.command("attack")(cli_attack.attack)
app.command("robustness")(cli_robustness.robustness)
app.command("compare")(cli_compare.compare)
app.command("doctor")(cli_doctor.doctor)
app.command("info")(cli_info.info)
app.command("app")(cli_app.serve)
app.command("samples")(cli_app.samples)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"striate {__version__}")
        raise typer.Exit()


@app.callback()
def _striate(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; nothing but the code leaves this function.

    Args:
        arguments: What stands after `striate`; None reads `sys.argv`.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    try:
        code = app(args=words, prog_name="striate", standalone_mode=False)
    except StriateError as error:
        show_error(error, as_json)
        return exit_code(error)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`striate ... | head`): leave quietly, also when Python flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return RUNTIME_ERROR
    except OSError as error:
        show_error(_os_error(error), as_json)
        return RUNTIME_ERROR
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise  # a defect of ours: the traceback is what a report needs, and Python exits with 1
        usage = _usage_error(error)
        show_error(usage, as_json)
        return exit_code(usage)
    if code == INTERRUPTED:
        note("striate: interrupted")
    return code if isinstance(code, int) else 0


def _os_error(error: OSError) -> StriateError:
    place = f": {error.filename}" if error.filename else ""
    return StriateError(
        "the system to read and write what the command needs",
        f"{error.strerror or error}{place}",
        "check that the path exists, may be written and has free space, then run the command again",
    )


def _usage_error(error: Any) -> StriateError:
    """Give the parser's complaint our three parts, with the closest option where one was misspelt."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "striate"
    option = getattr(error, "option_name", None)
    if context is not None and option and type(error).__name__ == "NoSuchOption":
        known = [name for parameter in context.command.params for name in parameter.opts if name.startswith("--")]
        return unknown(f"option of `{path}`", option, [*known, "--help"])
    return UsageError(f"a valid call of `{path}`", _sentence(error.format_message()), f"see `{path} --help`")


def _sentence(message: str) -> str:
    text = " ".join(message.split()).rstrip(".")
    return text[:1].lower() + text[1:]


if __name__ == "__main__":
    sys.exit(main())
