"""`striate compare`: bags of words, networks and others on the same pictures, with paired statistics and a report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.checks import DataError, UsageError
from .cli_detect import Json
from .console import emit, note, stdout, table
from .defaults import defaults
from .duel import ALL, NONE, RENDERED, USUAL, parse_contender, parse_corruptions, parse_numbers, pictures
from .duel_attacks import BLACK_BOX, parse_attacks, parse_transfers
from .duel_textures import parse_textures
from .runs import given, run_folder

if TYPE_CHECKING:
    from ..bow_baseline.compare import Stage
    from ..bow_baseline.results import Results
    from ..bow_baseline.summary import Summary

RUNS = Path("runs/compare")
LEVEL = defaults("bow_baseline/statistics.py", "interval")["level"]
RESAMPLES = defaults("bow_baseline/statistics.py", "resampled_means")["resamples"]
COUNT = defaults("bow_baseline/compare.py", "Comparison.__init__")["attacked"]
SPLIT = defaults("bow_baseline/splits.py", "train_and_test")
CONFIG = "config.json"
SAVED: dict[str, type] = {
    "data": str, "contenders": list, "seeds": str, "per_class": str, "corruptions": str, "severities": str,
    "split": str, "test_share": float, "between": str, "shared": str, "most": str, "level": float, "resamples": int,
    "attacks": list, "black_box": str, "attacked": int, "transfers": list, "textures": list,
}  # fmt: skip
"""What a report's config.json holds about the command."""
SMALL_ASKED = {"per_class": "5,15", "seeds": "0,1", "corruptions": ALL, "severities": "2,4"}
"""What is asked about the rendered set where nothing else is said; on other data the defaults of the options hold."""


def compare(
    data: Annotated[
        Path | None, typer.Argument(help="Folder of pictures by class.", show_default="a small set, rendered here")
    ] = None,
    contender: Annotated[
        list[str] | None,
        typer.Option(
            "--contender", "-c", help="[LABEL=]NAME[:option=value,...]; repeat it.", show_default=", ".join(USUAL)
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the report.", show_default=f"{RUNS}/ and a number")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Ask what a report's config.json says, but for options given here.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, as 0,1,2.", show_default="0")] = None,
    per_class: Annotated[
        str | None, typer.Option(help="Points of the learning curves, as 5,10,20, or none.", show_default=NONE)
    ] = None,
    corruptions: Annotated[
        str | None, typer.Option(help="Names between commas, all, or none.", show_default=NONE)
    ] = None,
    severities: Annotated[
        str | None, typer.Option(help="Of corruptions and textures, 1 to 5.", show_default="1,2,3,4,5")
    ] = None,
    texture: Annotated[
        list[str] | None,
        typer.Option(
            help="[LABEL=]PATTERN[:option=value,...]: repaint the test pictures with that texture; strokes, mosaic, "
            "woodcut, or a picture's path; options as of `striate style`. About a second a picture and severity "
            "(128 pixels, 20 steps). Repeat it.",
            show_default=NONE,
        ),
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(
            "--attack",
            "-a",
            help="NAME[:option=value,...], as pgd:epsilon=8/255,steps=20: attack each contender. Repeat it.",
            show_default=NONE,
        ),
    ] = None,
    black_box: Annotated[
        str | None,
        typer.Option(
            help="Likewise, of models that do not give what --attack needs, such as bags of words.",
            show_default=BLACK_BOX,
        ),
    ] = None,
    attacked: Annotated[
        int | None, typer.Option(help="Test pictures to attack, the first of each class in turn.", show_default=COUNT)
    ] = None,
    transfer: Annotated[
        list[str] | None,
        typer.Option(
            help="A contender, or all: what --attack makes against it is shown to the others. What stops once it "
            "fools, as pgd without early_stop=false, seldom fools others. Repeat it.",
            show_default=NONE,
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Pictures to measure on.", show_default="test, else val, else a share")
    ] = None,
    test_share: Annotated[
        float | None, typer.Option(help="That share of each class.", show_default=SPLIT["test_share"])
    ] = None,
    between: Annotated[
        str | None,
        typer.Option(help="Whose disagreements are shown, as bow,cnn.", show_default="the best of two kinds"),
    ] = None,
    shared: Annotated[
        str | None,
        typer.Option(help="Pictures that are in both sets: refuse, drop or keep.", show_default="refuse"),
    ] = None,
    most: Annotated[
        str | None,
        typer.Option(help="Pictures a class, on average, to train on and to measure on, as 40,20.", show_default=NONE),
    ] = None,
    level: Annotated[float | None, typer.Option(help="Of the intervals.", show_default=LEVEL)] = None,
    resamples: Annotated[int | None, typer.Option(help="Draws of the bootstrap.", show_default=RESAMPLES)] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of what was measured.", show_default="compare, in the user's cache")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Neither read nor write the cache.")] = False,
    as_json: Json = False,
) -> None:
    """Compare classifiers: same pictures, same splits, same seeds, same corruptions and attacks; writes report.html.

    Names of contenders: bow, bow-pyramid, bow-llc, bow-fisher, cnn, lenet5, mlp, linear; with weights=FILE also
    cnn-finetuned and cnn-features.
    """
    asked = given(
        data=None if data is None else str(data), contenders=contender, seeds=seeds, per_class=per_class,
        corruptions=corruptions, severities=severities, split=split, test_share=test_share, between=between,
        shared=shared, most=most, level=level, resamples=resamples, attacks=attack, black_box=black_box,
        attacked=attacked, transfers=transfer, textures=texture,
    )  # fmt: skip
    if config is not None:
        asked = {**_saved(config), **asked}
    small = asked.get("data", RENDERED) == RENDERED
    asked = {**(SMALL_ASKED if small else {}), "contenders": list(USUAL), **asked}
    folder = run_folder(RUNS, out, False)
    summary, results, report = _run(asked, small, None if fresh else cache or _cache(), folder)
    if as_json:
        emit("compare", report=str(report), fitted=len(results.fitting.fitted), **summary.to_dict())
        return
    show(summary, results.config)
    stdout().print(f"report: {report}")


def _run(asked: dict[str, Any], small: bool, cache: Path | None, folder: Path) -> tuple[Summary, Results, Path]:
    """Compare and write the report."""
    from ..bow_baseline.compare import Comparison
    from ..bow_baseline.report import write_report
    from ..bow_baseline.summary import check_between, summarize

    options: dict[str, Any] = given(**{name: asked.get(name) for name in ("level", "resamples", "shared", "attacked")})
    if "severities" in asked:
        options["severities"] = parse_numbers("severities", asked["severities"])
    contenders = [parse_contender(text, small) for text in dict.fromkeys(asked["contenders"])]
    corruptions = parse_corruptions(asked.get("corruptions", NONE))
    comparison = Comparison(
        contenders,
        seeds=parse_numbers("seeds", asked.get("seeds", "0")),
        per_class=parse_numbers("per-class", asked.get("per_class", NONE)),
        corruptions={**corruptions, **parse_textures(asked.get("textures", []), corruptions)},
        attacks=parse_attacks(asked.get("attacks", []), asked.get("black_box"), asked.get("attacked")),
        transfers=parse_transfers(asked.get("transfers", []), [one.name for one in contenders]),
        cache=cache,
        **options,
    )
    two = _between(asked.get("between"))
    if two is not None:
        check_between(two, [one.name for one in comparison.contenders])
    part = {"split": asked.get("split"), "test_share": asked.get("test_share")}
    train, test = pictures(asked.get("data"), **part, most=parse_numbers("most", asked.get("most", NONE)))
    for line in [*train.report, *test.report]:
        note(line)
    results = comparison.run(train, test, on_progress=_tell)
    summary = summarize(results, between=two)
    title = f"Comparison on {'rendered scenes' if small else Path(asked['data']).name}"
    report = write_report(results, summary, folder, title=title, about={"command": asked})
    for line in [*results.notices, *results.cells.notices]:
        note(line)
    return summary, results, report


def show(summary: Summary, config: dict[str, Any]) -> None:
    """Print the report's first tables."""
    from ..bow_baseline.report_tables import tables

    for one in tables(summary, config)[: 5 if summary.attacks else 4]:
        stdout().print(table(one.title, one.columns, one.rows, numeric=one.columns[1:]))
    stdout().print(summary.verdict())


def _between(text: str | None) -> tuple[str, str] | None:
    """Read "bow,cnn"; commas before an option, as in "cnn:epochs=3,batch_size=8", part nothing.

    Raises:
        UsageError: not two names.
    """
    if text is None:
        return None
    names = [part.strip() for part in re.split(r",(?!\s*\w+\s*=[^=:]*(?:,|$))", text)]
    if len(names) != 2:
        raise UsageError("two contenders in --between", repr(text), "write --between bow,cnn")
    return names[0], names[1]


def _tell(stage: Stage) -> None:
    note(f"{stage.done + 1}/{stage.total}  {stage.seconds:.0f} s  {stage.what}")


def _cache() -> Path:
    from ..core.folders import cache_folder

    return cache_folder() / "compare"


def _saved(path: Path) -> dict[str, Any]:
    """Return what a report was asked.

    Raises:
        DataError: the file is no report's config.json.
    """
    try:
        saved = dict(json.loads(path.read_text(encoding="utf-8"))["command"])
        wrong = [name for name, value in saved.items() if not _fits(value, SAVED[name])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        fix = f"pass the {CONFIG} of a folder that `striate compare` wrote"
        raise DataError(f"the {CONFIG} of a report", f"{path}: {error!r}", fix) from error
    if wrong:
        got = ", ".join(f"{name}: {saved[name]!r}" for name in wrong)
        raise DataError(f"options in {path} as `striate compare` writes them", got, "correct them, or leave them out")
    return saved


def _fits(value: Any, kind: type) -> bool:
    if kind is list:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
