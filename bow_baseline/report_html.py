"""report.html: one file that needs no other and no network, and follows the reader's light or dark page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from .report_tables import Table

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1a1f1e; --faint: #5d6866; --rule: #d9e0de; --field: #f3f7f6;
  --accent: #0f766e; }
@media (prefers-color-scheme: dark) { :root { --paper: #14191a; --ink: #e6ecea; --faint: #9fb0ac; --rule: #33403d;
  --field: #1d2526; --accent: #5cc7ba; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
h1 { font-size: 1.9rem; margin: 0 0 .5rem; } h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; color: var(--accent); }
.verdict { font-size: 1.1rem; } .note, figcaption { color: var(--faint); font-size: .9rem; max-width: 60rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { background: var(--field); }
tbody tr:hover { background: var(--field); } .charts { display: flex; flex-wrap: wrap; gap: 1rem 2rem; }
figure { margin: 0; } .charts figure { flex: 1 1 26rem; max-width: 40rem; } svg { width: 100%; height: auto; }
.pictures { display: flex; flex-wrap: wrap; gap: 1.5rem; } .pictures img { max-width: 100%; border-radius: .4rem; }
pre { background: var(--field); padding: 1rem; overflow-x: auto; font-size: .85rem; } summary { cursor: pointer; }
"""


def html(
    title: str,
    lines: Sequence[str],
    charts: Mapping[str, str],
    tables: Sequence[Table],
    pictures: Sequence[tuple[bytes, str]],
    config: str,
    notes: Sequence[str],
) -> str:
    """Write the page.

    Args:
        title: Its heading.
        lines: Sentences under it, the verdict first.
        charts: Heading -> SVG.
        tables: The figures.
        pictures: PNG files and what is said about each.
        config: All that the figures depend on, as JSON.
        notes: What a reader should know.
    """
    body = [f"<h1>{escape(title)}</h1>", f'<p class="verdict">{escape(lines[0])}</p>']
    body += [f"<p>{escape(line)}</p>" for line in lines[1:]]
    if tables:
        body.append(_table(tables[0]))
    figures = [f"<figure><figcaption>{escape(head)}</figcaption>{svg}</figure>" for head, svg in charts.items()]
    body.append(f'<h2>Charts</h2><div class="charts">{"".join(figures)}</div>')
    body += [_table(table) for table in tables[1:]]
    if pictures:
        body.append("<h2>Where they disagree</h2>")
        body.append(
            '<p class="note">The picture; what spoke for its answer to the one that is right; the same of the one that '
            "is wrong. Orange speaks for the answer, blue against it.</p>"
        )
        shown = [
            f'<figure><img alt="{escape(text)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
            f"<figcaption>{escape(text)}</figcaption></figure>"
            for png, text in pictures
        ]
        body.append(f'<div class="pictures">{"".join(shown)}</div>')
    if notes:
        body.append("<h2>Notes</h2><ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>")
    body.append(
        f"<h2>Config</h2><details><summary>All that these figures depend on</summary><pre>{escape(config)}</pre>"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body>{''.join(body)}</details></body></html>\n"
    )


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return (
        f'<h2>{escape(table.title)}</h2><p class="note">{escape(table.note)}</p><div class="scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
