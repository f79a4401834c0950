"""History as CSV that reads back bit by bit, and as an SVG that parses."""

import csv
import io
from pathlib import Path
from xml.etree import ElementTree

from striate.core.history import History

ROWS = [
    {"epoch": 1, "learning_rate": 0.1, "loss": 1 / 3, "seconds": 1.5},
    {"epoch": 2, "learning_rate": 0.05, "loss": 0.25, "map<50>": 0.5, "seconds": 1.4},
]


def test_csv_keeps_every_bit_and_leaves_gaps_empty() -> None:
    rows = list(csv.DictReader(io.StringIO(History(ROWS).to_csv())))
    assert float(rows[0]["loss"]) == 1 / 3
    assert rows[0]["map<50>"] == ""
    assert rows[1]["map<50>"] == "0.5"


def test_column_skips_epochs_that_lack_it() -> None:
    assert History(ROWS).column("map<50>") == [0.5]
    assert History(ROWS).column("loss") == [1 / 3, 0.25]


def test_svg_parses_and_names_its_panels() -> None:
    root = ElementTree.fromstring(History(ROWS).to_svg())
    texts = "".join(root.itertext())
    assert "map<50> = 0.5" in texts
    assert "loss = 0.25" in texts
    assert len(root.findall(".//{http://www.w3.org/2000/svg}polyline")) == 3


def test_save_writes_both(tmp_path: Path) -> None:
    History(ROWS).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.csv", "history.svg"]
    assert (tmp_path / "history.csv").read_text() == History(ROWS).to_csv()


def test_empty_history_is_no_error() -> None:
    assert History().to_csv() == "\n"
    ElementTree.fromstring(History().to_svg())
