"""The report: whole, self-contained, and made again from nothing but its config's settings."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from striate.bow_baseline.charts import Line, interval_chart, line_chart, ticks
from striate.bow_baseline.compare import Comparison
from striate.bow_baseline.corruptions import CORRUPTIONS
from striate.bow_baseline.report import panel, write_report
from striate.bow_baseline.statistics import Interval
from striate.bow_baseline.summary import summarize
from striate.core.checks import SaveError
from striate.core.images import load_image
from striate.tests.bow_baseline.stand_ins import bands, means


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "new"
    contenders = [means("good", kind="a")[0], means("<b>bad</b> | one", blur=40.0, kind="b")[0]]
    comparison = Comparison(
        contenders, seeds=(0, 1), per_class=(3,), corruptions={"blur": CORRUPTIONS["blur"]}, severities=(1, 4),
        resamples=300,
    )  # fmt: skip
    results = comparison.run(bands(8), bands(12, seed=1))
    write_report(
        results, summarize(results, count=2), folder, title="Bands & others", about={"command": {"seeds": "0,1"}}
    )
    return folder


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(report: Path) -> None:
    text = (report / "report.html").read_text()
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.links
    assert all(link.startswith("data:image/png;base64,") for link in tags.links)
    assert "prefers-color-scheme: dark" in text
    assert "<b>bad</b>" not in text
    assert "Bands &amp; others" in text
    assert text.count("<svg") == 4  # accuracy, differences, learning curves, blur


def test_markdown_names_files_that_are_there(report: Path) -> None:
    text = (report / "report.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert {"accuracy.svg", "curves.svg", "config.json"} <= set(links)
    assert all((report / link).is_file() for link in links)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) >= 3 for row in rows)


def test_figures_follow_from_the_answers(report: Path) -> None:
    rows = list(csv.DictReader((report / "answers.csv").read_text().splitlines()))
    table = {row["contender"]: row for row in csv.DictReader((report / "table.csv").read_text().splitlines())}
    assert len(rows) == 2 * 2 * 36
    for name, row in table.items():
        mine = [one["truth"] == one["answer"] for one in rows if one["contender"] == name]
        assert float(row["accuracy"]) == pytest.approx(np.mean(mine))
    curves = list(csv.DictReader((report / "curves.csv").read_text().splitlines()))
    assert [row["per_class"] for row in curves] == ["3.0", "8.0"] * 2
    assert len(list(csv.DictReader((report / "robustness.csv").read_text().splitlines()))) == 4
    assert json.loads((report / "figures.json").read_text())["duel"] == ["good", "<b>bad</b> | one"]


def test_config_holds_all_that_figures_depend_on(report: Path) -> None:
    config = json.loads((report / "config.json").read_text())
    assert config["contenders"][1] == {"name": "<b>bad</b> | one", "options": {"part": 1.0, "blur": 40.0}}
    assert config["seeds"] == [0, 1]
    assert set(config["corruptions"]["blur"]) == {"1", "4"}
    assert len(config["train"]) == len(config["test"]) == 64
    assert set(config["versions"]) >= {"python", "numpy", "torch", "code"}
    assert config["data"]["test"]["counts"] == {"dark": 12, "middle": 12, "bright": 12}
    assert config["command"] == {"seeds": "0,1"}


def test_pictures_of_disagreements(report: Path) -> None:
    paths = sorted(report.glob("disagreement_*.png"))
    assert paths
    assert load_image(paths[0]).shape == (234, 600, 3)
    assert panel(np.zeros((700, 20, 3), np.uint8), "a" * 500).shape == (234, 200, 3)


def test_attacks_and_crossings_are_written_and_the_next_report_removes_what_it_does_not_have(tmp_path: Path) -> None:
    def darken(model, image, label, rng):  # type: ignore[no-untyped-def]
        return np.zeros_like(image)

    good, early = means("good")[0], means("early", blur=40.0)[0]
    blur = {"blur": CORRUPTIONS["blur"]}
    full = Comparison([good, early], per_class=(3,), corruptions=blur, severities=(1,), attacks={"dark": darken},
                      attacked=6, resamples=50).run(bands(8), bands(12, seed=1))  # fmt: skip
    summary = summarize(full, count=1)
    write_report(full, summary, tmp_path)
    attacks = list(csv.DictReader((tmp_path / "attacks.csv").read_text().splitlines()))
    assert [(row["contender"], row["attack"]) for row in attacks] == [("good", "dark"), ("early", "dark")]
    assert [float(row["after"]) for row in attacks] == [one.accuracy for one in summary.attacks]
    (crossing,) = csv.DictReader((tmp_path / "crossings.csv").read_text().splitlines())
    assert float(crossing["share"]) == summary.crossings[0].share
    assert {"robustness_blur.svg", "curves.svg", "robustness.csv"} <= {path.name for path in tmp_path.iterdir()}
    (tmp_path / "mine.svg").write_text("a drawing of one's own")
    plain = Comparison([good], resamples=50).run(bands(8), bands(12, seed=1))
    write_report(plain, summarize(plain), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "accuracy.svg", "answers.csv", "config.json", "curves.csv", "figures.json", "mine.svg", "pairs.csv",
        "report.html", "report.md", "table.csv",
    }  # fmt: skip


def test_a_folder_without_a_report_keeps_its_files(tmp_path: Path) -> None:
    (tmp_path / "curves.svg").write_text("a drawing of one's own")
    plain = Comparison([means("good")[0]], resamples=50).run(bands(8), bands(12, seed=1))
    write_report(plain, summarize(plain), tmp_path)
    assert (tmp_path / "curves.svg").read_text() == "a drawing of one's own"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    results = Comparison([means("one")[0]], resamples=20).run(bands(3), bands(3, seed=1))
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SaveError, match="to make the folder"):
        write_report(results, summarize(results), tmp_path / "file" / "report")


def test_charts_are_svg_and_lie_within_their_frame() -> None:
    values = [Interval(0.5, 0.4, 0.6), Interval(0.9, 0.85, 1.0)]
    chart = line_chart(
        [Line(f"<{i}>", [5, 50], values) for i in range(9)], x_label="n", y_label="accuracy", log_x=True,
        background="white",
    )  # fmt: skip
    tree = ElementTree.fromstring(chart)
    assert len([e for e in tree.iter() if e.tag.endswith("polyline")]) == 9
    for circle in (e for e in tree.iter() if e.tag.endswith("circle")):
        assert 0 <= float(circle.get("cx")) <= 620
        assert 0 <= float(circle.get("cy")) <= 300
    one = interval_chart([("a", Interval(0.0, 0.0, 0.0), 0), ("b", Interval(-0.1, -0.3, 0.2), None)], label="gap")
    assert "stroke-dasharray" in one
    ElementTree.fromstring(one)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.31, 0.97], [0.2, 0.4, 0.6, 0.8, 1.0]),
        ([0.5], [0.5, 0.51]),
        ([-0.02, 0.03], [-0.02, -0.01, 0.0, 0.01, 0.02, 0.03]),
        ([1.0, 1.0], [1.0, 1.01]),
    ],
)
def test_scales_have_round_numbers(values: list[float], expected: list[float]) -> None:
    assert ticks(values) == expected
