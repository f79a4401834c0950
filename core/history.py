"""What a training is doing (`Progress`) and what it did, epoch by epoch (`History`, as CSV and as a plot)."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from .atomic import atomic_write
from .draw import PALETTE


@dataclass(frozen=True)
class Progress:
    """Where a training stands; passed to `on_progress` after every step and, with `metrics`, after every epoch.

    Attributes:
        epoch: From 1.
        epochs: How many there will be.
        step: Steps done in this epoch.
        steps: Steps in an epoch.
        losses: Mean of the loss and of each of its terms over this epoch so far.
        metrics: Validation figures, empty until the epoch's validation is done.
        learning_rate: Of the last step.
        seconds: Since `fit` was called.
        eta_seconds: Estimated time left.
        notice: Something the user should read, or "".
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    losses: dict[str, float]
    metrics: dict[str, float] = field(default_factory=dict)
    learning_rate: float = 0.0
    seconds: float = 0.0
    eta_seconds: float = 0.0
    notice: str = ""


@dataclass
class History:
    """One row an epoch: "epoch" from 1, "learning_rate", "loss" and its terms, "seconds", and validation figures.

    Attributes:
        rows: The figures by name; a name that a row lacks was not measured in that epoch.
        best_epoch: The epoch whose weights were kept, 0 while there is none.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0

    def column(self, name: str) -> list[float]:
        """Return one figure over all epochs that have it."""
        return [row[name] for row in self.rows if name in row]

    def to_csv(self) -> str:
        """Return all rows under a header; numbers in full, so that two histories can be compared bit by bit."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: repr(value) for name, value in row.items()} for row in self.rows)
        return text.getvalue()

    def to_svg(self) -> str:
        """Return a plot with one small panel for each figure, as an SVG picture."""
        names = [n for n in dict.fromkeys(n for row in self.rows for n in row) if n not in ("epoch", "seconds")]
        width, height, columns = 260, 170, 3
        lines = -(-len(names) // columns)
        panels = []
        for i, name in enumerate(names):
            points = [(row["epoch"], row[name]) for row in self.rows if name in row]
            place = f"translate({(i % columns) * width} {(i // columns) * height})"
            panels.append(f'<g transform="{place}">{_panel(name, points, PALETTE[i % len(PALETTE)])}</g>')
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{columns * width}" height="{lines * height}" '
            f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
            f"{''.join(panels)}</svg>\n"
        )

    def save(self, folder: Path) -> None:
        """Write history.csv and history.svg into a folder, each whole or not at all."""
        for name, text in (("history.csv", self.to_csv()), ("history.svg", self.to_svg())):
            atomic_write(folder / name, lambda file, text=text: file.write(text.encode()))  # type: ignore[misc]


def _panel(name: str, points: list[tuple[float, float]], colour: tuple[int, int, int]) -> str:
    """Draw one curve in a frame of 200 x 110 with its name, its range and its last value."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low, high = min(ys), max(ys)
    span_x, span_y = (max(xs) - min(xs)) or 1.0, (high - low) or 1.0
    path = " ".join(f"{45 + 200 * (x - min(xs)) / span_x:.1f},{140 - 110 * (y - low) / span_y:.1f}" for x, y in points)
    return (
        f'<rect x="45" y="30" width="200" height="110" fill="none" stroke="#ccc"/>'
        f'<polyline points="{path}" fill="none" stroke="rgb{colour}" stroke-width="1.5"/>'
        f'<text x="45" y="22" font-weight="bold">{escape(name)} = {ys[-1]:.4g}</text>'
        f'<text x="41" y="38" text-anchor="end">{high:.3g}</text>'
        f'<text x="41" y="140" text-anchor="end">{low:.3g}</text>'
        f'<text x="45" y="154">{xs[0]:g}</text><text x="245" y="154" text-anchor="end">{xs[-1]:g} epochs</text>'
    )
