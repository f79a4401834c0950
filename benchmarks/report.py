"""The kept rows as Markdown: every case, and how far each goal is reached. Run as a program, it renders README.md."""

from __future__ import annotations

import json
from collections import defaultdict
from math import prod
from pathlib import Path

from striate.benchmarks.attack_figures import FIGURES, figures_table
from striate.benchmarks.goals import GOALS, Goal
from striate.benchmarks.harness import FOLDER, Row, read

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
OURS = "striate"


def newest(rows: list[Row]) -> list[Row]:
    """Keep the newest run of each case on each device: a later run of one case leaves the others' rows."""
    last: dict[tuple[str, str, str], str] = {}
    for row in rows:
        key = (row.subject, row.device, row.case)
        last[key] = max(last.get(key, ""), row.run)
    return [row for row in rows if row.run == last[row.subject, row.device, row.case]]


def table(rows: list[Row]) -> str:
    """Render rows as Markdown, one table a subject, device and run; "speed" is baseline's median over the row's."""
    parts = []
    for subject, device, run in sorted({(row.subject, row.device, row.run) for row in rows}):
        group = [row for row in rows if (row.subject, row.device, row.run) == (subject, device, run)]
        base = {row.case: row.median_ms for row in group if row.baseline}
        loads = [row.load for row in group]
        libraries = ", ".join(f"{name} {number}" for name, number in group[0].versions.items())
        parts.append(f"### {subject}\n\n{device}; {libraries}; commit {group[0].commit}; {run}; ")
        parts.append(f"load {min(loads)}-{max(loads)}\n\n")
        peaks = any(row.peak_mb for row in group)  # only where a subject has some
        parts.append("| case | candidate | threads | median ms | p10-p90 ms | rounds | speed |")
        parts.append(" peak MB |\n" if peaks else "\n")
        parts.append("| --- | --- | ---: | ---: | ---: | ---: | ---: |" + (" ---: |\n" if peaks else "\n"))
        for row in group:
            speed = f"{base[row.case] / row.median_ms:.2f}" if row.case in base else "-"
            spread = f"{row.p10_ms:.2f}-{row.p90_ms:.2f}"
            cells = [row.case, row.candidate, row.threads, f"{row.median_ms:.2f}", spread, row.rounds, speed]
            cells += [f"{row.peak_mb:.0f}" if row.peak_mb else "-"] if peaks else []
            parts.append("| " + " | ".join(str(cell) for cell in cells) + " |\n")
        parts.append("\n")
    return "".join(parts)


def ratio(goal: Goal, rows: list[Row]) -> tuple[float, float, int] | None:
    """Return (geometric mean, least, number) of peer's median over ours, over the goal's cases that hold both."""
    cases: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row.goal == goal.key:
            cases[row.device, row.subject, row.case][row.candidate] = row.median_ms
    found = [times[goal.versus] / times[OURS] for times in cases.values() if {goal.versus, OURS} <= times.keys()]
    return (prod(found) ** (1 / len(found)), min(found), len(found)) if found else None


def goals_table(rows: list[Row]) -> str:
    """Render the goals with what was measured, or "not yet measured"."""
    text = "### Goals\n\nReference time over ours, geometric mean over the cases.\n\n"
    text += "| goal | what | against | must | goal | measured | least | cases |\n"
    text += "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |\n"
    for goal in GOALS:
        found = ratio(goal, rows)
        measured = ("not yet measured", "-", "0") if found is None else (f"{found[0]:.2f}", f"{found[1]:.2f}", found[2])
        cells = (goal.key, goal.what, goal.versus, goal.must, goal.goal, *measured)
        text += "| " + " | ".join(str(cell) for cell in cells) + " |\n"
    return text + "\n"


def figures(rows: list[Row]) -> dict[str, list[dict[str, object]]]:
    """Return, by operation, device and peer, the geometric mean of peer's median over ours."""
    cases: dict[tuple[str, str], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if row.operation:
            cases[row.operation, row.device][row.case][row.candidate] = row.median_ms
    found: dict[str, list[dict[str, object]]] = defaultdict(list)
    for (operation, device), group in sorted(cases.items()):
        for peer in sorted({name for times in group.values() for name in times} - {OURS}):
            ratios = [times[peer] / times[OURS] for times in group.values() if {peer, OURS} <= times.keys()]
            mean = round(prod(ratios) ** (1 / len(ratios)), 3)
            found[operation].append({"device": device, "against": peer, "ratio": mean, "cases": len(ratios)})
    return dict(found)


def render(
    readme: Path = FOLDER / "README.md",
    results: Path = FOLDER / "results",
    shown: Path = FOLDER.parent / "core/ops/figures.json",
) -> None:
    """Replace what stands between the README's markers by the newest rows and figures, and those of `striate info`."""
    text, rows = readme.read_text(), newest(read(results))
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    shown.write_text(json.dumps(figures(rows), indent=1, sort_keys=True) + "\n")
    found = figures_table(results / "figures" / FIGURES.name)
    readme.write_text(f"{before}{BEGIN}\n\n{goals_table(rows)}{table(rows)}{found}{END}{after}")


if __name__ == "__main__":
    render()
