"""`striate weights`: which named weights there are, where they lie, and fetching them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .console import emit, note, stdout, table
from .groups import Group
from .tables import FoldingTable

app = typer.Typer(
    cls=Group, no_args_is_help=True, help="Named weights: list them, fetch them, find their files; borrow others'."
)

SHIPPED, BORROWED, FETCHED = "shipped", "borrowed", "fetched"
TITLES = {
    SHIPPED: "weights that come along",
    BORROWED: "weights that others trained: striate weights fetch NAME",
    FETCHED: "weights that are fetched: striate weights fetch NAME",
}
"""Where weights come from -> title of their table. A table for each: one of all would break words in 80 columns."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Name = Annotated[str, typer.Argument(help="Name of the weights, as `striate weights list` shows it.")]


@app.command("list")
def list_weights(as_json: Json = False) -> None:
    """Show every named set of weights, those that come along and those that are borrowed from others."""
    from ..core.weights import WEIGHTS

    rows = [describe(weights) for weights in WEIGHTS.values()]
    if as_json:
        emit("weights", weights=rows)
        return
    for source, title in TITLES.items():
        some = [row for row in rows if row["source"] == source]
        if some:
            stdout().print(listed(title, some))


@app.command()
def fetch(name: Name, as_json: Json = False) -> None:
    """Download weights if they are not on this machine yet, check them, and print where they are."""
    from ..core.borrow import fetch_weights

    path = fetch_weights(name)
    if as_json:
        emit("weights", name=name, path=str(path))
        return
    note(f"{name} is on this machine:")
    print(path)


@app.command("path")
def print_path(name: Name, as_json: Json = False) -> None:
    """Print the file that a name stands for."""
    from ..core import weights

    path = weights.resolve(name)
    if as_json:
        emit("weights", name=name, path=str(path))
    else:
        print(path)


@app.command()
def borrow(
    file: Annotated[Path, typer.Argument(help="A state_dict of torchvision's: .pth, .safetensors or .npz.")],
    network: Annotated[str, typer.Option(help="Its network; `striate info` lists them.")],
    out: Annotated[Path, typer.Option(help="File to write, such as resnet18.safetensors.")],
    names: Annotated[Path | None, typer.Option(help="Text file of class names, one a line.")] = None,
    as_json: Json = False,
) -> None:
    """Turn weights that others trained into a classifier's file; nothing in theirs is executed.

    Pictures are normalized as torchvision's networks expect; `core.borrow.borrow_classifier` takes other ways.
    """
    from ..core.borrow import borrow_classifier

    listed = () if names is None else tuple(line.strip() for line in names.read_text("utf-8").splitlines() if line)
    path = borrow_classifier(file, network, names=listed).save(out)
    if as_json:
        emit("weights", file=str(file), network=network, path=str(path))
        return
    note(f"classify with it: striate classify predict PICTURE --weights {path}")
    print(path)


def describe(weights: Any) -> dict[str, Any]:
    """Return one row of the weights table as plain values; `source` is a key of `TITLES`."""
    fields = ("name", "task", "size", "sha256", "licence", "data_licence", "figures")
    source = SHIPPED if weights.url is None else BORROWED if weights.network else FETCHED
    return {**{field: getattr(weights, field) for field in fields}, "source": source}


def listed(title: str, rows: list[dict[str, Any]]) -> FoldingTable:
    """Return a table of rows that `describe` made."""
    columns = ("name", "task", "MB", "licence / data's", "figures")
    cells = (
        (r["name"], r["task"], megabytes(r["size"]), f"{r['licence']} / {r['data_licence']}", figures(r)) for r in rows
    )
    return table(title, columns, cells, numeric=("MB",), unbroken=("name",))


def figures(row: dict[str, Any]) -> str:
    """Write the measured figures in one cell: `map50 0.912, map 0.613`."""
    return ", ".join(f"{name} {value:.3g}" for name, value in (row["figures"] or {}).items())


def megabytes(size: int | None) -> str:
    """Write a number of bytes in MB."""
    return "–" if not size else f"{size / 1e6:.1f}"
