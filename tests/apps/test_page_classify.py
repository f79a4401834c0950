"""The Classify page, run without a browser, on the shipped network for digits."""

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("streamlit", reason="needs the `app` extra")

from streamlit.testing.v1 import AppTest

import striate
from striate.apps import draw_pad, show
from striate.core.checks import ImageError
from striate.core.images import encode_image

PAGE = Path(striate.__file__).parent / "apps" / "pages" / "classify.py"


def drawn_three() -> np.ndarray:
    picture = np.zeros((280, 280, 3), np.uint8)
    cv2.putText(picture, "3", (70, 220), cv2.FONT_HERSHEY_SIMPLEX, 8, (255, 255, 255), 22)
    return picture


def open_page(monkeypatch: pytest.MonkeyPatch, state: str) -> AppTest:
    """The page, with what the field to draw in would send."""
    monkeypatch.setattr("streamlit.components.v2.component", lambda *a, **k: lambda **keywords: {"png": state})
    page = AppTest.from_file(str(PAGE), default_timeout=60)
    page.run()
    assert not page.exception
    return page


def test_an_empty_field_asks_for_a_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_page(monkeypatch, "")
    assert [info.value for info in page.info] == ["Draw a digit in the black field, as large as you like."]
    assert not page.metric


def test_a_drawn_digit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    text = draw_pad.PREFIX + base64.b64encode(encode_image(drawn_three(), "png")).decode()
    page = open_page(monkeypatch, text)
    assert page.metric[0].label == "The network says"
    assert page.metric[0].value == "3"
    code = [block.value for block in page.code]
    assert "Classifier.from_pretrained('lenet5-mnist')" in code[0]
    assert code[1] == "striate classify predict picture.png --weights lenet5-mnist"


def test_pictures_instead_of_a_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_page(monkeypatch, "")
    page.segmented_control[0].set_value("Picture").run()
    assert not page.exception
    assert page.metric[0].value in set("0123456789")


@pytest.mark.parametrize("text", ["data:image/png;base64,???", "data:image/png;base64,AAAA"])
def test_what_is_no_drawing(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    page = open_page(monkeypatch, text)
    assert [error.value for error in page.error] == ["This picture cannot be used"]


def test_a_drawing_beyond_the_field_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = draw_pad.PREFIX + base64.b64encode(encode_image(np.zeros((2000, 2000, 3), np.uint8), "png")).decode()
    monkeypatch.setattr("streamlit.components.v2.component", lambda *a, **k: lambda **keywords: {"png": huge})
    monkeypatch.setattr(draw_pad.st, "session_state", {})
    with pytest.raises(ImageError, match="pixels"):
        draw_pad.draw_pad("digit")


def test_mosaic_spans_black_to_white_map_by_map() -> None:
    maps = np.stack([np.arange(16.0).reshape(4, 4), np.full((4, 4), 7.0), -np.arange(16.0).reshape(4, 4)])
    picture = show.mosaic(maps.astype(np.float32), columns=2)
    assert picture.dtype == np.uint8
    assert picture.shape == (2 * 68, 2 * 68)
    assert picture[2, 2] == 0
    assert picture[65, 65] == 255
    assert picture[-1, -1] == 255  # the place that is left over is white
