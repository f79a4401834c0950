"""The report of a comparison: report.html, report.md, CSV files, pictures and the config that gives them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..core.atomic import atomic_write
from ..core.checks import SaveError
from ..core.images import encode_image, resize
from .charts import Line, interval_chart, line_chart
from .disagreements import Disagreement
from .occlusion import painted
from .report_html import html
from .report_tables import csv_files, tables
from .results import Results
from .summary import Summary

PANEL = 192
"""Side of a picture in the report: what is smaller is enlarged by whole pixels."""
CAPTION = 34
SOMETIMES = (
    "differences.svg", "curves.svg", "robustness_*.svg", "disagreement_*.png", "robustness.csv", "crossings.csv",
    "attacks.csv",
)  # fmt: skip
"""Files that a report may have or not."""


def write_report(
    results: Results,
    summary: Summary,
    folder: str | Path,
    *,
    title: str = "Comparison",
    about: dict[str, Any] | None = None,
) -> Path:
    """Write the report into a folder, which is made if need be; each file is written whole or not at all.

    What an earlier report left there and this one does not have is removed, other files stay.

    Args:
        results: Of `Comparison.run`.
        summary: Of `summarize(results)`.
        folder: Where to.
        title: Of the report.
        about: More to keep in config.json, such as the command that was given.

    Returns:
        The path of report.html.

    Raises:
        SaveError: The folder cannot be made or written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        got = f"{type(error).__name__}: {error.strerror or error}"
        raise SaveError(f"to make the folder {folder}", got, "choose another folder") from error
    shown, sheets = charts(summary), [sheet(results.test.image(one.index), one) for one in summary.disagreements]
    config = {**results.config, **(about or {}), "data": described(results)}
    files: dict[str, bytes] = {name: text.encode() for name, text in csv_files(results, summary).items()}
    for name, (_, draw) in shown.items():
        files[f"{name}.svg"] = draw("white").encode()
    for number, one in enumerate(sheets, 1):
        files[f"disagreement_{number}.png"] = encode_image(one)
    files["config.json"] = (json.dumps(config, indent=2) + "\n").encode()
    files["figures.json"] = (json.dumps(summary.to_dict(), indent=2) + "\n").encode()
    files["report.md"] = markdown(results, summary, config, title, list(shown)).encode()
    files["report.html"] = html(
        title, lines_about(results, summary), {head: draw(None) for head, draw in shown.values()},
        tables(summary, config), list(zip(map(encode_image, sheets), map(told, summary.disagreements), strict=True)),
        json.dumps(config, indent=2), notes(results),
    ).encode()  # fmt: skip
    _clear(folder, set(files))
    for name, content in files.items():
        atomic_write(folder / name, lambda file, content=content: file.write(content))  # type: ignore[misc]
    return folder / "report.html"


def _clear(folder: Path, kept: set[str]) -> None:
    """Remove the files of an earlier report that the new one does not have."""
    if not all((folder / name).is_file() for name in ("report.html", "config.json", "figures.json")):
        return  # no report was here: whatever bears such a name is somebody else's
    for path in (path for pattern in SOMETIMES for path in folder.glob(pattern)):
        if path.name not in kept:
            try:
                path.unlink()
            except OSError as error:
                got = f"{type(error).__name__}: {error.strerror or error}"
                raise SaveError(f"to remove {path} of an earlier report", got, "choose another folder") from error


def charts(summary: Summary) -> dict[str, tuple[str, Any]]:
    """Return the charts there is something for: file name -> (heading, function of a background that draws it)."""
    order = [curve.name for curve in summary.curves]  # a contender has one colour in all charts
    best = [(row.name, row.accuracy, order.index(row.name)) for row in summary.table]
    gaps = [(f"{pair.first} − {pair.second}", pair.difference, None) for pair in summary.pairs]
    made: dict[str, tuple[str, Any]] = {
        "accuracy": ("Accuracy", lambda b: interval_chart(best, label="accuracy", background=b)),
    }
    if gaps:
        label = "difference in accuracy, paired"
        made["differences"] = ("Differences", lambda b: interval_chart(gaps, label=label, background=b))
    if summary.crossings:
        curves = [Line(curve.name, curve.sizes, curve.accuracies) for curve in summary.curves]
        x_label = "pictures a class to train on"
        made["curves"] = (
            "Learning curves",
            lambda b: line_chart(curves, x_label=x_label, y_label="accuracy", log_x=True, background=b),
        )
    for name in summary.robustness[0].accuracies if summary.robustness else ():
        lines = [
            Line(row.name, list(row.accuracies[name]), list(row.accuracies[name].values()))
            for row in summary.robustness
        ]
        made[f"robustness_{name}"] = (
            f"Robustness: {name}",
            lambda b, lines=lines, name=name: line_chart(
                lines, x_label=f"severity of {name}", y_label="accuracy", background=b
            ),
        )
    return made


def described(results: Results) -> dict[str, Any]:
    """Return what the two sets of pictures are."""
    return {
        part: {"root": str(data.root), "split": data.split, "pictures": len(data), "counts": data.counts()}
        for part, data in (("train", results.train), ("test", results.test))
    }


def lines_about(results: Results, summary: Summary) -> list[str]:
    """Return the sentences at the head of the report."""
    many = f"{len(results.seeds)} seeds" if len(results.seeds) > 1 else "one seed"
    data = (
        f"{len(results.names)} contenders, {len(results.train.names)} classes, {len(results.train)} pictures to train "
        f"on, {len(results.test)} to answer, {many}."
    )
    return [summary.verdict(), data]


def notes(results: Results) -> list[str]:
    """Return what a reader should know: files left out, cells measured again."""
    return [*results.notices, *results.train.report, *results.test.report, *results.cells.notices]


def told(one: Disagreement) -> str:
    """Say who said what about a picture."""
    answers = "; ".join(f"{a.contender}: {a.label} ({100 * a.probability:.0f} %)" for a in (one.right, one.wrong))
    return f"{one.truth}, {Path(one.source).name}. {answers}"


def markdown(results: Results, summary: Summary, config: dict[str, Any], title: str, charts: list[str]) -> str:
    """Write report.md, which refers to the files beside it."""
    parts = [f"# {title}", *lines_about(results, summary)]
    for table in tables(summary, config):
        parts += [f"## {table.title}", table.markdown(), table.note]
    parts += ["## Charts", *(f"![{name}]({name}.svg)" for name in charts)]
    if summary.disagreements:
        parts.append("## Disagreements")
        parts.append("The picture; what spoke for its answer to the one that is right, then to the one that is wrong.")
    for number, one in enumerate(summary.disagreements, 1):
        parts.append(f"![{told(one)}](disagreement_{number}.png)")
    listed = [f"- {note}" for note in notes(results)]
    parts += ["## Notes", "\n".join(listed)] if listed else []
    return "\n\n".join(parts) + "\n\nAll that these figures depend on: [config.json](config.json).\n"


def sheet(image: NDArray[np.uint8], one: Disagreement) -> NDArray[np.uint8]:
    """Lay a picture and both explanations side by side, with a line about each: uint8 (H, W, 3)."""
    panels = [(image, f"truth: {one.truth}", Path(one.source).name)]
    for mark, answer in (("right", one.right), ("wrong", one.wrong)):
        said = f"{mark}: {answer.label}, {100 * answer.probability:.0f} %"
        panels.append((painted(image, answer.heat), answer.contender, said))
    return np.concatenate([panel(*each) for each in panels], axis=1)


def panel(image: NDArray[np.uint8], *lines: str) -> NDArray[np.uint8]:
    """Enlarge or reduce a picture to the report's size and write lines under it."""
    height, width = image.shape[:2]
    scale = PANEL / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    factor = round(scale)
    if factor >= 2 and max(height, width) * factor <= PANEL:
        shown = image.repeat(factor, 0).repeat(factor, 1)
    else:
        shown = resize(image, size)
    canvas = Image.new("RGB", (PANEL + 8, PANEL + CAPTION + 8), (255, 255, 255))
    canvas.paste(Image.fromarray(shown), ((PANEL + 8 - shown.shape[1]) // 2, 4 + (PANEL - shown.shape[0]) // 2))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    for i, line in enumerate(lines):
        pen.text((6, PANEL + 8 + 15 * i), _fitting(pen, line, font), fill=(30, 30, 30), font=font)
    return np.array(canvas)


def _fitting(pen: ImageDraw.ImageDraw, line: str, font: Any) -> str:
    line = " ".join(line.split())
    while line and pen.textlength(line, font=font) > PANEL:
        line = line[:-2].rstrip("…") + "…"
    return line
