"""Two plots as SVG, curves with bands and means with intervals, in the ink of the page around them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.sax.saxutils import escape

from ..core.draw import PALETTE
from .statistics import Interval

COLOURS = tuple("#{:02x}{:02x}{:02x}".format(*PALETTE[i]) for i in (1, 0, 2, 4, 6, 5, 7))
"""Of the contenders, in turn; without the palette's yellow, which a white page swallows."""
DASHES = ("none", "6 3", "2 3")
"""Beyond seven contenders colours return, dashed."""
WIDTH, HEIGHT = 620, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 150, 26, 44
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Between two lines of a scale; the first that needs at most six lines is taken."""
ROW = 26


@dataclass(frozen=True)
class Line:
    """One curve: values with intervals over places."""

    name: str
    xs: Sequence[float]
    ys: Sequence[Interval]


def line_chart(
    lines: Sequence[Line], *, x_label: str, y_label: str, log_x: bool = False, background: str | None = None
) -> str:
    """Draw curves, each with the band of its intervals and its name beside the last point.

    Args:
        lines: At least one, each with at least one point.
        x_label: Under the chart.
        y_label: Above it.
        log_x: Space the places by their logarithm.
        background: Colour behind the chart, for a file of its own; None leaves the page's.
    """
    places = sorted({float(x) for line in lines for x in line.xs})
    scale = ticks([v for line in lines for y in line.ys for v in (y.low, y.high)])
    low, high = scale[0], scale[-1]
    across = [math.log(x) if log_x else x for x in places]
    spread = (across[-1] - across[0]) or 1.0

    def column(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((math.log(x) if log_x else x) - across[0]) / spread

    def row(y: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - y) / (high - low)

    parts = [_grid(scale, row), _text(LEFT - 6, TOP - 12, y_label, "start")]
    parts += [_text(column(x), HEIGHT - BOTTOM + 16, f"{x:g}", "middle") for x in _thinned(places, column)]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label, "middle"))
    ends = _apart([row(line.ys[-1].mean) for line in lines])
    for i, (line, end) in enumerate(zip(lines, ends, strict=True)):
        ink, dash = COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]
        upper = [f"{column(x):.1f},{row(y.high):.1f}" for x, y in zip(line.xs, line.ys, strict=True)]
        lower = [f"{column(x):.1f},{row(y.low):.1f}" for x, y in zip(line.xs, line.ys, strict=True)]
        means = [f"{column(x):.1f},{row(y.mean):.1f}" for x, y in zip(line.xs, line.ys, strict=True)]
        parts.append(f'<polygon points="{" ".join(upper + lower[::-1])}" fill="{ink}" opacity="0.14"/>')
        parts.append(
            f'<polyline points="{" ".join(means)}" fill="none" stroke="{ink}" stroke-width="2" '
            f'stroke-dasharray="{dash}"/>'
        )
        parts += [f'<circle cx="{at.split(",")[0]}" cy="{at.split(",")[1]}" r="3" fill="{ink}"/>' for at in means]
        x = column(line.xs[-1]) + 8
        parts.append(_text(x, end + 4, line.name, "start", ink))
    return _svg(parts, HEIGHT, f"{y_label} over {x_label}", background)


def interval_chart(
    rows: Sequence[tuple[str, Interval, int | None]], *, label: str, background: str | None = None
) -> str:
    """Draw a dot with whiskers for every name, and a line at 0 where the values lie on both sides of it.

    Args:
        rows: At least one name, value and number of a colour, None for the page's ink.
        label: Under the chart.
        background: See `line_chart`.
    """
    left, height = 190, TOP + ROW * len(rows) + BOTTOM
    scale = ticks([v for _, value, _ in rows for v in (value.low, value.high)])
    low, high = scale[0], scale[-1]

    def column(x: float) -> float:
        return left + (WIDTH - left - 30) * (x - low) / (high - low)

    parts = [
        f'<line x1="{column(x):.1f}" y1="{TOP}" x2="{column(x):.1f}" y2="{height - BOTTOM}" stroke="currentColor" '
        f'opacity="0.15"/>{_text(column(x), height - BOTTOM + 16, f"{x:.2f}", "middle")}'
        for x in scale
    ]
    if low < 0 < high:
        parts.append(
            f'<line x1="{column(0):.1f}" y1="{TOP}" x2="{column(0):.1f}" y2="{height - BOTTOM}" '
            f'stroke="currentColor" stroke-dasharray="3 3"/>'
        )
    for i, (name, value, number) in enumerate(rows):
        y, ink = TOP + ROW * (i + 0.5), "currentColor" if number is None else COLOURS[number % len(COLOURS)]
        parts.append(_text(left - 10, y + 4, name, "end"))
        parts.append(
            f'<line x1="{column(value.low):.1f}" y1="{y}" x2="{column(value.high):.1f}" y2="{y}" stroke="{ink}" '
            f'stroke-width="3"/><circle cx="{column(value.mean):.1f}" cy="{y}" r="5" fill="{ink}"/>'
        )
    parts.append(_text((left + WIDTH - 30) / 2, height - 8, label, "middle"))
    return _svg(parts, height, label, background)


def _svg(parts: Sequence[str], height: int, title: str, background: str | None) -> str:
    paper = f'<rect width="100%" height="100%" fill="{background}"/>' if background else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}" font-family="sans-serif" font-size="12">{paper}{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str, ink: str = "currentColor") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{ink}">{escape(text)}</text>'


def ticks(values: Sequence[float]) -> list[float]:
    """Return round numbers, evenly spaced, that enclose values between -1 and 1.

    Example:
        >>> ticks([0.31, 0.97])
        [0.2, 0.4, 0.6, 0.8, 1.0]
    """
    low, high = min(values), max(values)
    step = next((one for one in STEPS if (high - low) / one <= 5), STEPS[-1])
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 2) for i in range(first, max(last, first + 1) + 1)]


def _grid(scale: Sequence[float], row: Callable[[float], float]) -> str:
    lines = (
        f'<line x1="{LEFT}" y1="{row(y):.1f}" x2="{WIDTH - RIGHT}" y2="{row(y):.1f}" stroke="currentColor" '
        f'opacity="0.15"/>{_text(LEFT - 6, row(y) + 4, f"{y:.2f}", "end")}'
        for y in scale
    )
    return "".join(lines)


def _apart(rows: Sequence[float], least: float = 14.0) -> list[float]:
    """Move rows of text down until none touches another."""
    moved = list(rows)
    order = sorted(range(len(rows)), key=lambda i: rows[i])
    for before, after in pairwise(order):
        moved[after] = max(moved[after], moved[before] + least)
    over = max([0.0, *(row - (HEIGHT - BOTTOM) for row in moved)])
    return [row - over for row in moved]


def _thinned(places: Sequence[float], column: Callable[[float], float]) -> list[float]:
    """Leave out places whose number would touch the one before."""
    kept: list[float] = []
    for place in places:
        if not kept or column(place) - column(kept[-1]) > 34:
            kept.append(place)
    return kept
