"""Fooling images as files: judged from their PNGs, with settings inside, a table, a sheet."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.adversarial.contact_sheet import contact_sheet, percent
from striate.adversarial.evolution import Evolution
from striate.adversarial.fooling import FoolingImages, champions, file_name, judge
from striate.core.checks import ImageError, UsageError
from striate.core.images import load_image
from striate.tests.adversarial.fooled import NAMES, Quarters


@pytest.fixture(scope="module")
def found() -> FoolingImages:
    """The champions of a short evolution."""
    archive = Evolution(generations=4, goal=None, size=(16, 16), channels=1, children=40, batch=20).run(Quarters())
    return champions(Quarters(), archive)


def test_the_saved_pictures_fool_as_it_was_said(found: FoolingImages, tmp_path: Path) -> None:
    paths = found.save(tmp_path / "out")
    assert [path.name for path in paths] == [
        "0-north.png", "1-east.png", "2-south.png", "3-west.png", "sheet.png", "fooling.csv",
    ]  # fmt: skip
    again = Quarters().predict_proba([load_image(path) for path in paths[:4]])
    assert np.array_equal(again.diagonal(), found.confidences)


def test_a_png_holds_its_settings(found: FoolingImages, tmp_path: Path) -> None:
    with Image.open(found[2].save(tmp_path / "one.png")) as picture:
        told = json.loads(picture.text["striate"])  # type: ignore[attr-defined]
    assert told["class"] == "south"
    assert told["settings"]["encoding"] == "cppn"
    assert told["settings"]["generation"] == 4
    assert told["lineage"][-1] == [found[2].born, "south"]
    assert told["confidence"] == found[2].confidence


def test_the_table_has_a_line_for_each_picture(found: FoolingImages) -> None:
    rows = list(csv.DictReader(found.to_csv().splitlines()))
    assert [row["class"] for row in rows] == list(NAMES)
    assert [float(row["confidence"]) for row in rows] == [one.confidence for one in found]
    assert rows[1]["lineage"].split()[-1] == f"{found[1].born}:east"
    assert int(rows[1]["switches"]) == found[1].to_dict()["switches"]


def test_they_are_a_list_with_figures(found: FoolingImages) -> None:
    assert isinstance(found[1:3], FoolingImages)
    assert [one.name for one in found[1:3]] == ["east", "south"]
    told = found.to_dict()
    assert told["pictures"] == len(found) == len(told["results"])
    assert told["least"] == pytest.approx(found.confidences.min())
    assert FoolingImages([]).to_dict()["least"] is None
    assert str(found[0]).startswith("north ")


def test_a_picture_that_does_not_fool_says_so() -> None:
    black = np.zeros((16, 16, 3), np.uint8)
    black[:8, :8] = 200
    one = judge([Quarters(), Quarters(sharp=1)], [black], ["west"])[0]
    assert not one.fooled
    assert one.labels == ("north", "north")
    assert one.confidence == min(one.each)
    assert str(one).endswith("(called north, north)")


def test_other_models_can_be_asked_about_champions() -> None:
    archive = Evolution(generations=4, size=(16, 16), channels=1, children=40, batch=20).run(Quarters())
    others = champions([Quarters(NAMES[::-1], sharp=1), Quarters()], archive)
    assert all(one.each[0] < one.each[1] for one in others)


def test_confidence_is_never_rounded_up() -> None:
    texts = [percent(p) for p in (1.0, 0.99999, 0.9999, 0.99985, float(np.float32(0.9999)), 0.0)]
    assert texts == ["100.00 %", "99.99 %", "99.99 %", "99.98 %", "99.99 %", "0.00 %"]


def test_a_sheet_shows_every_picture_and_cuts_long_names() -> None:
    pixel = np.array([[[0, 0, 0], [255, 0, 0]]], np.uint8)
    sheet = contact_sheet([pixel] * 12, [("a very long name of a class indeed", "1 %")] * 12, tile=64)
    assert sheet.shape[1] == 10 * 70 + 6
    assert (sheet == (255, 0, 0)).all(2).sum() == 12 * 32 * 32  # enlarged, pixels stay squares
    assert contact_sheet([pixel] * 10, [("a", "b")] * 10, tile=64).shape[1] == 5 * 70 + 6


def test_what_cannot_be_saved_or_drawn_is_refused(found: FoolingImages, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"ends in \.png"):
        found[0].save(tmp_path / "one.jpg")
    with pytest.raises(UsageError, match="at least one picture"):
        contact_sheet([], [])
    with pytest.raises(UsageError, match="did you mean 'south'"):
        judge(Quarters(), [found[0].image], ["souths"])


def test_names_become_file_names() -> None:
    assert [file_name(name) for name in ("T-shirt/top", "Küche", "../../etc", "…")] == [
        "T-shirt-top", "K-che", "etc", "class",
    ]  # fmt: skip
