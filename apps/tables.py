"""Tables on a terminal that fold between words, not inside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

FEW = 4
"""Letters that a column keeps while there are others to take room from."""


@dataclass(frozen=True)
class Column:
    """Which widths a column can have.

    Attributes:
        widest: Cells of its longest line.
        narrowest: Cells of its longest word; of a column that is not to be folded, of its longest line.
        whole: Whether it is folded last.
    """

    widest: int
    narrowest: int
    whole: bool = False

    @classmethod
    def of(cls, texts: Iterable[str], whole: bool) -> Column:
        """Measure the texts of a column, its head included."""
        lines = [line for text in texts for line in text.split("\n")]
        widest = max(map(cell_len, lines), default=0)
        words = [cell_len(word) for line in lines for word in line.split()]
        return cls(widest, widest if whole else max(words, default=0), whole)


def column_widths(columns: Sequence[Column], room: int) -> tuple[int, list[int]]:
    """Share the width of a terminal: return the blanks beside each text, and the width of each column.

    Columns fold between words, then the blanks go, and only then are words broken: those of the widest column that may
    fold, or, where each of these is down to a few letters, of the widest.

    Args:
        columns: What they can be.
        room: Cells in a line, the table's frame included.
    """
    narrowest = sum(column.narrowest for column in columns)
    padding = 1 if narrowest <= room - _frame(len(columns), 1) else 0
    free = room - _frame(len(columns), padding)
    widths = [column.narrowest for column in columns]
    for _ in range(narrowest - free):
        may = [i for i, column in enumerate(columns) if not column.whole and widths[i] > FEW]
        at = max(may or range(len(widths)), key=widths.__getitem__)
        widths[at] = max(1, widths[at] - 1)
    for _ in range(free - narrowest):  # to the column that lacks most
        lacks = [column.widest - width for column, width in zip(columns, widths, strict=True)]
        if not lacks or max(lacks) <= 0:
            break
        widths[lacks.index(max(lacks))] += 1
    return padding, widths


def _frame(columns: int, padding: int) -> int:
    return columns + 1 + 2 * padding * columns


class FoldingTable(Table):
    """A table as wide as its texts, or as the terminal.

    Args:
        title: Above it.
        columns: Heads.
        rows: One text a column.
        numeric: Heads of columns that are set flush right and folded last.
        unbroken: Heads of other columns that are folded last.
    """

    def __init__(
        self,
        title: str,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        numeric: Sequence[str] = (),
        unbroken: Sequence[str] = (),
    ) -> None:
        super().__init__(title=title, title_justify="left", title_style="bold", header_style="bold")
        texts = [*rows]
        whole = {*numeric, *unbroken}
        self.measured = [
            Column.of((name, *(row[i] for row in texts)), whole=name in whole) for i, name in enumerate(columns)
        ]
        for name in columns:
            self.add_column(name, justify="right" if name in numeric else "left", overflow="fold")
        for row in texts:
            self.add_row(*map(Text, row))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        padding, widths = column_widths(self.measured, options.max_width)
        self.padding = (0, padding)
        for column, width in zip(self.columns, widths, strict=True):
            column.width = width
        yield from super().__rich_console__(console, options)
