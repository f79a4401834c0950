"""Tables fold between words as long as the terminal lets them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from striate.apps.console import table
from striate.apps.tables import Column, column_widths
from striate.core.weights import WEIGHTS

Run = Callable[..., Any]


def lines_of(width: int, *arguments: Any, **options: Any) -> list[str]:
    """Return the lines of a table on a terminal of some width."""
    file = io.StringIO()
    Console(file=file, width=width, highlight=False).print(table(*arguments, **options))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def words_of(lines: list[str]) -> list[str]:
    return " ".join("".join(c if c not in "│┃" else " " for c in line) for line in lines).split()


@pytest.mark.parametrize(
    ("room", "padding", "widths"),
    [
        pytest.param(60, 1, [10, 20, 8], id="room for all"),
        pytest.param(44, 1, [8, 18, 8], id="what is left goes to the one that lacks most"),
        pytest.param(34, 1, [8, 8, 8], id="longest words"),
        pytest.param(29, 0, [8, 9, 8], id="without blanks"),
        pytest.param(16, 0, [4, 4, 4], id="words are broken at last"),
        pytest.param(3, 0, [1, 1, 1], id="no terminal is as narrow as that"),
    ],
)
def test_widths_of_columns(room: int, padding: int, widths: list[int]) -> None:
    columns = [Column(10, 8), Column(20, 8), Column(8, 8)]
    assert column_widths(columns, room) == (padding, widths)
    assert column_widths([], room) == (1, [])


def test_what_is_to_stay_whole_is_broken_last() -> None:
    assert column_widths([Column(10, 6), Column(39, 39, True)], 44) == (0, [4, 37])


def test_columns_are_measured_by_their_words() -> None:
    assert Column.of(("a head", "some words\nand lines of them", "東京"), whole=False) == Column(17, 5)
    assert Column.of(("244.4 MB",), whole=True) == Column(8, 8, True)
    assert Column.of((), whole=False) == Column(0, 0)


def test_words_stay_whole_and_numbers_on_one_line() -> None:
    text = "what was expected and what came instead, and what is to be done about it"
    lines = lines_of(50, "a title", ("name", "text", "size"), [("a name", text, "12 MB")], numeric=("size",))
    assert max(map(len, lines)) <= 50
    assert lines[0] == "a title"
    assert set(text.split()) < set(words_of(lines))
    assert any("12 MB" in line for line in lines)


def test_the_same_table_on_two_terminals() -> None:
    made = table("", ("a", "b"), [("some words in a row", "others")])
    widths = []
    for width in (80, 16, 80):
        file = io.StringIO()
        Console(file=file, width=width).print(made)
        widths.append(max(map(len, file.getvalue().splitlines())))
    assert widths[0] == widths[2] > 16 >= widths[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("weights", "list"), {*WEIGHTS, "BSD-3-Clause", "non-commercial", "pixel_accuracy", "classify"}),
        (("info", "resnet50"), {"layer4.0.downsample.0", "multiply-adds", "BatchNorm2d", "parameters"}),
    ],
    ids=["weights list", "info resnet50"],
)
def test_the_widest_tables_read_well_in_80_columns(
    striate: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: set[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ran = striate(*arguments)
    drawn = [line for line in ran.out.splitlines() if line[:1] in "┃│"]
    assert max(map(len, drawn)) <= 80
    assert words <= set(words_of(drawn))
