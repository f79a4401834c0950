"""Plots of a classifier's figures as SVG pictures: the confusion matrix, and how far its confidence can be trusted."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

CELL, FRAME = 22, 220
MOST_NAMES = 60
"""Classes whose names are written; with more the matrix is drawn without."""
BLUE = (31, 90, 180)


def confusion_svg(figures: dict[str, Any]) -> str:
    """Draw rows of true classes and columns of predicted ones, each row shaded by its shares.

    Args:
        figures: Of `class_metrics.class_figures`.
    """
    names, rows = list(figures["per_class"]), figures["confusion"]
    named = len(names) <= MOST_NAMES
    cell = CELL if named else max(2, 900 // len(names))
    edge = 20 + 7 * max(map(len, names)) if named else 20
    parts = [_cell(row, column, rows, edge, cell, named) for row in range(len(rows)) for column in range(len(rows))]
    for i, name in enumerate(names if named else ()):
        middle = edge + cell * (i + 0.5)
        parts.append(f'<text x="{edge - 4}" y="{middle + 4}" text-anchor="end">{escape(name)}</text>')
        turned = f'transform="translate({middle + 4} {edge - 4}) rotate(-90)"'
        parts.append(f"<text {turned}>{escape(name)}</text>")
    side = edge + cell * len(names)
    parts.append(f'<text x="{edge}" y="{side + 16}">rows: true class; columns: what it was called</text>')
    return _svg(max(side + 10, edge + 260), side + 24, parts)


def _cell(row: int, column: int, rows: list[list[int]], edge: int, cell: int, named: bool) -> str:
    """Draw one count; nothing where it is zero."""
    count = rows[row][column]
    if not count:
        return ""
    share = count / sum(rows[row])
    red, green, blue = (round(255 - share * (255 - value)) for value in BLUE)
    x, y = edge + cell * column, edge + cell * row
    box = f'<rect x="{x}" y="{y}" width="{cell}" height="{cell}" fill="rgb({red},{green},{blue})"/>'
    ink = "white" if share > 0.5 else "black"
    place = f'x="{x + cell / 2}" y="{y + cell / 2 + 3}" font-size="8" text-anchor="middle"'
    text = f'<text {place} fill="{ink}">{count}</text>'
    return box + (text if named else "")


def calibration_svg(figures: dict[str, Any]) -> str:
    """Draw accuracy over confidence (a reliability diagram) and, below, how many pictures each bin has.

    Args:
        figures: Of `class_metrics.class_figures`.
    """
    rows = figures["reliability"]
    width, most = FRAME / len(rows), max(1, *(count for count, _, _ in rows))
    parts = [
        f'<rect x="40" y="20" width="{FRAME}" height="{FRAME}" fill="none" stroke="#ccc"/>',
        f'<line x1="40" y1="{20 + FRAME}" x2="{40 + FRAME}" y2="20" stroke="#999" stroke-dasharray="4"/>',
    ]
    for i, (count, sure, right) in enumerate(rows):
        if count:
            x, high, many = 40 + i * width, FRAME * right, 40 * count / most
            bar = f'<rect x="{x + 1:.1f}" width="{width - 2:.1f}"'
            parts.append(f'{bar} y="{20 + FRAME - high:.1f}" height="{high:.1f}" fill="rgb{BLUE}" fill-opacity="0.6"/>')
            parts.append(f'<circle cx="{40 + FRAME * sure:.1f}" cy="{20 + FRAME - high:.1f}" r="2.5"/>')
            parts.append(f'{bar} y="{310 - many:.1f}" height="{many:.1f}" fill="#999"/>')
    words = f"calibration error {figures['calibration_error']:.3f}, {figures['count']} pictures"
    parts.append(f'<text x="40" y="14" font-weight="bold">{words}</text>')
    parts += [f'<text x="36" y="{y}" text-anchor="end">{label}</text>' for y, label in ((26, "1"), (240, "0"))]
    parts.append('<text x="40" y="256">accuracy over confidence, 0 to 1; below, pictures</text>')
    return _svg(FRAME + 60, 320, parts)


def _svg(width: float, height: float, parts: list[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}"'
    style = 'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
    return f"{head} {style}{''.join(parts)}</svg>\n"
